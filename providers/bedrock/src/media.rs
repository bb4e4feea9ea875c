//! Images, documents and audio, as the API takes them: by format, in base64 or in S3.

use lmserver_runtime::http_provider::{Part, Question, Source};
use lmserver_runtime::object;
use lmserver_runtime::plugin::provider::ProviderError;
use serde_json::Value;

/// The block of a part that is no text.
pub(crate) fn block(
    question: &Question<'_>,
    part: &Part<'_>,
    place: &str,
) -> Result<Value, ProviderError> {
    let cannot = |what: &str| question.cannot(&format!("{what} in `{place}`"));
    match part {
        Part::Text(text) => Ok(object! {"text": *text}),
        Part::Image(found) => {
            let format = format(found, IMAGES).ok_or_else(|| {
                cannot("an image other than PNG, JPEG, GIF or WebP in base64 or at s3://…")
            })?;
            let source = source(found).ok_or_else(|| cannot("an image by this address"))?;
            Ok(object! {"image": object! {"format": format, "source": source}})
        }
        Part::File {
            source: found,
            name,
        } => {
            let format = format(found, DOCUMENTS).ok_or_else(|| {
                cannot(
                    "a file other than PDF, text, table or Office document in base64 or at s3://…",
                )
            })?;
            let source = source(found).ok_or_else(|| cannot("a file by this address"))?;
            let name = document_name(name.unwrap_or_default());
            Ok(object! {"document": object! {"format": format, "name": name, "source": source}})
        }
        Part::Audio { base64, format } => {
            Ok(object! {"audio": object! {"format": *format, "source": object! {"bytes": *base64}}})
        }
        Part::Other(value) => {
            let kind = value.get("type").and_then(Value::as_str);
            Err(cannot(&format!(
                "a part of type `{}`",
                kind.unwrap_or_default()
            )))
        }
    }
}

/// The format of a source, by its media type or by the end of its address.
fn format(source: &Source<'_>, formats: &[(&str, &'static str)]) -> Option<&'static str> {
    let word = match source {
        Source::Data { media_type, .. } => media_type,
        Source::Url(url) => url.rsplit_once('.')?.1,
        Source::Id(_) => return None,
    };
    let word = word.to_ascii_lowercase();
    let found = formats
        .iter()
        .find(|(name, format)| *name == word || *format == word);
    found.map(|(_, format)| *format)
}

fn source(source: &Source<'_>) -> Option<Value> {
    match source {
        Source::Data { base64, .. } => Some(object! {"bytes": *base64}),
        Source::Url(url) if url.starts_with("s3://") => {
            Some(object! {"s3Location": object! {"uri": *url}})
        }
        Source::Url(_) | Source::Id(_) => None,
    }
}

/// The API takes letters, digits, hyphens, brackets and single blanks in a name, and needs one.
fn document_name(name: &str) -> String {
    let allowed =
        |character: char| character.is_ascii_alphanumeric() || "-()[]".contains(character);
    let plain = name.replace(|character| !allowed(character), " ");
    let name = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    if name.is_empty() {
        return "document".to_owned();
    }
    name.chars().take(200).collect()
}

/// Media type, format; an address may end with either.
const IMAGES: &[(&str, &str)] = &[
    ("image/png", "png"),
    ("image/jpeg", "jpeg"),
    ("jpg", "jpeg"),
    ("image/jpg", "jpeg"),
    ("image/gif", "gif"),
    ("image/webp", "webp"),
];

const DOCUMENTS: &[(&str, &str)] = &[
    ("application/pdf", "pdf"),
    ("text/csv", "csv"),
    ("application/msword", "doc"),
    (
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "docx",
    ),
    ("application/vnd.ms-excel", "xls"),
    (
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "xlsx",
    ),
    ("text/html", "html"),
    ("text/plain", "txt"),
    ("text/markdown", "md"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_made_fit() {
        for (name, want) in [
            ("", "document"),
            ("...", "document"),
            ("report.pdf", "report pdf"),
            (
                "Bericht_2026 (final)  [1].pdf",
                "Bericht 2026 (final) [1] pdf",
            ),
            ("日本", "document"),
        ] {
            assert_eq!(document_name(name), want, "{name}");
        }
        assert_eq!(document_name(&"x".repeat(300)).len(), 200);
    }
}

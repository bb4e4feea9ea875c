//! What an error body says, whichever of the many shapes it has.
//!
//! | shape | who |
//! | --- | --- |
//! | `{"error":{"message","type","code"}}`, `code` a string, a number or null | OpenAI and most |
//! | `{"error":{"code":429,"message","metadata":{"provider_name","raw"}}}` | OpenRouter |
//! | `{"error":"text"}`, `{"code":"…","error":"text"}` | Ollama; xAI |
//! | `{"error":{"code","message","status","details":[…]}}`, also in a list | Gemini |
//! | `{"object":"error","message","type","code","raw_status_code"}` | Mistral, older vLLM |
//! | `{"detail":"…"}`, `{"detail":[{"loc","msg"}]}` | Mistral, FastAPI servers |
//! | `{"message":"…"}`, `{"message":{"detail":[…]}}` | gateways, Mistral |
//! | `{"errors":[{"code","message"}]}` | Cloudflare |
//! | anything else | proxies: the text itself |

use std::time::Duration;

use serde_json::Value;

/// The parts of an error body that decide something. Every text may be empty.
#[derive(Debug, Default, PartialEq)]
pub(in crate::http_provider) struct Report {
    pub(in crate::http_provider) message: String,
    /// Everything that names a kind of error: types, codes, reasons; in lower case.
    pub(in crate::http_provider) words: Vec<String>,
    /// The HTTP status that the body itself names.
    pub(in crate::http_provider) status: Option<u16>,
    pub(in crate::http_provider) retry_after: Option<Duration>,
    /// The prompt was refused by a filter.
    pub(in crate::http_provider) is_moderation: bool,
}

impl Report {
    /// Reads an error document. `None`: it reports nothing.
    ///
    /// `is_flat`: the document as a whole is known to be an error, so that it needs no `error` key.
    pub(in crate::http_provider) fn read(document: &Value, is_flat: bool) -> Option<Self> {
        let document = match document {
            Value::Array(list) => list.first()?,
            document => document,
        };
        let error = match document.get("error") {
            Some(error) if !crate::http_provider::json::says_something(error) => None,
            // The error inside an error is the one to read; one level is all that exists.
            Some(error) => Some(
                error
                    .get("error")
                    .filter(|inner| inner.is_object())
                    .unwrap_or(error),
            ),
            None => document
                .pointer("/choices/0/error")
                .or_else(|| document.pointer("/x_groq/error")),
        };
        if error.is_none() && !is_flat {
            return None;
        }
        let mut report = Self::default();
        if let Some(error) = error {
            report.add(error);
        }
        if error.is_none_or(|error| !error.is_object()) {
            report.add(document);
        }
        (error.is_some() || !report.message.is_empty() || !report.words.is_empty())
            .then_some(report)
    }

    /// Takes the text of a body that is no JSON.
    pub(in crate::http_provider) fn of_text(text: &str) -> Self {
        Self {
            message: plain(text),
            ..Self::default()
        }
    }

    /// Takes a kind that was named apart; AWS adds a URL to it.
    pub(in crate::http_provider) fn add_kind(&mut self, kind: &str) {
        let word = kind.split(':').next().unwrap_or_default().trim();
        if !word.is_empty() {
            self.words.push(word.to_ascii_lowercase());
        }
    }

    fn add(&mut self, error: &Value) {
        if let Some(text) = error.as_str() {
            text.clone_into(&mut self.message);
            return;
        }
        if self.message.is_empty() {
            self.message = [
                "message",
                "detail",
                "msg",
                "Message",
                "error_description",
                "title",
                "errors",
            ]
            .iter()
            .find_map(|key| sentence(error.get(key)?))
            .unwrap_or_default();
        }
        for key in ["type", "code", "status", "reason"] {
            if let Some(word) = error.get(key).and_then(Value::as_str) {
                self.words.push(word.to_ascii_lowercase());
            }
        }
        for key in [
            "status_code",
            "raw_status_code",
            "code",
            "status",
            "http_code",
        ] {
            self.status = self.status.or_else(|| status(error.get(key)?));
        }
        for pointer in [
            "/innererror/code",
            "/details/error_code",
            "/metadata/error_type",
        ] {
            if let Some(word) = error.pointer(pointer).and_then(Value::as_str) {
                self.words.push(word.to_ascii_lowercase());
            }
        }
        self.add_details(error);
        self.add_metadata(error);
    }

    /// Google's list of details: reasons, and how long to wait.
    fn add_details(&mut self, error: &Value) {
        for detail in error
            .get("details")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            if let Some(reason) = detail.get("reason").and_then(Value::as_str) {
                self.words.push(reason.to_ascii_lowercase());
            }
            if let Some(delay) = detail.get("retryDelay").and_then(Value::as_str) {
                self.retry_after = delay.strip_suffix('s').and_then(seconds);
            }
        }
    }

    /// OpenRouter's account of what the server behind it said.
    fn add_metadata(&mut self, error: &Value) {
        let Some(metadata) = error.get("metadata") else {
            return;
        };
        self.is_moderation |= metadata.get("reasons").is_some_and(Value::is_array)
            || metadata.get("flagged_input").is_some();
        let Some(raw) = metadata.get("raw").and_then(Value::as_str) else {
            return;
        };
        // The usual message says no more than that there was an error.
        if self.message == "Provider returned error" && !raw.is_empty() {
            let by = metadata
                .get("provider_name")
                .and_then(Value::as_str)
                .unwrap_or("provider");
            self.message = format!("{}: {by}: {raw}", self.message);
        }
    }
}

/// A message of whatever type: a text, an object with one, FastAPI's list of complaints.
fn sentence(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        Value::Object(object) => ["message", "detail", "msg"]
            .iter()
            .find_map(|key| sentence(object.get(*key)?)),
        Value::Array(list) => {
            let complaints: Vec<_> = list.iter().filter_map(complaint).collect();
            (!complaints.is_empty()).then(|| complaints.join("; "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// `{"loc":["body","max_tokens"],"msg":"field required"}` as `body.max_tokens: field required`.
fn complaint(value: &Value) -> Option<String> {
    let text = sentence(value)?;
    let place: Vec<_> = value
        .get("loc")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|step| {
            step.as_str()
                .map_or_else(|| step.to_string(), str::to_owned)
        })
        .collect();
    Some(if place.is_empty() {
        text
    } else {
        format!("{}: {text}", place.join("."))
    })
}

/// An HTTP status of an error, as a number or as digits.
fn status(value: &Value) -> Option<u16> {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    u16::try_from(number)
        .ok()
        .filter(|status| (400..600).contains(status))
}

/// A positive number of seconds, maybe with a fraction.
pub(in crate::http_provider) fn seconds(text: &str) -> Option<Duration> {
    let seconds = text
        .trim()
        .parse::<f64>()
        .ok()
        .filter(|seconds| *seconds > 0.0)?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// The readable part of a page or a text: tags, style and repeated blanks removed.
fn plain(text: &str) -> String {
    if !text.trim_start().starts_with('<') {
        return text.trim().to_owned();
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, tag)) = rest.split_once('<') {
        push_words(before, &mut out);
        let hidden = ["style", "script", "title"].iter().find(|name| {
            tag.get(..name.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(name))
        });
        let end = hidden.map_or_else(|| ">".to_owned(), |name| format!("</{name}>"));
        rest = tag.split_once(&end).map_or("", |(_, after)| after);
    }
    push_words(rest, &mut out);
    out
}

fn push_words(text: &str, out: &mut String) {
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Option<Report> {
        Report::read(&serde_json::from_str(json).unwrap(), true)
    }

    #[test]
    fn every_shape_gives_its_message_words_and_status() {
        for (json, message, words, status) in [
            (
                r#"{"error":{"message":"m","type":"T","code":"C","param":null}}"#,
                "m",
                "t c",
                None,
            ),
            (
                r#"{"error":{"message":"m","code":401,"type":"t"}}"#,
                "m",
                "t",
                Some(401),
            ),
            (
                r#"{"error":{"message":"m","code":"404"}}"#,
                "m",
                "404",
                Some(404),
            ),
            (
                r#"{"error":{"message":"m","type":null,"code":null}}"#,
                "m",
                "",
                None,
            ),
            (
                r#"{"error":{"message":"m","code":"x","status_code":400}}"#,
                "m",
                "x",
                Some(400),
            ),
            (
                r#"{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}"#,
                "m",
                "unavailable",
                Some(503),
            ),
            (
                r#"[{"error":{"code":429,"message":"m"}}]"#,
                "m",
                "",
                Some(429),
            ),
            (r#"{"error":"m"}"#, "m", "", None),
            (
                r#"{"code":"invalid-argument","error":"m"}"#,
                "m",
                "invalid-argument",
                None,
            ),
            (
                r#"{"object":"error","message":"m","type":"t","code":"1500","raw_status_code":400}"#,
                "m",
                "t 1500",
                Some(400),
            ),
            (r#"{"detail":"m"}"#, "m", "", None),
            (
                r#"{"detail":[{"loc":["body",0],"msg":"a","type":"x"},{"msg":"b"}]}"#,
                "body.0: a; b",
                "",
                None,
            ),
            (
                r#"{"message":{"detail":[{"loc":["body"],"msg":"a"}]}}"#,
                "body: a",
                "",
                None,
            ),
            (r#"{"message":"m"}"#, "m", "", None),
            (
                r#"{"success":false,"errors":[{"code":7000,"message":"a"},{"message":"b"}]}"#,
                "a; b",
                "",
                None,
            ),
            (
                r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#,
                "m",
                "overloaded_error",
                None,
            ),
            (r#"{"detail":"d","error":{"message":"m"}}"#, "m", "", None),
            (
                r#"{"error":{"code":"content_filter","message":"m","innererror":{"code":"X"}}}"#,
                "m",
                "content_filter x",
                None,
            ),
            (
                r#"{"choices":[{"error":{"code":502,"message":"m"}}]}"#,
                "m",
                "",
                Some(502),
            ),
            (r#"{"x_groq":{"error":"m"}}"#, "m", "", None),
            (r#"{"error":{"error":{"message":"m"}}}"#, "m", "", None),
        ] {
            let report = read(json).unwrap();
            let got = (
                report.message.as_str(),
                report.words.join(" "),
                report.status,
            );
            assert_eq!(got, (message, words.to_owned(), status), "{json}");
        }
    }

    #[test]
    fn what_reports_nothing_is_no_report() {
        for json in [
            "{}",
            r#"{"error":null}"#,
            r#"{"error":{}}"#,
            r#"{"error":""}"#,
            "[]",
            "7",
            r#"{"id":"x"}"#,
        ] {
            assert_eq!(read(json), None, "{json}");
        }
        assert!(read(r#"{"error":{"x":1}}"#).is_some());
        let chunk = serde_json::json!({"error": {}, "status": "running", "message": "m"});
        assert_eq!(Report::read(&chunk, false), None);
    }

    #[test]
    fn googles_wait_and_reason_are_found() {
        let report = read(
            r#"{"error":{"message":"m","details":[{"reason":"API_KEY_INVALID"},{"retryDelay":"48.5s"}]}}"#,
        )
        .unwrap();
        assert_eq!(report.retry_after, Some(Duration::from_millis(48_500)));
        assert_eq!(report.words, ["api_key_invalid"]);
        assert_eq!(
            read(r#"{"error":{"message":"m","details":"text"}}"#)
                .unwrap()
                .retry_after,
            None
        );
    }

    #[test]
    fn a_page_is_reduced_to_its_words() {
        for (text, want) in [
            (
                "<html><head><title>502</title><style>a{}</style></head>\r\n<h1>502 Bad\n Gateway</h1>",
                "502 Bad Gateway",
            ),
            (" busy \n", "busy"),
            ("<", ""),
            ("a < b", "a < b"),
        ] {
            assert_eq!(Report::of_text(text).message, want, "{text}");
        }
    }
}

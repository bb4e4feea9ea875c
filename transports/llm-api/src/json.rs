//! Writing JSON where its order matters to readers, or its cost; and reading one word of it.

use std::borrow::Cow;

/// Appends a number.
pub(crate) use lmserver_proto::decimal::write_decimal as number;
use lmserver_proto::json::scan::Scanner;
use lmserver_runtime::event::write_json_string;
use serde_json::Value;

/// The string under a key of an event's document, without a tree of the rest where the document is
/// an ordinary one.
pub(crate) fn string_at<'a>(document: &'a [u8], key: &str) -> Option<Cow<'a, str>> {
    let mut found = None;
    let mut scanner = Scanner::new(document);
    let read = scanner.object(&mut |name, scanner| {
        if name != key.as_bytes() {
            return scanner.skip();
        }
        found = if scanner.null() {
            None
        } else {
            Some(scanner.string()?)
        };
        Some(())
    });
    if read.and_then(|()| scanner.end()).is_some() {
        return found;
    }
    let document: Value = serde_json::from_slice(document).ok()?;
    let text = document.get(key)?.as_str()?;
    Some(text.to_owned().into())
}

/// Appends a string.
pub(crate) fn text(text: &str, out: &mut Vec<u8>) {
    write_json_string(text, out);
}

/// Appends a string, or null.
pub(crate) fn text_or_null(value: Option<&str>, out: &mut Vec<u8>) {
    match value {
        Some(value) => text(value, out),
        None => out.extend_from_slice(b"null"),
    }
}

/// Appends the items, with commas between them.
pub(crate) fn list<T>(
    items: impl IntoIterator<Item = T>,
    out: &mut Vec<u8>,
    mut write: impl FnMut(T, &mut Vec<u8>),
) {
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(item, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_found_at_its_key_alone() {
        for (document, want) in [
            (r#"{"a":"x","b":{"key":"y"},"key":"z","c":1e5}"#, Some("z")),
            (r#"{"key":"a\nb"}"#, Some("a\nb")),
            (r#"{"key":null}"#, None),
            (r#"{"key":"x","key":null}"#, None),
            (r#"{"key":"x"} 1"#, None),
            (r#"{"key":7}"#, None),
            (r#"{"other":"x"}"#, None),
            (r#"{"key":"x""#, None),
            ("[]", None),
            ("", None),
        ] {
            let found = string_at(document.as_bytes(), "key");
            assert_eq!(found.as_deref(), want, "{document}");
        }
    }

    #[test]
    fn numbers_have_all_their_digits() {
        for n in [0, 7, 10, 1_763_856_000, u64::MAX] {
            let mut out = b"x".to_vec();
            number(n, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("x{n}"));
        }
    }
}

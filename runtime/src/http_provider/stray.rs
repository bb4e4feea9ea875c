//! A JSON document that stands in a stream as it is, outside of any event.
//!
//! Gemini, and gateways in front of it, break an answer off so: the error is written behind the last
//! event without `data:`, on one line or indented over many. To server-sent events every line of it is
//! a field of an unknown name, cut at the first colon.

use serde_json::Value;

use crate::http_provider::json;

/// The lines of a document, as far as they have come.
#[derive(Default)]
pub(super) struct Stray {
    text: Vec<u8>,
}

impl Stray {
    /// Takes a field that the standard does not know; the document, once it is complete.
    pub(super) fn field(&mut self, name: &[u8], value: &[u8]) -> Option<Value> {
        let first = name.trim_ascii_start().first();
        if self.text.is_empty() && !matches!(first, Some(b'{' | b'[')) {
            return None;
        }
        if self.text.len() + name.len() + value.len() > MAX_DOCUMENT {
            self.text.clear();
            return None;
        }
        self.text.extend_from_slice(name);
        // A document's keys have their values on their lines, so this is a line without a colon.
        if !value.is_empty() {
            self.text.push(b':');
            self.text.extend_from_slice(value);
        }
        if !matches!(self.text.trim_ascii_end().last(), Some(b'}' | b']')) {
            self.text.push(b'\n');
            return None;
        }
        let document = json::value(&self.text)?;
        self.text.clear();
        Some(document)
    }

    /// An event has come: what was before it was no document.
    pub(super) fn forget(&mut self) {
        self.text.clear();
    }
}

/// Bytes of a document: errors are short, and it is tried at the end of each of its lists and objects.
const MAX_DOCUMENT: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// The document that comes of lines cut as server-sent events cut them.
    fn of(lines: &[&str]) -> Option<Value> {
        let mut stray = Stray::default();
        let mut documents = lines.iter().filter_map(|line| {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            stray.field(name.as_bytes(), value.as_bytes())
        });
        documents.next()
    }

    #[test]
    fn a_document_is_whole_with_its_last_line() {
        let want =
            Some(serde_json::json!({"error": {"code": 429, "message": "a: b", "details": []}}));
        for lines in [
            &[r#"{"error": {"code": 429, "message": "a: b", "details": []}}"#][..],
            &[
                "{",
                "  \"error\": {",
                "    \"code\": 429,",
                "    \"message\": \"a: b\",",
                "    \"details\": [",
                "    ]",
                "  }",
                "}",
            ],
        ] {
            assert_eq!(of(lines), want);
            assert_eq!(of(&lines[..lines.len() - 1]), None);
        }
        assert_eq!(
            of(&["[{", "\"a\": 1", "}", "]"]),
            Some(serde_json::json!([{"a": 1}]))
        );
    }

    #[test]
    fn what_does_not_begin_as_one_is_none_and_neither_is_one_without_end() {
        assert_eq!(of(&["x: {}", "retry: 7", "}"]), None);
        let long = "1,".repeat(MAX_DOCUMENT / 2);
        assert_eq!(of(&["[", &long, "1]"]), None);
        let mut stray = Stray::default();
        assert_eq!(stray.field(b"{", b""), None);
        stray.forget();
        assert_eq!(stray.field(b"}", b""), None);
    }
}

//! A JSON document that stands in a stream as it is, outside of any event.
//!
//! Gemini, and gateways in front of it, break an answer off so: the error is written behind the last
//! event without `data:`, on one line or indented over many. To server-sent events every line of it is
//! a field of an unknown name, cut at the first colon.

use serde_json::Value;

use crate::http_provider::json;

/// What stands outside of events, as far as it has come since the last one. Hardly any stream has it.
#[derive(Default)]
pub(super) struct Stray(Option<Box<Lines>>);

/// The lines of what may be a document.
#[derive(Default)]
struct Lines {
    text: Vec<u8>,
    /// Lists and objects that are open in it.
    depth: usize,
    /// It was too long: nothing more is taken before the next event.
    is_over: bool,
}

impl Stray {
    /// Takes a field that the standard does not know; the document, once it is complete.
    pub(super) fn take(&mut self, name: &[u8], value: &[u8]) -> Option<Value> {
        self.0.get_or_insert_default().take(name, value)
    }

    /// An event has come: what was before it was no document.
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }
}

impl Lines {
    fn take(&mut self, name: &[u8], value: &[u8]) -> Option<Value> {
        let begins = match name.first() {
            _ if self.is_over => return None,
            // What was begun without being a document must not hide one; a list has objects in it.
            Some(b'{') if !self.text.starts_with(b"[") => true,
            _ => self.text.is_empty(),
        };
        if begins {
            self.clear();
            if !matches!(name.trim_ascii_start().first(), Some(b'{' | b'[')) {
                return None;
            }
        }
        if self.text.len() + name.len() + value.len() > MAX_DOCUMENT {
            self.clear();
            self.is_over = true;
            return None;
        }
        let start = self.text.len();
        self.text.extend_from_slice(name);
        // A document's keys have their values on their lines, so this is a line without a colon.
        if !value.is_empty() {
            self.text.push(b':');
            self.text.extend_from_slice(value);
        }
        self.text.push(b'\n');
        self.depth = depth_behind(self.text.get(start..).unwrap_or_default(), self.depth);
        if self.depth > 0 {
            return None;
        }
        let document = json::value(&self.text);
        self.clear();
        document
    }

    fn clear(&mut self) {
        self.text = Vec::new();
        self.depth = 0;
    }
}

/// How many lists and objects are open behind a line, which no string of JSON goes beyond.
fn depth_behind(line: &[u8], mut depth: usize) -> usize {
    let (mut is_string, mut is_escaped) = (false, false);
    for byte in line {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_string => is_escaped = true,
            b'"' => is_string = !is_string,
            b'{' | b'[' if !is_string => depth += 1,
            b'}' | b']' if !is_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    depth
}

/// Bytes of a document. Errors are short.
const MAX_DOCUMENT: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of lines, cut as server-sent events cut them.
    fn take(stray: &mut Stray, lines: &[&str]) -> Option<Value> {
        let mut documents = lines.iter().filter_map(|line| {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            stray.take(name.as_bytes(), value.as_bytes())
        });
        documents.next()
    }

    fn of(lines: &[&str]) -> Option<Value> {
        take(&mut Stray::default(), lines)
    }

    #[test]
    fn a_document_is_whole_with_its_last_line() {
        let want = Some(
            serde_json::json!({"error": {"code": 429, "message": "a: {\"b\\", "details": []}}),
        );
        for lines in [
            &[r#"{"error": {"code": 429, "message": "a: {\"b\\", "details": []}}"#][..],
            &[
                "{",
                "  \"error\": {",
                "    \"code\": 429,",
                r#"    "message": "a: {\"b\\","#,
                "    \"details\": [",
                "    ]",
                "  }",
                "}",
            ],
        ] {
            assert_eq!(of(lines), want);
            assert_eq!(of(&lines[..lines.len() - 1]), None);
        }
        let list = Some(serde_json::json!([{"a": 1}]));
        assert_eq!(of(&["[{", "\"a\": 1", "}", "]"]), list);
        assert_eq!(of(&["[", "{\"a\": 1}", "]"]), list);
    }

    #[test]
    fn what_is_no_document_hides_none() {
        let document = "{\"a\": 1}";
        let want = Some(serde_json::json!({"a": 1}));
        for before in ["x: {}", "}", "[DONE]", "{oops", "{\"a", "retry: 7"] {
            assert_eq!(of(&[before]), None, "{before}");
            assert_eq!(of(&[before, document]), want, "{before}");
        }
    }

    #[test]
    fn one_that_is_too_long_is_none_until_the_next_event() {
        let long = "1,".repeat(MAX_DOCUMENT / 2);
        let mut stray = Stray::default();
        assert_eq!(take(&mut stray, &["[", &long, "1]", "{\"a\": 1}"]), None);
        assert!(stray.0.as_ref().is_some_and(|lines| lines.text.is_empty()));
        stray.forget();
        assert!(take(&mut stray, &["{\"a\": 1}"]).is_some());
        assert_eq!(take(&mut stray, &["{"]), None);
        stray.forget();
        assert_eq!(take(&mut stray, &["}"]), None);
    }
}

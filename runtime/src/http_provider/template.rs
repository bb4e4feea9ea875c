//! What the events of one answer have in common, so that it is compared and not read again.
//!
//! Thousands of events of an answer differ in one string and in nothing else. Once one of them was
//! read, another that has the same bytes before that string and behind it says the same but for
//! the string, since it is the same document with another string in that place.

use std::borrow::Cow;

use crate::http_provider::json::Scanner;

/// Bytes of an event that are remembered; events with more around their text are always read.
const MOST: usize = 2048;

/// An event with a gap where its text stands.
#[derive(Debug, Default)]
pub struct Template {
    /// What stands before the gap, opening quote included, then what stands behind the closing one.
    around: Vec<u8>,
    /// Where the gap is; 0 while nothing is known.
    gap: usize,
    /// Was an event offered? The first one is passed over: it is waited for, and the next ones
    /// often differ from it.
    was_offered: bool,
}

impl Template {
    /// The text of an event that differs from the one learnt in nothing else. `None`: it is to be
    /// read.
    #[must_use]
    pub fn text<'a>(&self, data: &'a [u8]) -> Option<Cow<'a, str>> {
        let quote = self.gap.checked_sub(1)?;
        let (before, behind) = self.around.split_at_checked(self.gap)?;
        if !data.starts_with(before) || !data.ends_with(behind) {
            return None;
        }
        let mut scanner = Scanner::new(data.get(quote..)?);
        let text = scanner.string()?;
        (scanner.rest() == behind).then_some(text)
    }

    /// Learns an event that says `text`, a string borrowed from its `data`, and nothing else.
    pub fn learn(&mut self, data: &[u8], text: &str) {
        if !std::mem::replace(&mut self.was_offered, true) {
            return;
        }
        let start = text.as_ptr().addr().wrapping_sub(data.as_ptr().addr());
        let around = data.split_at_checked(start).and_then(|(before, rest)| {
            let behind = rest.strip_prefix(text.as_bytes())?.strip_prefix(b"\"")?;
            let is_string = before.ends_with(b"\"") && before.len() + behind.len() <= MOST;
            is_string.then_some((before, behind))
        });
        self.around.clear();
        self.gap = 0;
        if let Some((before, behind)) = around {
            self.around.reserve_exact(before.len() + behind.len());
            self.around.extend_from_slice(before);
            self.around.extend_from_slice(behind);
            self.gap = before.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learnt(data: &str, text: &str) -> Template {
        let at = data.find(text).unwrap();
        let mut template = Template::default();
        for _ in 0..2 {
            assert_eq!(template.text(data.as_bytes()), None);
            template.learn(data.as_bytes(), &data[at..at + text.len()]);
        }
        template
    }

    #[test]
    fn an_event_that_differs_in_its_text_alone_is_known() {
        let template = learnt(r#"{"a":1,"text":"one","b":[]}"#, "one");
        for (data, want) in [
            (r#"{"a":1,"text":"one","b":[]}"#, Some("one")),
            (r#"{"a":1,"text":"","b":[]}"#, Some("")),
            (r#"{"a":1,"text":"a\n\"é","b":[]}"#, Some("a\n\"é")),
            (r#"{"a":1,"text":"x","b":[]},"b":[]}"#, None),
            (r#"{"a":1,"text":"x","text":"y","b":[]}"#, None),
            (r#"{"a":1,"text":"\u0041","b":[]}"#, Some("A")),
            (r#"{"a":1,"text":"\ud83d","b":[]}"#, None),
            (r#"{"a":1,"text":"\","b":[]}"#, None),
            (r#"{"a":1,"text":","b":[]}"#, None),
            (r#"{"a":1,"text":null,"b":[]}"#, None),
            (r#"{"a":2,"text":"one","b":[]}"#, None),
            (r#"{"a":1,"text":"one","b":[]} "#, None),
            ("", None),
        ] {
            assert_eq!(template.text(data.as_bytes()).as_deref(), want, "{data}");
        }
        assert_eq!(Template::default().text(b"\"\""), None);
    }

    #[test]
    fn what_is_no_string_of_the_event_is_not_learnt() {
        let data = r#"{"text":"one"}"#;
        for text in ["elsewhere", "text\":\"one", "{", "on"] {
            let mut template = learnt(data, "one");
            match data.find(text) {
                Some(at) => template.learn(data.as_bytes(), &data[at..at + text.len()]),
                None => template.learn(data.as_bytes(), text),
            }
            let again = template.text(data.as_bytes());
            assert!(again.is_none() || text == "text\":\"one", "{text}");
        }
        let long = format!("{{\"text\":\"one\",\"x\":\"{}\"}}", "x".repeat(MOST));
        assert_eq!(learnt(&long, "one").text(long.as_bytes()), None);
    }
}

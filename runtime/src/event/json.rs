//! The JSON of an event, as logs hold it.

use std::borrow::Cow;

use super::Kind;

/// The JSON of an event: one line, an object for every kind but `Data`.
///
/// Of an event that is text and nothing else a log holds the string alone, since what stands around
/// it is the same each time. Such JSON is in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<'a> {
    /// What stands before `held`; nothing where that is all.
    before: &'static [u8],
    held: &'a [u8],
}

impl<'a> Json<'a> {
    /// JSON that is there in one piece.
    #[must_use]
    pub const fn new(whole: &'a [u8]) -> Self {
        Self {
            before: b"",
            held: whole,
        }
    }

    /// What a log holds of an event of this kind, as [`Event::write_held`](super::Event) wrote it.
    pub(crate) fn of_held(kind: Kind, held: &'a [u8]) -> Self {
        let before = before_text(kind).unwrap_or_default();
        Self { before, held }
    }

    /// What it is put together of.
    #[must_use]
    pub fn parts(&self) -> [&'a [u8]; 3] {
        let after = if self.before.is_empty() {
            &b""[..]
        } else {
            AFTER_TEXT
        };
        [self.before, self.held, after]
    }

    /// The same without the brace that opens an object: its members and the closing brace. All of
    /// it stands in the second part where it is in one piece.
    #[must_use]
    pub fn members(&self) -> [&'a [u8]; 3] {
        let [before, held, after] = self.parts();
        match before.split_first() {
            Some((_, before)) => [before, held, after],
            None => [before, held.get(1..).unwrap_or_default(), after],
        }
    }

    /// Appends it.
    pub fn write(&self, out: &mut Vec<u8>) {
        for part in self.parts() {
            out.extend_from_slice(part);
        }
    }

    /// All of it in one piece.
    #[must_use]
    pub fn whole(&self) -> Cow<'a, [u8]> {
        if self.before.is_empty() {
            return Cow::Borrowed(self.held);
        }
        Cow::Owned(self.parts().concat())
    }

    /// How long it is.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts().iter().map(|part| part.len()).sum()
    }

    /// Is there nothing? Never so of an event.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The string, quotes included, in the JSON of an event of this kind that is text and nothing
    /// else.
    pub(crate) fn text(&self, kind: Kind) -> Option<&'a [u8]> {
        if !self.before.is_empty() {
            return Some(self.held);
        }
        let held = self.held.strip_prefix(before_text(kind)?)?;
        held.strip_suffix(AFTER_TEXT)
    }
}

/// What stands before the string of an event that is text and nothing else.
pub(super) fn before_text(kind: Kind) -> Option<&'static [u8]> {
    match kind {
        Kind::Chunk => Some(br#"{"type":"chunk","message":"#),
        Kind::Reasoning => Some(br#"{"type":"reasoning","message":"#),
        Kind::Refusal => Some(br#"{"type":"refusal","message":"#),
        Kind::Start | Kind::ToolCall | Kind::End | Kind::Error | Kind::Data => None,
    }
}

/// And what stands behind it.
const AFTER_TEXT: &[u8] = b"}";

/// What JSON strings say, one behind the other; nothing where one of them is none.
pub(crate) fn join<'a>(strings: impl Iterator<Item = &'a [u8]>) -> String {
    let mut joined = Vec::new();
    for string in strings {
        let plain = string.get(1..string.len().saturating_sub(1));
        joined.extend_from_slice(plain.unwrap_or_default());
    }
    // Two passes over all are cheaper than two over each.
    if joined.contains(&b'\\') {
        joined.insert(0, b'"');
        joined.push(b'"');
        return serde_json::from_slice(&joined).unwrap_or_default();
    }
    String::from_utf8(joined).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, ToolCall};

    #[test]
    fn what_is_held_is_the_same_json_as_what_is_in_one_piece() {
        for text in ["Hel", "H\n\u{2028}\u{1f600}", "\"\\", "}", ""] {
            for event in [
                Event::Chunk(text.into()),
                Event::Reasoning(text.into()),
                Event::Refusal(text.into()),
            ] {
                let (mut whole, mut held) = (Vec::new(), Vec::new());
                event.write_json(&mut whole);
                event.write_held(&mut held);
                let kind = event.kind();
                assert!(held.len() + 20 < whole.len(), "{kind:?}");
                let (parted, joined) = (Json::of_held(kind, &held), Json::new(&whole));
                for json in [parted, joined] {
                    assert_eq!(*json.whole(), whole);
                    assert_eq!(json.len(), whole.len());
                    assert_eq!(json.members().concat(), whole[1..]);
                    let mut out = Vec::new();
                    json.write(&mut out);
                    assert_eq!(out, whole);
                    assert_eq!(json.text(kind), Some(&*held));
                }
                assert_eq!(join([&*held, b"\"\"", &*held].into_iter()), text.repeat(2));
            }
        }
    }

    #[test]
    fn what_is_more_than_text_is_held_whole() {
        let call = ToolCall {
            arguments: "{".into(),
            ..ToolCall::default()
        };
        for event in [
            Event::ToolCall(Box::new(call)),
            Event::Start { model: "m".into() },
            Event::Data(b"[1]".to_vec().into(), None),
        ] {
            let (mut whole, mut held) = (Vec::new(), Vec::new());
            event.write_json(&mut whole);
            event.write_held(&mut held);
            assert_eq!(whole, held);
            let json = Json::of_held(event.kind(), &held);
            assert!(matches!(json.whole(), Cow::Borrowed(it) if it == whole));
            assert_eq!(json.text(event.kind()), None);
            assert_eq!(json.members().concat(), whole[1..]);
        }
        assert!(Json::new(b"").is_empty());
        assert_eq!(Json::new(b"").members().concat(), b"");
    }

    #[test]
    fn what_is_no_string_says_nothing() {
        for string in [&b""[..], b"\"", b"\"\\\"", b"\"\xff\"", b"\"\\x\""] {
            assert_eq!(join([string].into_iter()), "", "{string:?}");
        }
    }
}

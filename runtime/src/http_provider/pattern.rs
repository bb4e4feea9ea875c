//! What the events of one server's answers have in common, so that even the first text of an answer is not read anew.
//!
//! The events of two answers differ in more than the text: in an id, in the time, in padding of random length. Values
//! that mean nothing to the reader are gaps as the text is one; an event with the same bytes between its gaps, and with
//! some JSON value in each, says the same but for the text. Within one answer [`Template`](super::Template) is faster.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::OnceLock;

use crate::http_provider::json::Scanner;

/// Bytes between the gaps that are remembered; events with more are always read.
const MOST: usize = 2048;
/// Gaps that are remembered; an event with more of them is read.
const MOST_GAPS: usize = 16;

/// How many are learnt of one server: its models may differ.
const MOST_PATTERNS: usize = 4;

/// How many answers leave behind what may be one; a server whose events are never alike is not looked at for ever.
const MOST_CANDIDATES: usize = 8;

/// The patterns of one server's events, each learnt once. What is learnt changes what an answer costs, never what it
/// says: all of a server's answers may share it.
#[derive(Debug, Default)]
pub struct Patterns {
    known: [OnceLock<Pattern>; MOST_PATTERNS],
    /// What was left over at the ends of answers, to be compared with others.
    candidates: [OnceLock<Pattern>; MOST_CANDIDATES],
}

/// An event with gaps where its text and the values of no account stand.
#[derive(Debug, Clone, Default)]
pub struct Pattern {
    /// What stands between the gaps, one piece after the other.
    pieces: Vec<u8>,
    /// In the order of the event.
    gaps: Vec<Gap>,
}

/// A value that differs from event to event.
#[derive(Debug, Clone, Copy)]
struct Gap {
    /// Where in `pieces` that ends which stands before it.
    behind: usize,
    is_text: bool,
}

impl Patterns {
    /// The text of an event that one of the patterns fits. `None`: it is to be read.
    #[must_use]
    pub fn text<'a>(&self, data: &'a [u8]) -> Option<Cow<'a, str>> {
        let mut known = self.known.iter().map_while(OnceLock::get);
        known.find_map(|pattern| pattern.text(data))
    }

    /// Are there as many as are learnt?
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.known.iter().all(|it| it.get().is_some())
    }

    /// Keeps what an answer's last event was like, for other answers; beyond eight they are passed over.
    pub fn propose(&self, candidate: Pattern) {
        keep(&self.candidates, candidate);
    }

    /// What another answer had that fits this event as well.
    #[must_use]
    pub fn candidate_for(&self, data: &[u8]) -> Option<Pattern> {
        let mut proposed = self.candidates.iter().map_while(OnceLock::get);
        proposed
            .find(|pattern| pattern.text(data).is_some())
            .cloned()
    }

    /// Adds one; beyond four they are passed over.
    pub fn add(&self, pattern: Pattern) {
        keep(&self.known, pattern);
    }
}

/// Puts one into the first free place, if there is any.
fn keep(places: &[OnceLock<Pattern>], pattern: Pattern) {
    if let Some(free) = places.iter().find(|it| it.get().is_none()) {
        free.get_or_init(|| pattern);
    }
}

impl Pattern {
    /// The pattern of an event, a JSON object, that says `text`, a string borrowed from its `data`, and nothing else.
    /// Members for whose names `is_of_no_account` is true may hold anything. `None`: it is none of which to learn.
    #[must_use]
    pub fn of(data: &[u8], text: &str, is_of_no_account: &dyn Fn(&[u8]) -> bool) -> Option<Self> {
        let quoted = place_of(data, text)?;
        let place = |rest: &[u8]| data.len() - rest.len();
        let mut pattern = Self::default();
        let mut from = 0;
        let mut is_known = false;
        let mut scanner = Scanner::new(data);
        scanner.object(&mut |key, scanner| {
            let start = place(scanner.rest());
            scanner.skip()?;
            let value = start..place(scanner.rest());
            let is_text = quoted.start >= value.start && quoted.end <= value.end;
            if !is_text && !is_of_no_account(key) {
                return Some(());
            }
            is_known |= is_text;
            let gap = if is_text { quoted.clone() } else { value };
            pattern.add_piece(data.get(from..gap.start)?)?;
            from = gap.end;
            let behind = pattern.pieces.len();
            pattern.gaps.push(Gap { behind, is_text });
            (pattern.gaps.len() <= MOST_GAPS).then_some(())
        })?;
        scanner.end()?;
        pattern.add_piece(data.get(from..)?)?;
        is_known.then_some(pattern)
    }

    fn add_piece(&mut self, piece: &[u8]) -> Option<()> {
        let fits = self.pieces.len() + piece.len() <= MOST;
        fits.then(|| self.pieces.extend_from_slice(piece))
    }

    /// The text of an event that differs from the one learnt in nothing else that matters.
    #[must_use]
    pub fn text<'a>(&self, data: &'a [u8]) -> Option<Cow<'a, str>> {
        let mut scanner = Scanner::new(data);
        let mut text = None;
        let mut from = 0;
        for gap in &self.gaps {
            let piece = self.pieces.get(from..gap.behind)?;
            scanner = Scanner::new(scanner.rest().strip_prefix(piece)?);
            if gap.is_text {
                text = Some(scanner.string()?);
            } else {
                scanner.skip()?;
            }
            from = gap.behind;
        }
        let last = self.pieces.get(from..)?;
        (scanner.rest() == last).then_some(text).flatten()
    }
}

/// Where a string stands in the event that it was borrowed from, quotes included.
fn place_of(data: &[u8], text: &str) -> Option<Range<usize>> {
    let start = text.as_ptr().addr().checked_sub(data.as_ptr().addr())?;
    let quoted = start.checked_sub(1)?..start.checked_add(text.len() + 1)?;
    let inside = data.get(quoted.clone())?.strip_prefix(b"\"")?;
    (inside.strip_suffix(b"\"")? == text.as_bytes()).then_some(quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learnt(data: &str, text: &str) -> Option<Pattern> {
        let at = data.find(text).unwrap();
        let text = &data[at..at + text.len()];
        Pattern::of(data.as_bytes(), text, &|key| {
            [&b"id"[..], b"pad"].contains(&key)
        })
    }

    #[test]
    fn an_event_that_differs_in_nothing_that_matters_is_known() {
        let pattern = learnt(
            r#"{"id":"a1","n":1,"c":[{"text":"one"}],"pad":"xyz"}"#,
            "one",
        )
        .unwrap();
        for (data, want) in [
            (
                r#"{"id":"a1","n":1,"c":[{"text":"one"}],"pad":"xyz"}"#,
                Some("one"),
            ),
            (
                r#"{"id":"b\"","n":1,"c":[{"text":"two\n"}],"pad":""}"#,
                Some("two\n"),
            ),
            (
                r#"{"id": 17,"n":1,"c":[{"text":""}],"pad":{"x":[]}}"#,
                Some(""),
            ),
            (
                r#"{"id":null,"n":1,"c":[{"text":"\u0041"}],"pad":true}"#,
                Some("A"),
            ),
            (
                r#"{"id":"a1","n":2,"c":[{"text":"one"}],"pad":"xyz"}"#,
                None,
            ),
            (r#"{"id":"a1","n":1,"c":[{"text":1}],"pad":"xyz"}"#, None),
            (
                r#"{"id":"a1","n":1,"c":[{"text":"one"}],"pad":"xyz"},"#,
                None,
            ),
            (r#"{"id":"a1","n":1,"c":[{"text":"one"}],"pad":"xyz""#, None),
            (r#"{"id":,"n":1,"c":[{"text":"one"}],"pad":"xyz"}"#, None),
            (
                r#"{"id":"a1","n":3,"n":1,"c":[{"text":"one"}],"pad":"xyz"}"#,
                None,
            ),
            (
                r#"{"id":"a1","n":1,"c":[{"text":"one"}],"pad":"x","n":2}"#,
                None,
            ),
            ("", None),
        ] {
            assert_eq!(pattern.text(data.as_bytes()).as_deref(), want, "{data}");
        }
        assert_eq!(Patterns::default().text(b""), None);
    }

    #[test]
    fn what_is_no_string_of_an_object_is_not_learnt() {
        let data = r#"{"id":1,"text":"one"}"#;
        for text in ["elsewhere", "{", "on", "id"] {
            let found = data.find(text).map(|at| &data[at..at + text.len()]);
            let pattern = Pattern::of(data.as_bytes(), found.unwrap_or(text), &|_| true);
            assert!(pattern.is_none(), "{text}");
        }
        for data in [r#"["one"]"#, r#"{"text":"one"} {}"#, r#"{"text":"one""#] {
            assert!(learnt(data, "one").is_none(), "{data}");
        }
    }

    #[test]
    fn a_server_has_more_than_one_pattern_and_not_many() {
        let patterns = Patterns::default();
        let events: Vec<String> = (0..=MOST_PATTERNS)
            .map(|number| format!(r#"{{"number":{number},"text":"one"}}"#))
            .collect();
        for event in &events {
            patterns.add(learnt(event, "one").unwrap());
            assert_eq!(
                patterns.is_full(),
                events.iter().position(|it| it == event) >= Some(MOST_PATTERNS - 1)
            );
        }
        for (index, event) in events.iter().enumerate() {
            let known = patterns.text(event.as_bytes()).is_some();
            assert_eq!(known, index < MOST_PATTERNS, "{event}");
        }
    }

    #[test]
    fn a_pattern_has_bounds() {
        let of_length = |length: usize| {
            let around = r#"{"text":,"x":""}"#.len();
            let event = format!(r#"{{"text":"one","x":"{}"}}"#, "x".repeat(length - around));
            learnt(&event, "one").is_some()
        };
        assert!(of_length(MOST));
        assert!(!of_length(MOST + 1));
        let with_gaps = |count: usize| {
            let event = format!(r#"{{{}"text":"one"}}"#, r#""id":1,"#.repeat(count - 1));
            learnt(&event, "one").is_some()
        };
        assert!(with_gaps(MOST_GAPS));
        assert!(!with_gaps(MOST_GAPS + 1));
    }
}

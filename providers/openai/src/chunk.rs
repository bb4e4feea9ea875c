//! One `chat.completion.chunk`, read without copying what is plain.
//!
//! Three readers for one shape, each for what the one before it gives up. [`plain`] reads chunks of
//! text, of which an answer is made, in one go. The typed one takes what well-behaved servers send
//! and borrows every string without escapes. What it cannot read (a number where a string belongs,
//! a key given twice, bytes that are not UTF-8) goes to [`lenient`], which takes any JSON and picks
//! out what it understands.
//!
//! Both take a lone surrogate escape (`"\ud83d"`, as UTF-16 gateways cut emoji) for U+FFFD.

mod lenient;
mod plain;

use std::borrow::Cow;
use std::fmt;

use lmserver_runtime::http_provider::json::{self, Text};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};

pub(crate) use lenient::delta;

/// A chunk. Everything may be missing; what is rare is boxed, since chunks are moved about.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Chunk<'a> {
    #[serde(borrow, default)]
    pub(crate) object: Option<Text<'a>>,
    /// An event type some gateways write into the data.
    #[serde(borrow, default, rename = "type")]
    pub(crate) kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) choices: Option<Choices<'a>>,
    #[serde(default)]
    pub(crate) usage: Option<Box<Usage>>,
    #[serde(default)]
    pub(crate) x_groq: Option<Box<Groq>>,
    /// There is an error; what it says is read by `error`.
    #[serde(default)]
    pub(crate) error: Option<IgnoredAny>,
}

/// What Groq adds to its first and last chunk.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Groq {
    #[serde(default)]
    pub(crate) usage: Option<Box<Usage>>,
    #[serde(default)]
    pub(crate) error: Option<IgnoredAny>,
}

/// The entries of choice 0. Answers of other choices are read and dropped, never mixed in.
#[derive(Debug, Default)]
pub(crate) struct Choices<'a> {
    pub(crate) first: Option<Choice<'a>>,
    /// Further entries of the same choice in one chunk.
    pub(crate) others: Vec<Choice<'a>>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Choice<'a> {
    #[serde(default)]
    index: Option<u64>,
    #[serde(borrow, default)]
    pub(crate) delta: Option<Delta<'a>>,
    #[serde(borrow, default)]
    pub(crate) finish_reason: Option<Text<'a>>,
    #[serde(default)]
    pub(crate) error: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Delta<'a> {
    #[serde(borrow, default)]
    pub(crate) content: Option<Content<'a>>,
    #[serde(borrow, default)]
    pub(crate) reasoning_content: Option<Content<'a>>,
    #[serde(borrow, default)]
    pub(crate) reasoning: Option<Content<'a>>,
    #[serde(borrow, default)]
    pub(crate) refusal: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) tool_calls: Option<Vec<CallFragment<'a>>>,
    /// The one call of the API before tools.
    #[serde(borrow, default)]
    pub(crate) function_call: Option<Box<Function<'a>>>,
}

/// A string, or Mistral's list of typed parts.
#[derive(Debug)]
pub(crate) enum Content<'a> {
    Text(Text<'a>),
    Parts(Vec<Part<'a>>),
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Part<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(crate) kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) text: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) thinking: Option<Content<'a>>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct CallFragment<'a> {
    #[serde(default)]
    pub(crate) index: Option<u64>,
    #[serde(borrow, default)]
    pub(crate) id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) function: Option<Function<'a>>,
    /// A tool that takes free text instead of JSON.
    #[serde(borrow, default)]
    pub(crate) custom: Option<Custom<'a>>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Function<'a> {
    #[serde(borrow, default)]
    pub(crate) name: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) arguments: Option<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Custom<'a> {
    #[serde(borrow, default)]
    pub(crate) name: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) input: Option<Text<'a>>,
}

/// Token counts under all their names.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
pub(crate) struct Usage {
    #[serde(default)]
    pub(crate) prompt_tokens: Option<u64>,
    #[serde(default)]
    pub(crate) completion_tokens: Option<u64>,
    #[serde(default)]
    pub(crate) completion_tokens_details: Option<CompletionDetails>,
    #[serde(default)]
    pub(crate) prompt_tokens_details: Option<PromptDetails>,
    #[serde(default)]
    pub(crate) reasoning_tokens: Option<u64>,
    #[serde(default)]
    pub(crate) prompt_cache_hit_tokens: Option<u64>,
    #[serde(default)]
    pub(crate) cached_tokens: Option<u64>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
pub(crate) struct CompletionDetails {
    #[serde(default)]
    pub(crate) reasoning_tokens: Option<u64>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
pub(crate) struct PromptDetails {
    #[serde(default)]
    pub(crate) cached_tokens: Option<u64>,
}

impl<'a> Chunk<'a> {
    /// Reads a JSON document; `None` if it is no JSON object at all.
    pub(crate) fn read(data: &'a [u8]) -> Option<Self> {
        plain::chunk(data).or_else(|| Self::read_any(data))
    }

    fn read_any(data: &'a [u8]) -> Option<Self> {
        // A list would be read as the fields in order.
        if !data.trim_ascii_start().starts_with(b"{") {
            return None;
        }
        match serde_json::from_slice(data) {
            Ok(chunk) => Some(chunk),
            Err(_) => json::value(data).as_ref().and_then(lenient::chunk),
        }
    }

    /// The text of a chunk that says a piece of the answer and nothing else, where it is written
    /// there as it is.
    pub(crate) fn only_text(&self) -> Option<&'a str> {
        let choices = self.choices.as_ref().filter(|it| it.others.is_empty())?;
        let choice = choices.first.as_ref()?;
        let delta = choice.delta.as_ref()?;
        let says_more = self.usage().is_some()
            || self.reports_error()
            || choice
                .finish_reason
                .as_deref()
                .is_some_and(|reason| !reason.is_empty())
            || delta.reasoning_content.is_some()
            || delta.reasoning.is_some()
            || delta.refusal.is_some()
            || delta.tool_calls.is_some()
            || delta.function_call.is_some();
        match &delta.content {
            Some(Content::Text(Text(Cow::Borrowed(text)))) if !says_more => Some(text),
            _ => None,
        }
    }

    /// True if the chunk, whatever else it holds, reports a failure.
    pub(crate) fn reports_error(&self) -> bool {
        self.error.is_some()
            || self
                .x_groq
                .as_ref()
                .is_some_and(|groq| groq.error.is_some())
            || self.is_error()
            || self
                .choices
                .iter()
                .flat_map(Choices::iter)
                .any(|choice| choice.error.is_some())
    }

    /// True if the chunk as a whole calls itself an error.
    pub(crate) fn is_error(&self) -> bool {
        [&self.object, &self.kind]
            .into_iter()
            .flatten()
            .any(|name| **name == *"error")
    }

    /// The usage, wherever it stands.
    pub(crate) fn usage(&self) -> Option<&Usage> {
        let of_groq = || self.x_groq.as_ref()?.usage.as_deref();
        self.usage.as_deref().or_else(of_groq)
    }
}

impl<'a> Choices<'a> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Choice<'a>> {
        self.first.iter().chain(&self.others)
    }

    /// Takes up an entry if it belongs to choice 0. Without a number its place counts.
    fn add(&mut self, place: u64, choice: Choice<'a>) {
        if choice.index.unwrap_or(place) != 0 {
            return;
        }
        if self.first.is_none() {
            self.first = Some(choice);
        } else {
            self.others.push(choice);
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of parts")
    }

    fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Content<'de>, E> {
        Ok(Content::Text(bytes.into()))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Content<'de>, E> {
        Ok(Content::Text(Text(Cow::Owned(json::lossy(bytes)))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Content<'de>, A::Error> {
        let mut parts = Vec::new();
        while let Some(part) = list.next_element()? {
            parts.push(part);
        }
        Ok(Content::Parts(parts))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Choices<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ChoicesVisitor)
    }
}

struct ChoicesVisitor;

impl<'de> Visitor<'de> for ChoicesVisitor {
    type Value = Choices<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of choices")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Choices<'de>, A::Error> {
        let mut choices = Choices::default();
        let mut place = 0;
        while let Some(choice) = list.next_element()? {
            choices.add(place, choice);
            place += 1;
        }
        Ok(choices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(json: &str) -> String {
        let json = format!(r#"{{"choices":[{{"index":0,"delta":{{"content":{json}}}}}]}}"#);
        let chunk = Chunk::read(json.as_bytes()).unwrap();
        let choice = chunk.choices.unwrap().first.unwrap();
        match choice.delta.unwrap().content {
            Some(Content::Text(text)) => text.to_string(),
            Some(Content::Parts(parts)) => format!("{} parts", parts.len()),
            None => "none".to_owned(),
        }
    }

    #[test]
    fn content_of_any_type_is_read() {
        for (json, want) in [
            (r#""plain""#, "plain"),
            (r#""a\nb""#, "a\nb"),
            (r#""\ud83d\ude00""#, "\u{1F600}"),
            (r#""\ud83d""#, "\u{FFFD}"),
            (r#""\ude00!""#, "\u{FFFD}!"),
            (r#""\ud83dx""#, "\u{FFFD}x"),
            ("null", "none"),
            ("7", "none"),
            ("{}", "none"),
            (r#"[{"type":"text","text":"a"},{"type":"x"}]"#, "2 parts"),
        ] {
            assert_eq!(content(json), want, "{json}");
        }
    }

    #[test]
    fn a_plain_string_is_borrowed() {
        let json = br#"{"choices":[{"delta":{"content":"abc"}}]}"#;
        let chunk: Chunk<'_> = serde_json::from_slice(json).unwrap();
        let choice = chunk.choices.unwrap().first.unwrap();
        let Some(Content::Text(Text(Cow::Borrowed("abc")))) = choice.delta.unwrap().content else {
            panic!("not borrowed");
        };
    }

    #[test]
    fn only_choice_0_is_kept() {
        let json = br#"{"choices":[{"index":1,"finish_reason":"a"},{"index":0,"finish_reason":"b"},
            {"finish_reason":"c"},{"index":0,"finish_reason":"d"}]}"#;
        let chunk = Chunk::read(json).unwrap();
        let choices = chunk.choices.unwrap();
        let kept: Vec<_> = choices
            .iter()
            .map(|choice| choice.finish_reason.as_deref().unwrap())
            .collect();
        assert_eq!(kept, ["b", "d"]);
    }

    #[test]
    fn malformed_bytes_are_replaced() {
        let json = b"{\"choices\":[{\"delta\":{\"content\":\"a\xFFb\"}}],\"x\":\"\xFF\"}";
        let chunk = Chunk::read(json).unwrap();
        let choice = chunk.choices.unwrap().first.unwrap();
        let Some(Content::Text(text)) = choice.delta.unwrap().content else {
            panic!("no text")
        };
        assert_eq!(&*text, "a\u{FFFD}b");
    }

    #[test]
    fn what_is_no_object_is_no_chunk() {
        for data in [
            &b""[..],
            b"[]",
            b"7",
            b"null",
            b"{",
            b"{\"a\":}",
            b"\xFF",
            b"{} {}",
        ] {
            assert!(Chunk::read(data).is_none(), "{}", data.escape_ascii());
        }
    }
}

//! One `chat.completion.chunk`, read without copying what is plain.
//!
//! Two readers for one shape. [`plain`] reads in one go what well-behaved servers send, and borrows
//! every string without escapes. What it gives up (a number where a string belongs, a key given
//! twice, bytes that are not UTF-8, errors, what is rare) goes to [`lenient`], which takes any JSON and
//! picks out what it understands; a lone surrogate escape (`"\ud83d"`, as UTF-16 gateways cut emoji)
//! it takes for U+FFFD.

mod fast;
mod lenient;

use std::borrow::Cow;

use lmserver_runtime::http_provider::json::{self, Text};

pub(crate) use lenient::delta;

/// A chunk. Everything may be missing; what is rare is boxed, since chunks are moved about.
#[derive(Debug, Default)]
pub(crate) struct Chunk<'a> {
    pub(crate) object: Option<Text<'a>>,
    /// An event type some gateways write into the data.
    pub(crate) kind: Option<Text<'a>>,
    pub(crate) choices: Option<Choices<'a>>,
    pub(crate) usage: Option<Box<Usage>>,
    pub(crate) x_groq: Option<Box<Groq>>,
    /// There is an error; what it says is read by `error`.
    pub(crate) error: bool,
}

/// What Groq adds to its first and last chunk.
#[derive(Debug, Default)]
pub(crate) struct Groq {
    pub(crate) usage: Option<Box<Usage>>,
    pub(crate) error: bool,
}

/// The entries of choice 0. Answers of other choices are read and dropped, never mixed in.
#[derive(Debug, Default)]
pub(crate) struct Choices<'a> {
    pub(crate) first: Option<Choice<'a>>,
    /// Further entries of the same choice in one chunk.
    pub(crate) others: Vec<Choice<'a>>,
}

#[derive(Debug, Default)]
pub(crate) struct Choice<'a> {
    index: Option<u64>,
    pub(crate) delta: Option<Delta<'a>>,
    pub(crate) finish_reason: Option<Text<'a>>,
    pub(crate) error: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Delta<'a> {
    pub(crate) content: Option<Content<'a>>,
    pub(crate) reasoning_content: Option<Content<'a>>,
    pub(crate) reasoning: Option<Content<'a>>,
    pub(crate) refusal: Option<Text<'a>>,
    pub(crate) tool_calls: Option<Vec<CallFragment<'a>>>,
    /// The one call of the API before tools.
    pub(crate) function_call: Option<Box<Function<'a>>>,
}

/// A string, or Mistral's list of typed parts.
#[derive(Debug)]
pub(crate) enum Content<'a> {
    Text(Text<'a>),
    Parts(Vec<Part<'a>>),
}

#[derive(Debug, Default)]
pub(crate) struct Part<'a> {
    pub(crate) kind: Option<Text<'a>>,
    pub(crate) text: Option<Text<'a>>,
    pub(crate) thinking: Option<Content<'a>>,
}

#[derive(Debug, Default)]
pub(crate) struct CallFragment<'a> {
    pub(crate) index: Option<u64>,
    pub(crate) id: Option<Text<'a>>,
    pub(crate) function: Option<Function<'a>>,
    /// A tool that takes free text instead of JSON.
    pub(crate) custom: Option<Custom<'a>>,
}

#[derive(Debug, Default)]
pub(crate) struct Function<'a> {
    pub(crate) name: Option<Text<'a>>,
    pub(crate) arguments: Option<Text<'a>>,
}

#[derive(Debug, Default)]
pub(crate) struct Custom<'a> {
    pub(crate) name: Option<Text<'a>>,
    pub(crate) input: Option<Text<'a>>,
}

/// Token counts under all their names.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) prompt_tokens: Option<u64>,
    pub(crate) completion_tokens: Option<u64>,
    pub(crate) completion_tokens_details: Option<CompletionDetails>,
    pub(crate) prompt_tokens_details: Option<PromptDetails>,
    pub(crate) reasoning_tokens: Option<u64>,
    pub(crate) prompt_cache_hit_tokens: Option<u64>,
    pub(crate) cached_tokens: Option<u64>,
}

#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct CompletionDetails {
    pub(crate) reasoning_tokens: Option<u64>,
}

#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct PromptDetails {
    pub(crate) cached_tokens: Option<u64>,
}

impl<'a> Chunk<'a> {
    /// Reads a JSON document; `None` if it is no JSON object at all.
    pub(crate) fn read(data: &'a [u8]) -> Option<Self> {
        fast::chunk(data).or_else(|| Self::read_any(data))
    }

    /// A list or anything else that is no object is no chunk.
    fn read_any(data: &'a [u8]) -> Option<Self> {
        json::value(data).as_ref().and_then(lenient::chunk)
    }

    /// Is this member of a chunk one that is not read?
    pub(crate) fn passes_over(key: &[u8]) -> bool {
        !matches!(
            key,
            b"object" | b"type" | b"choices" | b"usage" | b"x_groq" | b"error"
        )
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
        self.error
            || self.x_groq.as_ref().is_some_and(|groq| groq.error)
            || self.is_error()
            || self
                .choices
                .iter()
                .flat_map(Choices::iter)
                .any(|choice| choice.error)
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
        let chunk = Chunk::read(json).unwrap();
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

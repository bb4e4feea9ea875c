//! The provider of kind `echo`: streams the user's last message back, word by word, offline.
//!
//! It needs no account and no network, so that the first command on a fresh machine shows a real
//! stream, and tests have an answer whose text and pace they know. The pieces, put together, are
//! the message byte for byte: a cut falls only behind white space, never inside a character.
//!
//! | key | meaning | default |
//! | --- | --- | --- |
//! | `delay` | time before each word | `"20ms"` |

use std::time::Duration;

use lmserver_runtime::event::{ErrorCode, FinishReason, Usage};
use lmserver_runtime::plugin::provider::{
    ChatRequest, Content, Generation, Output, PluginSection, Provider, ProviderError,
    ProviderSettings, Start, StartCx,
};
use lmserver_runtime::time::Moment;
use serde_json::Value;

/// Opens an instance; see the crate's documentation for its key.
pub fn open(
    _settings: ProviderSettings,
    section: &mut dyn PluginSection,
) -> Option<Box<dyn Provider>> {
    let delay = section.take_duration("delay").unwrap_or(DEFAULT_DELAY);
    Some(Box::new(Echo { delay }))
}

struct Echo {
    delay: Duration,
}

impl Provider for Echo {
    fn start(
        &self,
        request: &ChatRequest,
        _model: &str,
        cx: StartCx,
    ) -> Result<Start, ProviderError> {
        let message = request
            .messages
            .iter()
            .rev()
            .find(|message| message.role == "user");
        let answer = message
            .map(|message| text_of(&message.content))
            .unwrap_or_default();
        let system = request.system.as_deref().map_or(0, count_words);
        let asked = request
            .messages
            .iter()
            .map(|message| count_words(&text_of(&message.content)));
        let usage = Usage {
            input_tokens: asked.fold(system, u64::saturating_add),
            output_tokens: count_words(&answer),
            estimated: true,
            ..Usage::default()
        };
        let next = Some(cx.now + self.delay);
        let generation = Words {
            answer,
            at: 0,
            next,
            delay: self.delay,
            usage,
        };
        Ok(Start {
            generation: Box::new(generation),
            upstream: None,
        })
    }
}

/// An answer that is being said.
struct Words {
    answer: String,
    /// How many bytes of it have been said, `0 <= at <= answer.len()`.
    at: usize,
    /// When the next word is due; none once all is said.
    next: Option<Moment>,
    delay: Duration,
    usage: Usage,
}

impl Words {
    fn rest(&self) -> &str {
        self.answer.get(self.at..).unwrap_or_default()
    }
}

impl Generation for Words {
    fn receive(&mut self, _bytes: &[u8], _out: &mut Vec<Output>) -> Result<(), ProviderError> {
        Err(no_connection())
    }

    fn closed(&mut self, _out: &mut Vec<Output>) -> Result<(), ProviderError> {
        Err(no_connection())
    }

    fn deadline(&self) -> Option<Moment> {
        self.next
    }

    fn expire(&mut self, now: Moment, out: &mut Vec<Output>) -> Result<(), ProviderError> {
        // A late turn says all words that are due, so that the pace holds on the whole.
        while let Some(due) = self.next.filter(|due| *due <= now) {
            let word = first_word(self.rest());
            let len = word.len();
            // An empty message has no word, and ends all the same.
            if len > 0 {
                out.push(Output::Chunk(word.into()));
            }
            self.at += len;
            self.next = if self.rest().is_empty() {
                out.push(Output::End {
                    finish_reason: FinishReason::Stop,
                    usage: Some(self.usage),
                });
                None
            } else {
                Some(due + self.delay)
            };
        }
        Ok(())
    }
}

/// The first word with the white space behind it, and before it where the text begins with some.
fn first_word(text: &str) -> &str {
    let mut has_word = false;
    let mut has_space_behind = false;
    for (at, character) in text.char_indices() {
        let is_space = character.is_whitespace();
        if has_space_behind && !is_space && !extends(character) {
            return text.split_at_checked(at).map_or(text, |(word, _)| word);
        }
        has_space_behind = has_word && is_space;
        has_word |= !is_space;
    }
    text
}

/// True for a character that is drawn onto the one before it, even onto a space: combining marks,
/// joiners, variation selectors, skin tones.
fn extends(character: char) -> bool {
    matches!(character,
        '\u{300}'..='\u{36F}' | '\u{1AB0}'..='\u{1AFF}' | '\u{1DC0}'..='\u{1DFF}' | '\u{200C}'..='\u{200D}'
        | '\u{20D0}'..='\u{20FF}' | '\u{FE00}'..='\u{FE0F}' | '\u{FE20}'..='\u{FE2F}'
        | '\u{1F3FB}'..='\u{1F3FF}' | '\u{E0100}'..='\u{E01EF}')
}

fn count_words(text: &str) -> u64 {
    text.split_whitespace().fold(0, |count, _| count + 1)
}

/// The text of a message: of content parts, those that have one, in order.
fn text_of(content: &Content) -> String {
    match content {
        Content::Absent => String::new(),
        Content::Text(text) => text.clone(),
        Content::Parts(parts) => parts
            .iter()
            .filter_map(|part| part.get("text").and_then(Value::as_str))
            .collect(),
    }
}

fn no_connection() -> ProviderError {
    ProviderError::new(ErrorCode::Internal, "echo has no connection to hear from")
}

const DEFAULT_DELAY: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use lmserver_runtime::plugin::provider::Message;
    use proptest::prelude::*;

    use super::*;

    struct Section(Option<Duration>);

    impl PluginSection for Section {
        fn take_string(&mut self, _: &str) -> Option<String> {
            None
        }
        fn take_bool(&mut self, _: &str) -> Option<bool> {
            None
        }
        fn take_integer(&mut self, _: &str) -> Option<i64> {
            None
        }
        fn take_duration(&mut self, key: &str) -> Option<Duration> {
            assert_eq!(key, "delay");
            self.0.take()
        }
        fn reject(&mut self, key: &str, mistake: &str) {
            panic!("{key}: {mistake}");
        }
    }

    fn message(role: &str, content: Content) -> Message {
        Message {
            role: role.into(),
            content,
            name: None,
            tool_calls: None,
            tool_call_id: None,
            reasoning: None,
        }
    }

    fn start(messages: Vec<Message>, delay: Option<Duration>) -> Box<dyn Generation> {
        let settings = ProviderSettings {
            name: "echo".into(),
            base_url: None,
            api_key: None,
            headers: BTreeMap::new(),
        };
        let provider = open(settings, &mut Section(delay)).unwrap();
        let request = ChatRequest {
            messages,
            ..ChatRequest::default()
        };
        let cx = StartCx {
            now: Moment(1000),
            ..StartCx::default()
        };
        let start = provider.start(&request, "echo", cx).unwrap();
        assert!(start.upstream.is_none());
        start.generation
    }

    /// Each word and when it was said, and the end.
    fn said(text: &str, delay: Option<Duration>) -> Vec<(u64, Output)> {
        let mut generation = start(vec![message("user", Content::Text(text.into()))], delay);
        let mut seen = Vec::new();
        let mut out = Vec::new();
        while let Some(due) = generation.deadline() {
            generation.expire(due, &mut out).unwrap();
            assert!(!out.is_empty(), "a deadline without an output");
            seen.extend(out.drain(..).map(|output| (due.0, output)));
        }
        seen
    }

    fn words(text: &str) -> Vec<String> {
        let said = said(text, None).into_iter();
        said.filter_map(|(_, output)| match output {
            Output::Chunk(word) => Some(word.into()),
            _ => None,
        })
        .collect()
    }

    #[test]
    fn a_message_is_said_word_by_word_at_its_pace() {
        let chunk = |word: &str| Output::Chunk(word.into());
        let usage = Usage {
            input_tokens: 3,
            output_tokens: 3,
            estimated: true,
            ..Usage::default()
        };
        let end = Output::End {
            finish_reason: FinishReason::Stop,
            usage: Some(usage),
        };
        let want = [
            (1020, chunk("one ")),
            (1040, chunk("two ")),
            (1060, chunk("three")),
            (1060, end),
        ];
        assert_eq!(said("one two three", None), want);
        let all: Vec<_> = want
            .iter()
            .map(|(_, output)| (1000, output.clone()))
            .collect();
        assert_eq!(said("one two three", Some(Duration::ZERO)), all);
    }

    #[test]
    fn cuts_fall_behind_white_space_only() {
        for (text, want) in [
            ("", &[][..]),
            (" \n ", &[" \n "]),
            ("  a  b ", &["  a  ", "b "]),
            ("a\r\n\r\nb", &["a\r\n\r\n", "b"]),
            (
                "\u{1F468}\u{200D}\u{1F469} \u{E9}",
                &["\u{1F468}\u{200D}\u{1F469} ", "\u{E9}"],
            ),
            ("a \u{301}b c", &["a \u{301}b ", "c"]),
            (
                "\u{4F60}\u{597D}\u{3000}\u{4E16}",
                &["\u{4F60}\u{597D}\u{3000}", "\u{4E16}"],
            ),
        ] {
            assert_eq!(words(text), want, "{text:?}");
        }
    }

    #[test]
    fn an_empty_message_ends_too() {
        let said = said("", None);
        assert!(matches!(said[..], [(1020, Output::End { .. })]), "{said:?}");
    }

    #[test]
    fn the_last_message_of_the_user_is_repeated_and_parts_are_their_text() {
        let parts = vec![
            serde_json::json!({"type": "text", "text": "a"}),
            serde_json::json!({"type": "image_url", "image_url": {"url": "x"}}),
            serde_json::json!({"type": "text", "text": "b"}),
        ];
        let mut generation = start(
            vec![
                message("user", Content::Text("first".into())),
                message("user", Content::Parts(parts)),
                message("assistant", Content::Absent),
            ],
            None,
        );
        let mut out = Vec::new();
        generation.expire(Moment(5000), &mut out).unwrap();
        assert_eq!(out.first(), Some(&Output::Chunk("ab".into())));
    }

    #[test]
    fn a_late_turn_says_what_is_due_and_no_more() {
        let mut generation = start(vec![message("user", Content::Text("a b c d".into()))], None);
        let mut out = Vec::new();
        generation.expire(Moment(1019), &mut out).unwrap();
        assert!(out.is_empty());
        generation.expire(Moment(1045), &mut out).unwrap();
        assert_eq!(
            out,
            [Output::Chunk("a ".into()), Output::Chunk("b ".into())]
        );
        assert_eq!(generation.deadline(), Some(Moment(1060)));
    }

    proptest! {
        #[test]
        fn the_words_together_are_the_message(text in "[ \n\ta\u{301}\u{E9}\u{1F600}\u{200D}\u{3000}]{0,30}|.*") {
            prop_assert_eq!(words(&text).concat(), text);
        }
    }
}

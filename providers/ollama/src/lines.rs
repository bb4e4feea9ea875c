//! The lines of an answer, each a JSON object.
//!
//! ```text
//!   message.content (response) ──► chunk
//!   message.thinking (thinking) ─► reasoning
//!   message.tool_calls[], whole ─► tool calls
//!   error ───────────────────────► ProviderError, also in the middle of a 200
//!   done: true ──────────────────► End, with done_reason and the counts beside it
//!   end of the body before that ─► provider_truncated
//! ```
//!
//! The names in parentheses are those of `/api/generate`.

use lmserver_proto::ndjson::{Decoder, TooLong};
use lmserver_runtime::event::{ErrorCode, FinishReason, Usage};
use lmserver_runtime::http_provider::json::{self, Shape, Text};
use lmserver_runtime::http_provider::{Answer, Finish, Format, Fragment, Speaker};
use lmserver_runtime::plugin::provider::{Output, ProviderError};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// An answer, as far as it has come.
pub(crate) struct Lines {
    /// At most [`MAX_LINE`] bytes of a line are kept.
    decoder: Decoder,
    state: State,
}

/// What the lines have said so far.
struct State {
    answer: Answer,
    /// Calls so far; each is complete where it stands.
    calls: u64,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, default)]
    message: Option<Message<'a>>,
    #[serde(borrow, default)]
    response: Option<Text<'a>>,
    #[serde(borrow, default)]
    thinking: Option<Text<'a>>,
    #[serde(default)]
    done: Option<bool>,
    #[serde(borrow, default)]
    done_reason: Option<Text<'a>>,
    #[serde(default)]
    prompt_eval_count: Option<u64>,
    #[serde(default)]
    eval_count: Option<u64>,
    /// There is an error; what it says is read by the speaker.
    #[serde(default)]
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    content: Option<Text<'a>>,
    #[serde(borrow, default)]
    thinking: Option<Text<'a>>,
    #[serde(borrow, default)]
    tool_calls: Option<Vec<Call<'a>>>,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    /// An object as it was sent, so that no number loses a digit.
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

/// The shape of a [`Line`].
const LINE: Shape = Shape::Object(&[
    ("message", MESSAGE),
    ("response", Shape::Text),
    ("thinking", Shape::Text),
    ("done", Shape::Flag),
    ("done_reason", Shape::Text),
    ("prompt_eval_count", Shape::Count),
    ("eval_count", Shape::Count),
]);

const MESSAGE: Shape = Shape::Object(&[
    ("content", Shape::Text),
    ("thinking", Shape::Text),
    ("tool_calls", Shape::List(&CALL)),
]);

const CALL: Shape = Shape::Object(&[
    ("id", Shape::Text),
    (
        "function",
        Shape::Object(&[("name", Shape::Text), ("arguments", Shape::Any)]),
    ),
]);

impl Lines {
    /// An answer of which nothing has come. `seed` makes the made-up ids of answers differ.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            decoder: Decoder::new(MAX_LINE),
            state: State {
                answer: Answer::new(seed),
                calls: 0,
            },
        }
    }
}

impl Format for Lines {
    fn feed(
        &mut self,
        mut bytes: &[u8],
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        while !self.state.answer.has_ended() {
            match self.decoder.next_line(&mut bytes) {
                Ok(Some(line)) => self.state.line(line, speaker, out)?,
                Ok(None) => break,
                Err(error @ TooLong { .. }) => {
                    let what = format!("sent what cannot be kept: {error}");
                    return Err(speaker.own_error(ErrorCode::TooLarge, &what));
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, speaker: Speaker<'_>, out: &mut Vec<Output>) -> Result<(), ProviderError> {
        // The last line may lack its end; half of one is no line.
        if let Some(line) = self.decoder.finish() {
            self.state.line(line, speaker, out)?;
            out.pop_if(|output| *output == Output::Unread);
        }
        if self.state.answer.has_ended() {
            return Ok(());
        }
        self.state.answer.end(speaker, out)
    }

    fn has_ended(&self) -> bool {
        self.state.answer.has_ended()
    }
}

impl State {
    fn line(
        &mut self,
        data: &[u8],
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        if let Some(line) = read(data) {
            return self.take(&line, data, speaker, out);
        }
        // Lone surrogates, malformed UTF-8, keys given twice, counts with a fraction: the patient
        // reader mends them.
        let cleaned = json::mended(data, &LINE);
        match cleaned.as_deref().map(str::as_bytes).and_then(read) {
            Some(line) => self.take(&line, data, speaker, out),
            None => {
                let (host, len) = (speaker.host, data.len());
                log::debug!("{host} sent a line of {len} bytes that is no part of an answer");
                out.push(Output::Unread);
                Ok(())
            }
        }
    }

    fn take(
        &mut self,
        line: &Line<'_>,
        data: &[u8],
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        let message = line.message.as_ref();
        let thinking = message.and_then(|message| message.thinking.as_deref());
        let content = message.and_then(|message| message.content.as_deref());
        let thinking = thinking.or(line.thinking.as_deref());
        let content = content.or(line.response.as_deref());
        self.answer.reasoning(thinking.unwrap_or_default(), out);
        self.answer.chunk(content.unwrap_or_default(), out);
        let calls = message.and_then(|message| message.tool_calls.as_ref());
        for call in calls.into_iter().flatten() {
            self.call(call, speaker, out)?;
        }
        if line.error.is_some()
            && let Some(document) = json::value(data)
            && let Some(error) = speaker.event_error(&document, false)
        {
            return Err(error);
        }
        if line.done == Some(true) {
            return self.done(line, speaker, out);
        }
        Ok(())
    }

    fn call(
        &mut self,
        call: &Call<'_>,
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        let function = call.function.as_ref();
        let name = function.and_then(|function| function.name.as_deref());
        let arguments = function.and_then(|function| function.arguments);
        let arguments = arguments.map_or("{}", RawValue::get);
        // Servers that only speak like Ollama give them as text.
        let as_text: Option<String> = serde_json::from_str(arguments).ok();
        let fragment = Fragment {
            number: Some(self.calls),
            id: call.id.as_deref().unwrap_or_default(),
            name: name.unwrap_or_default(),
            arguments: match &as_text {
                Some(text) => text,
                None if arguments == "null" => "{}",
                None => arguments,
            },
        };
        self.calls += 1;
        self.answer.call(&fragment, speaker, out)
    }

    fn done(
        &mut self,
        line: &Line<'_>,
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        self.answer
            .finished(line.done_reason.as_deref().unwrap_or_default());
        if !self.answer.has_finish() {
            let finish = Finish::Reason(FinishReason::Stop);
            self.answer.set_finish(finish);
        }
        let (input, output) = (line.prompt_eval_count, line.eval_count);
        // Older versions leave the prompt's count out where it was in the cache.
        self.answer.usage = input.or(output).map(|_| Usage {
            input_tokens: input.unwrap_or_default(),
            output_tokens: output.unwrap_or_default(),
            ..Usage::default()
        });
        self.answer.conclude(speaker, out)
    }
}

fn read(data: &[u8]) -> Option<Line<'_>> {
    // A list would be read as the fields in order.
    if !data.starts_with(b"{") {
        return None;
    }
    serde_json::from_slice(data).ok()
}

/// Bytes of one line. A token takes some hundred; the last line may repeat the whole context.
const MAX_LINE: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const SPEAKER: Speaker<'_> = Speaker {
        host: "api.example",
        secrets: &[],
    };

    /// The error that comes of endless repetition, and how much was taken before it.
    fn until_it_fails(piece: &[u8]) -> (ProviderError, usize) {
        let (mut lines, mut out) = (Lines::new(1), Vec::new());
        for round in 0.. {
            match lines.feed(piece, SPEAKER, &mut out) {
                Ok(()) => assert!(round < 100_000, "there is no bound"),
                Err(error) => return (error, round * piece.len()),
            }
            out.clear();
        }
        unreachable!("there is no end");
    }

    #[test]
    fn a_line_without_end_is_not_kept() {
        for piece in [&[b'x'; 1000][..], &[b' '; 1000]] {
            let (error, taken) = until_it_fails(piece);
            assert_eq!(error.code, ErrorCode::TooLarge);
            assert!((MAX_LINE - 1000..=MAX_LINE).contains(&taken), "{taken}");
        }
    }

    #[test]
    fn calls_without_end_are_not_kept() {
        let call = br#"{"message":{"tool_calls":[{"function":{"name":"f","arguments":{}}}]}}"#;
        let line = [call.as_slice(), b"\n"].concat();
        assert_eq!(until_it_fails(&line).0.code, ErrorCode::TooLarge);
    }

    #[test]
    fn no_number_of_an_argument_loses_a_digit() {
        let arguments = r#"{"n":12345678901234567890123,"x":1.10,"z":0,"a":1}"#;
        let line = format!(
            r#"{{"message":{{"tool_calls":[{{"function":{{"name":"f","arguments":{arguments}}}}}]}}}}"#
        );
        let (mut lines, mut out) = (Lines::new(1), Vec::new());
        lines
            .feed((line + "\n").as_bytes(), SPEAKER, &mut out)
            .unwrap();
        let [Output::ToolCall(call)] = &out[..] else {
            panic!("{out:?}")
        };
        assert_eq!(&*call.arguments, arguments);
    }

    #[test]
    fn what_has_a_wrong_type_is_left_out_and_the_rest_is_read() {
        let lines = concat!(
            r#"{"message":{"content":"a","thinking":7,"tool_calls":{}},"response":null}"#,
            "\n",
            r#"{"message":{"content":"b","tool_calls":[null,"x"]},"done":0}"#,
            "\n",
            r#"{"message":[],"done":true,"done_reason":{},"prompt_eval_count":2.0,"eval_count":"3"}"#,
            "\n",
        );
        let (mut reader, mut out) = (Lines::new(1), Vec::new());
        reader.feed(lines.as_bytes(), SPEAKER, &mut out).unwrap();
        assert!(reader.has_ended());
        let texts: String = out
            .iter()
            .filter_map(|it| match it {
                Output::Chunk(text) => Some(&**text),
                _ => None,
            })
            .collect();
        assert_eq!(texts, "ab", "{out:?}");
        let usage = Usage {
            input_tokens: 2,
            output_tokens: 3,
            ..Usage::default()
        };
        assert!(
            out.iter()
                .any(|it| matches!(it, Output::End { usage: Some(it), .. } if *it == usage)),
            "{out:?}"
        );
    }
}

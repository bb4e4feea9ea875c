//! What the messages of an answer mean.
//!
//! ```text
//!   body ──► first byte is text ──► a JSON document: an error, or a whole answer
//!        └─► event stream ──► :message-type
//!              event ──► messageStart         proof of life
//!                        contentBlockStart    a tool call begins
//!                        contentBlockDelta    text, reasoning, a fragment of a call's arguments
//!                        contentBlockStop     a call without arguments has `{}`
//!                        messageStop          the finish reason
//!                        metadata             usage; the end
//!              exception, error ──► ProviderError
//! ```
//!
//! The finish reason is not the end: usage and exceptions may follow it.

use lmserver_proto::aws_event_stream::{self, Decoder, Message};
use lmserver_runtime::event::{ErrorCode, Usage};
use lmserver_runtime::http_provider::json::{self, Text};
use lmserver_runtime::http_provider::{Answer, Finish, Format, Fragment, Speaker};
use lmserver_runtime::plugin::provider::{Output, ProviderError};
use serde::Deserialize;
use serde_json::Value;

/// The body of one answer, as far as it has come.
#[derive(Debug)]
pub(crate) struct Converse {
    body: Body,
    state: State,
}

#[derive(Debug)]
enum Body {
    /// Nothing has come.
    Unknown,
    /// At most one message of [`MESSAGE_MAX`] bytes is kept.
    Events(Decoder),
    /// At most [`MESSAGE_MAX`] bytes.
    Document(Vec<u8>),
}

/// What the messages have said so far.
#[derive(Debug)]
struct State {
    answer: Answer,
}

/// The event that a token comes in, read without a copy.
#[derive(Deserialize)]
struct Hot<'a> {
    #[serde(rename = "contentBlockIndex")]
    index: u64,
    #[serde(borrow)]
    delta: Delta<'a>,
}

#[derive(Deserialize, Default)]
struct Delta<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow, rename = "toolUse")]
    tool_use: Option<ToolUse<'a>>,
    #[serde(borrow, rename = "reasoningContent")]
    reasoning: Option<Reasoning<'a>>,
}

#[derive(Deserialize)]
struct ToolUse<'a> {
    #[serde(borrow)]
    input: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Reasoning<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
}

impl Converse {
    /// A body of which nothing has come. `seed` makes the made-up ids of answers differ.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            body: Body::Unknown,
            state: State {
                answer: Answer::new(seed),
            },
        }
    }
}

impl Format for Converse {
    fn feed(
        &mut self,
        mut bytes: &[u8],
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        if let (Body::Unknown, Some(first)) = (&self.body, bytes.first()) {
            // As a length it would be one of more than 150 MB.
            self.body = if first.is_ascii_whitespace() || b"{[<".contains(first) {
                Body::Document(Vec::new())
            } else {
                Body::Events(Decoder::new(MESSAGE_MAX))
            };
        }
        match &mut self.body {
            Body::Unknown => Ok(()),
            Body::Document(document) if document.len() + bytes.len() > MESSAGE_MAX => {
                let what = format!(
                    "answered with a text of more than {MESSAGE_MAX} bytes instead of an event \
                     stream"
                );
                Err(speaker.own_error(ErrorCode::TooLarge, &what))
            }
            Body::Document(document) => {
                document.extend_from_slice(bytes);
                Ok(())
            }
            Body::Events(decoder) => {
                while !self.state.answer.has_ended() {
                    match decoder.next_message(&mut bytes) {
                        Ok(Some(message)) => self.state.message(&message, speaker, out)?,
                        Ok(None) => break,
                        Err(error) => return Err(damaged(error, speaker)),
                    }
                }
                Ok(())
            }
        }
    }

    fn end(&mut self, speaker: Speaker<'_>, out: &mut Vec<Output>) -> Result<(), ProviderError> {
        if let Body::Document(document) = &self.body {
            return self.state.document(document, speaker, out);
        }
        self.state.answer.end(speaker, out)
    }

    fn has_ended(&self) -> bool {
        self.state.answer.has_ended()
    }
}

impl State {
    fn message(
        &mut self,
        message: &Message<'_>,
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        match message.text(":message-type") {
            Some("exception") => {
                let kind = message.text(":exception-type").unwrap_or_default();
                let document = json::value(message.payload).unwrap_or_default();
                let text = ["/message", "/Message", "/originalMessage"];
                let mut text = text.iter().map(|key| json::str_at(&document, key));
                let text = text.find(|text| !text.is_empty()).unwrap_or_default();
                Err(speaker.kind_error(kind, text))
            }
            Some("error") => {
                let kind = message.text(":error-code").unwrap_or_default();
                let text = message.text(":error-message").unwrap_or_default();
                Err(speaker.kind_error(kind, text))
            }
            _ => {
                let kind = message.text(":event-type").unwrap_or_default();
                self.event(kind, message.payload, speaker, out)
            }
        }
    }

    fn event(
        &mut self,
        kind: &str,
        payload: &[u8],
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        if kind == "contentBlockDelta"
            && let Ok(hot) = serde_json::from_slice::<Hot<'_>>(payload)
        {
            return self.delta(hot.index, &hot.delta, speaker, out);
        }
        let Some(event) = json::value(payload) else {
            log::debug!("{} sent an event {kind:?} that is no JSON", speaker.host);
            out.push(Output::Unread);
            return Ok(());
        };
        let index = json::count(event.get("contentBlockIndex")).unwrap_or_default();
        match kind {
            "contentBlockStart" => match event.pointer("/start/toolUse") {
                Some(tool_use) => self.call(index, tool_use, None, speaker, out),
                None => Ok(()),
            },
            "contentBlockDelta" => {
                let text = |pointer| {
                    let text = event.pointer(pointer)?.as_str()?;
                    Some(Text::from(text.as_bytes()))
                };
                let delta = Delta {
                    text: text("/delta/text"),
                    tool_use: Some(ToolUse {
                        input: text("/delta/toolUse/input"),
                    }),
                    reasoning: Some(Reasoning {
                        text: text("/delta/reasoningContent/text"),
                    }),
                };
                self.delta(index, &delta, speaker, out)
            }
            "contentBlockStop" => self.answer.end_call(index, speaker, out),
            "messageStop" => {
                self.finish(json::str_at(&event, "/stopReason"));
                Ok(())
            }
            "metadata" => {
                self.count(event.get("usage"));
                if self.answer.has_finish() {
                    self.answer.end(speaker, out)
                } else {
                    Ok(())
                }
            }
            _ => Ok(()),
        }
    }

    fn delta(
        &mut self,
        index: u64,
        delta: &Delta<'_>,
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        if let Some(text) = &delta.text {
            self.answer.chunk(text, out);
        }
        if let Some(Reasoning { text: Some(text) }) = &delta.reasoning {
            self.answer.reasoning(text, out);
        }
        match &delta.tool_use {
            Some(ToolUse { input: Some(input) }) => {
                self.answer.arguments(index, input, speaker, out)
            }
            _ => Ok(()),
        }
    }

    /// A call begins, maybe with all of its arguments.
    fn call(
        &mut self,
        index: u64,
        tool_use: &Value,
        input: Option<&Value>,
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        self.answer.end_call(index, speaker, out)?;
        // What the provider runs itself is no call.
        if json::str_at(tool_use, "/type") == "server_tool_use" {
            return Ok(());
        }
        let input = input.map(Value::to_string);
        let fragment = Fragment {
            number: Some(index),
            id: json::str_at(tool_use, "/toolUseId"),
            name: json::str_at(tool_use, "/name"),
            arguments: input.as_deref().unwrap_or_default(),
        };
        self.answer.begin_call(&fragment, speaker, out)
    }

    fn finish(&mut self, reason: &str) {
        match reason {
            "malformed_model_output" | "malformed_tool_use" => {
                self.answer
                    .set_finish(Finish::Failure(ErrorCode::ProviderError));
            }
            reason => self.answer.finished(reason),
        }
    }

    fn count(&mut self, usage: Option<&Value>) {
        let Some(usage) = usage.filter(|usage| usage.is_object()) else {
            return;
        };
        let count = |key| json::count(usage.get(key));
        let cached = count("cacheReadInputTokens");
        // Its own count of the input leaves out what the cache was read for or written with.
        let input = [count("inputTokens"), cached, count("cacheWriteInputTokens")];
        self.answer.usage = Some(Usage {
            input_tokens: input.into_iter().flatten().fold(0, u64::saturating_add),
            output_tokens: count("outputTokens").unwrap_or_default(),
            cached_tokens: cached,
            ..Usage::default()
        });
    }

    /// The whole body was text: an error, or the answer of a gateway that does not stream.
    fn document(
        &mut self,
        data: &[u8],
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        let Some(document) = json::value(data) else {
            let what = "answered with a text that is no event stream";
            return Err(speaker.own_error(ErrorCode::ProviderTruncated, what));
        };
        let content = document.pointer("/output/message/content");
        let content = content.and_then(Value::as_array);
        if let Some(error) = speaker.event_error(&document, content.is_none()) {
            return Err(error);
        }
        let Some(content) = content else {
            let what = "answered with a JSON document that is neither an answer nor an error";
            return Err(speaker.own_error(ErrorCode::ProviderError, what));
        };
        for (index, block) in (0..).zip(content) {
            self.answer.chunk(json::str_at(block, "/text"), out);
            let reasoning = json::str_at(block, "/reasoningContent/reasoningText/text");
            self.answer.reasoning(reasoning, out);
            if let Some(tool_use) = block.get("toolUse") {
                self.call(index, tool_use, tool_use.get("input"), speaker, out)?;
            }
        }
        self.finish(json::str_at(&document, "/stopReason"));
        self.count(document.get("usage"));
        self.answer.conclude(speaker, out)
    }
}

/// The stream cannot be read on.
fn damaged(error: aws_event_stream::Error, speaker: Speaker<'_>) -> ProviderError {
    let code = match error {
        aws_event_stream::Error::MessageTooLong { .. } => ErrorCode::TooLarge,
        _ => ErrorCode::ProviderError,
    };
    speaker.own_error(
        code,
        &format!("sent an event stream that cannot be read: {error}"),
    )
}

/// Bytes of one message, or of a document in place of all.
const MESSAGE_MAX: usize = 4 * 1024 * 1024;

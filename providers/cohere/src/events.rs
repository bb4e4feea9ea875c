//! The events of an answer.
//!
//! | event | becomes |
//! | --- | --- |
//! | `content-start`, `content-delta` | `content.text` a chunk, `content.thinking` reasoning |
//! | `tool-plan-delta` | reasoning |
//! | `tool-call-start`, `tool-call-delta` | fragments of the call of that `index` |
//! | `message-end` | the end, with finish reason and usage; or an error |
//! | `message-start`, `content-end`, `tool-call-end`, `citation-…`, others | nothing |
//! | end of the body before `message-end` | `provider_truncated` |

use lmserver_runtime::event::{ErrorCode, FinishReason, Usage};
use lmserver_runtime::http_provider::json::{self, Text};
use lmserver_runtime::http_provider::{self as http, Answer, Finish, Fragment, Speaker};
use lmserver_runtime::plugin::provider::{Output, ProviderError};
use serde::Deserialize;
use serde_json::{Value, json};

/// What the events have said so far.
pub(crate) struct Events {
    answer: Answer,
}

/// `content-delta`, the event that brings a token.
#[derive(Deserialize)]
struct ContentDelta<'a> {
    #[serde(borrow)]
    delta: Delta<'a>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    message: Message<'a>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Content<'a>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    thinking: Option<Text<'a>>,
}

impl Events {
    /// An answer of which nothing has come. `seed` makes the made-up ids of answers differ.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            answer: Answer::new(seed),
        }
    }

    fn take(
        &mut self,
        name: &str,
        event: &Value,
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        let kind = match json::str_at(event, "/type") {
            "" => name,
            kind => kind,
        };
        let message = event.pointer("/delta/message").unwrap_or(&Value::Null);
        match kind {
            "content-start" | "content-delta" => {
                self.content(message.get("content").unwrap_or(&Value::Null), out);
            }
            "tool-plan-delta" => {
                let plan = json::str_at(message, "/tool_plan");
                self.answer.reasoning(plan, out);
            }
            "tool-call-start" | "tool-call-delta" => {
                let number = json::count(event.get("index"));
                let call = message.get("tool_calls").unwrap_or(&Value::Null);
                self.call(number, call, speaker, out)?;
            }
            "message-end" => {
                let delta = event.get("delta").unwrap_or(&Value::Null);
                return self.message_end(delta, speaker, out);
            }
            _ => {
                let is_error = kind == "error";
                if let Some(error) = speaker.event_error(event, is_error) {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn content(&mut self, content: &Value, out: &mut Vec<Output>) {
        let thinking = json::str_at(content, "/thinking");
        self.answer.reasoning(thinking, out);
        self.answer.chunk(json::str_at(content, "/text"), out);
    }

    fn call(
        &mut self,
        number: Option<u64>,
        call: &Value,
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        let fragment = Fragment {
            number,
            id: json::str_at(call, "/id"),
            name: json::str_at(call, "/function/name"),
            arguments: json::str_at(call, "/function/arguments"),
        };
        self.answer.call(&fragment, speaker, out)
    }

    fn message_end(
        &mut self,
        delta: &Value,
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        let finish_reason = json::str_at(delta, "/finish_reason");
        if let Some(said) = delta.get("error")
            && let Some(mut error) = speaker.event_error(&json!({"error": said}), true)
        {
            // A text alone says what went wrong, the reason beside it of what class that is.
            if said.is_string()
                && error.code == ErrorCode::ProviderError
                && let Finish::Failure(code) = Finish::read(finish_reason)
            {
                error.code = code;
                error.retryable = code.is_retryable();
            }
            return Err(error);
        }
        self.conclude(finish_reason, delta, speaker, out)
    }

    fn conclude(
        &mut self,
        finish_reason: &str,
        holder: &Value,
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        self.answer.finished(finish_reason);
        if !self.answer.has_finish() {
            let finish = Finish::Reason(FinishReason::Stop);
            self.answer.set_finish(finish);
        }
        self.answer.usage = holder.get("usage").and_then(usage);
        self.answer.conclude(speaker, out)
    }
}

impl http::Events for Events {
    fn event(
        &mut self,
        name: &str,
        data: &[u8],
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<bool, ProviderError> {
        if name == "content-delta"
            && let Ok(ContentDelta { delta }) = serde_json::from_slice(data)
        {
            let Content { text, thinking } = delta.message.content;
            self.answer
                .reasoning(thinking.as_deref().unwrap_or_default(), out);
            self.answer.chunk(text.as_deref().unwrap_or_default(), out);
            return Ok(true);
        }
        match json::value(data).filter(Value::is_object) {
            Some(event) => self.take(name, &event, speaker, out).map(|()| true),
            None => Ok(false),
        }
    }

    /// A gateway that buffers, or a server that was told not to stream: the whole answer at once.
    fn document(
        &mut self,
        document: &Value,
        _data: &[u8],
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<bool, ProviderError> {
        let Some(message) = document.get("message").filter(|it| it.is_object()) else {
            return match speaker.event_error(document, true) {
                Some(error) => Err(error),
                None => Ok(false),
            };
        };
        let plan = json::str_at(message, "/tool_plan");
        self.answer.reasoning(plan, out);
        for content in list(message, "content") {
            self.content(content, out);
        }
        for (number, call) in (0..).zip(list(message, "tool_calls")) {
            self.call(Some(number), call, speaker, out)?;
        }
        let finish_reason = json::str_at(document, "/finish_reason");
        self.conclude(finish_reason, document, speaker, out)?;
        Ok(true)
    }

    fn end(&mut self, speaker: Speaker<'_>, out: &mut Vec<Output>) -> Result<(), ProviderError> {
        self.answer.end(speaker, out)
    }

    fn has_ended(&self) -> bool {
        self.answer.has_ended()
    }
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    let list = value.get(key).and_then(Value::as_array);
    list.into_iter().flatten()
}

/// The tokens that were counted, else those that are paid for.
fn usage(usage: &Value) -> Option<Usage> {
    let count = |pointer| json::count(usage.pointer(pointer));
    let either = |counted, billed| count(counted).or_else(|| count(billed));
    let input = either("/tokens/input_tokens", "/billed_units/input_tokens");
    let output = either("/tokens/output_tokens", "/billed_units/output_tokens");
    input.or(output).map(|_| Usage {
        input_tokens: input.unwrap_or_default(),
        output_tokens: output.unwrap_or_default(),
        reasoning_tokens: count("/tokens/reasoning_tokens"),
        cached_tokens: count("/cached_tokens"),
        estimated: false,
    })
}

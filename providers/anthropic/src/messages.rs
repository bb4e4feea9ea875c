//! What the events of an answer mean.
//!
//! ```text
//!   message_start          usage
//!   content_block_start    a block begins: text, thinking, tool_use; others are the provider's own
//!   content_block_delta    text, thinking, a fragment of a call's arguments
//!   content_block_stop     a call without arguments has `{}`
//!   message_delta          finish reason, refusal, usage
//!   message_stop           the end
//!   error                  the end as well
//!   ping, anything else    proof of life
//! ```

use lmserver_runtime::event::Usage;
use lmserver_runtime::http_provider::json::{self, Text};
use lmserver_runtime::http_provider::{Answer, Events, Fragment, Speaker};
use lmserver_runtime::plugin::provider::{Output, ProviderError};
use serde::Deserialize;
use serde_json::Value;

/// One answer, as far as its events have come.
#[derive(Debug)]
pub(crate) struct Messages {
    answer: Answer,
    counts: Counts,
}

/// Tokens, each as last said.
#[derive(Debug, Default)]
struct Counts {
    input: Option<u64>,
    cache_read: Option<u64>,
    cache_creation: Option<u64>,
    output: Option<u64>,
    thinking: Option<u64>,
}

/// The event that a token comes in, read without a copy.
#[derive(Deserialize)]
struct Hot<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    index: u64,
    #[serde(borrow)]
    delta: Delta<'a>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    thinking: Option<Text<'a>>,
    #[serde(borrow)]
    partial_json: Option<Text<'a>>,
}

impl Messages {
    /// An answer of which nothing has come. `seed` makes the made-up ids of answers differ.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            answer: Answer::new(seed),
            counts: Counts::default(),
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
        if let Some(text) = &delta.thinking {
            self.answer.reasoning(text, out);
        }
        match &delta.partial_json {
            Some(arguments) => self.answer.arguments(index, arguments, speaker, out),
            None => Ok(()),
        }
    }

    /// A block begins, maybe with content already.
    fn block(
        &mut self,
        index: u64,
        block: &Value,
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        self.answer.end_call(index, speaker, out)?;
        match json::str_at(block, "/type") {
            "text" => self.answer.chunk(json::str_at(block, "/text"), out),
            "thinking" => self.answer.reasoning(json::str_at(block, "/thinking"), out),
            "tool_use" => {
                // A gateway that knows the arguments already sends them here and no fragments.
                let input = block
                    .get("input")
                    .filter(|input| json::says_something(input))
                    .map(Value::to_string);
                let fragment = Fragment {
                    number: Some(index),
                    id: json::str_at(block, "/id"),
                    name: json::str_at(block, "/name"),
                    arguments: input.as_deref().unwrap_or_default(),
                };
                self.answer.begin_call(&fragment, speaker, out)?;
            }
            // What the provider runs itself, and what it keeps to itself.
            _ => {}
        }
        Ok(())
    }

    /// Takes finish reason and refusal of a `message_delta`, or of a whole message.
    fn finish(&mut self, message: &Value, out: &mut Vec<Output>) {
        let reason = json::str_at(message, "/stop_reason");
        if reason == "refusal" {
            let explanation = json::str_at(message, "/stop_details/explanation");
            self.answer.refusal(explanation, out);
        }
        self.answer.finished(reason);
    }

    /// Takes what is said of the cost; what is not said stays as it was.
    fn count(&mut self, usage: Option<&Value>) {
        let Some(usage) = usage.filter(|usage| usage.is_object()) else {
            return;
        };
        let counts = &mut self.counts;
        for (pointer, count) in [
            ("/input_tokens", &mut counts.input),
            ("/cache_read_input_tokens", &mut counts.cache_read),
            ("/cache_creation_input_tokens", &mut counts.cache_creation),
            ("/output_tokens", &mut counts.output),
            (
                "/output_tokens_details/thinking_tokens",
                &mut counts.thinking,
            ),
        ] {
            *count = json::count(usage.pointer(pointer)).or(*count);
        }
        // Its own count of the input leaves out what the cache was read for or written with.
        let input = [counts.input, counts.cache_read, counts.cache_creation];
        self.answer.usage = Some(Usage {
            input_tokens: input.into_iter().flatten().fold(0, u64::saturating_add),
            output_tokens: counts.output.unwrap_or_default(),
            reasoning_tokens: counts.thinking,
            cached_tokens: counts.cache_read,
            ..Usage::default()
        });
    }

    /// Any event but a plain delta.
    fn rare_event(
        &mut self,
        name: &str,
        event: &Value,
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<bool, ProviderError> {
        let kind = json::str_at(event, "/type");
        let is_error = kind == "error" || name == "error";
        if let Some(error) = speaker.event_error(event, is_error) {
            return Err(error);
        }
        let index = json::count(event.get("index")).unwrap_or_default();
        match kind {
            "message_start" => self.count(event.pointer("/message/usage")),
            "content_block_start" => {
                let block = event.get("content_block").unwrap_or(&Value::Null);
                self.block(index, block, speaker, out)?;
            }
            "content_block_delta" => {
                let delta = event.get("delta").unwrap_or(&Value::Null);
                let text = |key| {
                    delta
                        .get(key)?
                        .as_str()
                        .map(|text| Text::from(text.as_bytes()))
                };
                let delta = Delta {
                    text: text("text"),
                    thinking: text("thinking"),
                    partial_json: text("partial_json"),
                };
                self.delta(index, &delta, speaker, out)?;
            }
            "content_block_stop" => self.answer.end_call(index, speaker, out)?,
            "message_delta" => {
                self.finish(event.get("delta").unwrap_or(&Value::Null), out);
                self.count(event.get("usage"));
            }
            "message_stop" => self.answer.conclude(speaker, out)?,
            _ => {}
        }
        Ok(true)
    }
}

impl Events for Messages {
    fn event(
        &mut self,
        name: &str,
        data: &[u8],
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<bool, ProviderError> {
        if let Ok(hot) = serde_json::from_slice::<Hot<'_>>(data)
            && *hot.kind == *"content_block_delta"
        {
            self.delta(hot.index, &hot.delta, speaker, out)?;
            return Ok(true);
        }
        match json::value(data) {
            Some(event) if event.is_object() => self.rare_event(name, &event, speaker, out),
            _ => Ok(false),
        }
    }

    fn document(
        &mut self,
        document: &Value,
        _data: &[u8],
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<bool, ProviderError> {
        let content = document.get("content").and_then(Value::as_array);
        if let Some(error) = speaker.event_error(document, content.is_none()) {
            return Err(error);
        }
        let Some(content) = content else {
            return Ok(false);
        };
        for (index, block) in (0..).zip(content) {
            self.block(index, block, speaker, out)?;
        }
        self.finish(document, out);
        self.count(document.get("usage"));
        self.answer.conclude(speaker, out)?;
        Ok(true)
    }

    fn end(&mut self, speaker: Speaker<'_>, out: &mut Vec<Output>) -> Result<(), ProviderError> {
        self.answer.end(speaker, out)
    }

    fn has_ended(&self) -> bool {
        self.answer.has_ended()
    }
}

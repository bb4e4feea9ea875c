//! The body of a 2xx answer: bytes in, outputs out.
//!
//! ```text
//!   first byte that is not blank
//!     '{' or '['  ──► a JSON document: an error, or the whole answer of a server that cannot stream
//!     other       ──► an event stream ──► chunk ──► choice 0 ──► text, reasoning, refusal, calls
//!                                     ──► [DONE] ──► End
//!                                     ──► an error, wherever it stands ──► ProviderError
//!   end of the body, a finish reason seen ──► End;  none seen ──► provider_truncated
//! ```
//!
//! The first finish reason is not the end: usage and errors may follow it.

use lmserver_proto::sse;
use lmserver_runtime::event::{ErrorCode, FinishReason, Usage};
use lmserver_runtime::plugin::provider::{Output, ProviderError};

use crate::chunk::{self, CallFragment, Choice, Chunk, Content, Delta, Text};
use crate::error::Speaker;
use crate::finish::Finish;
use crate::tool_calls::{TooMany, ToolCalls};

/// The body of one answer, as far as it has come.
#[derive(Debug)]
pub(crate) struct Answer {
    body: Body,
    state: State,
}

#[derive(Debug)]
enum Body {
    /// At most [`MAX_EVENT`] bytes of a line and of an event are kept.
    Events {
        decoder: sse::Decoder,
        has_begun: bool,
    },
    /// At most [`MAX_EVENT`] bytes.
    Document(Vec<u8>),
}

/// What the chunks have said so far.
#[derive(Debug)]
struct State {
    calls: ToolCalls,
    finish: Option<Finish>,
    usage: Option<Usage>,
    /// Text, reasoning or refusal was published.
    has_text: bool,
    has_ended: bool,
}

impl Answer {
    /// An answer of which nothing has come. `seed` makes the made-up ids of answers differ.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            body: Body::Events {
                decoder: sse::Decoder::new(MAX_EVENT),
                has_begun: false,
            },
            state: State {
                calls: ToolCalls::new(seed),
                finish: None,
                usage: None,
                has_text: false,
                has_ended: false,
            },
        }
    }

    /// True once `End` is out; what the body holds beyond is ignored.
    pub(crate) fn has_ended(&self) -> bool {
        self.state.has_ended
    }

    /// Takes bytes of the body, cut anywhere.
    pub(crate) fn feed(
        &mut self,
        mut bytes: &[u8],
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        if let Body::Events {
            has_begun: has_begun @ false,
            ..
        } = &mut self.body
            && let Some(start) = bytes.iter().position(|byte| !BLANK.contains(byte))
        {
            *has_begun = true;
            let begun = bytes.get(start..).unwrap_or_default();
            if let [b'{' | b'[', ..] = begun {
                bytes = begun;
                self.body = Body::Document(Vec::new());
            }
        }
        match &mut self.body {
            Body::Document(document) if document.len() + bytes.len() > MAX_EVENT => {
                let what = format!(
                    "answered with a JSON document of more than {MAX_EVENT} bytes instead of an \
                     event stream"
                );
                Err(speaker.own_error(ErrorCode::ProviderError, &what))
            }
            Body::Document(document) => {
                document.extend_from_slice(bytes);
                Ok(())
            }
            Body::Events { decoder, .. } => {
                while !self.state.has_ended {
                    match decoder.next_item(&mut bytes) {
                        Ok(Some(item)) => self.state.item(item, speaker, out)?,
                        Ok(None) => break,
                        Err(error) => {
                            let what = format!("sent what cannot be kept: {error}");
                            return Err(speaker.own_error(ErrorCode::TooLarge, &what));
                        }
                    }
                }
                Ok(())
            }
        }
    }

    /// The body has ended, be it properly or because the connection is gone.
    pub(crate) fn end(
        &mut self,
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        match &mut self.body {
            Body::Document(document) => self.state.document(document, speaker, out)?,
            Body::Events { decoder, .. } => {
                // Some servers forget the last blank line: a complete chunk is taken all the same,
                // half of one is no chunk.
                while let Some(item) = decoder.finish() {
                    self.state.item(item, speaker, out)?;
                }
            }
        }
        if self.state.has_ended {
            return Ok(());
        }
        if self.state.finish.is_none() {
            return Err(speaker.own_error(
                ErrorCode::ProviderTruncated,
                "closed the stream before the answer was complete",
            ));
        }
        self.state.conclude(speaker, out)
    }
}

impl State {
    fn item(
        &mut self,
        item: sse::Item<'_>,
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        match item {
            sse::Item::Event {
                event_type, data, ..
            } => self.event(event_type == "error", data.trim_ascii(), speaker, out),
            // llama.cpp and GPUStack report failures in a field instead of an event.
            sse::Item::Field {
                name: b"error",
                value,
            } if !value.trim_ascii().is_empty() => Err(match chunk::value(value) {
                Some(document) => speaker
                    .event_error(&document, true)
                    .unwrap_or_else(|| speaker.text_error(value)),
                None => speaker.text_error(value),
            }),
            sse::Item::Field { .. } | sse::Item::Comment(_) => Ok(()),
        }
    }

    fn event(
        &mut self,
        is_error: bool,
        data: &[u8],
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        if self.has_ended || data.is_empty() {
            return Ok(());
        }
        if data == b"[DONE]" {
            return self.conclude(speaker, out);
        }
        if let Some(chunk) = Chunk::read(data) {
            return self.chunk(&chunk, is_error, data, speaker, out);
        }
        if is_error {
            return Err(speaker.text_error(data));
        }
        if data.starts_with(b"[")
            && let Some(error) =
                chunk::value(data).and_then(|list| speaker.event_error(&list, false))
        {
            return Err(error);
        }
        // A server that forgets the blank lines between its events: every line is one.
        if data.contains(&b'\n') && data.split(|byte| *byte == b'\n').all(is_event_of_its_own) {
            for line in data.split(|byte| *byte == b'\n') {
                self.event(false, line.trim_ascii(), speaker, out)?;
            }
            return Ok(());
        }
        log::debug!(
            "{} sent an event of {} bytes that is no chunk",
            speaker.host,
            data.len()
        );
        Ok(())
    }

    fn chunk(
        &mut self,
        chunk: &Chunk<'_>,
        is_error: bool,
        data: &[u8],
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        for choice in chunk.choices.iter().flat_map(chunk::Choices::iter) {
            self.choice(choice, speaker, out)?;
        }
        if let Some(usage) = chunk.usage().and_then(counted) {
            self.usage = Some(usage);
        }
        // What came with an error counts; nothing after it does.
        if (is_error || chunk.reports_error())
            && let Some(document) = chunk::value(data)
            && let Some(error) = speaker.event_error(&document, is_error || chunk.is_error())
        {
            return Err(error);
        }
        Ok(())
    }

    fn choice(
        &mut self,
        choice: &Choice<'_>,
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        if let Some(delta) = &choice.delta {
            self.delta(delta, speaker, out)?;
        }
        let raw = choice.finish_reason.as_deref().unwrap_or_default();
        // A failure stays one, whatever is said after it.
        if !raw.is_empty() && !matches!(self.finish, Some(Finish::Failure(_))) {
            self.finish = Some(Finish::read(raw));
        }
        Ok(())
    }

    fn delta(
        &mut self,
        delta: &Delta<'_>,
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        // Servers that send both names repeat the text.
        let reasoning = [&delta.reasoning_content, &delta.reasoning]
            .into_iter()
            .flatten()
            .find(|content| !is_empty(content));
        if let Some(content) = reasoning {
            self.content(content, true, out);
        }
        if let Some(content) = &delta.content {
            self.content(content, false, out);
        }
        self.text(delta.refusal.as_ref(), Output::Refusal, out);
        for fragment in delta.tool_calls.iter().flatten() {
            self.call(fragment, speaker, out)?;
        }
        if let Some(function) = &delta.function_call {
            let function = chunk::Function {
                name: function.name.clone(),
                arguments: function.arguments.clone(),
            };
            let fragment = CallFragment {
                index: Some(0),
                function: Some(function),
                ..CallFragment::default()
            };
            self.call(&fragment, speaker, out)?;
        }
        Ok(())
    }

    fn content(&mut self, content: &Content<'_>, is_reasoning: bool, out: &mut Vec<Output>) {
        let kind = |is_reasoning| {
            if is_reasoning {
                Output::Reasoning
            } else {
                Output::Chunk
            }
        };
        let parts = match content {
            Content::Text(text) => return self.text(Some(text), kind(is_reasoning), out),
            Content::Parts(parts) => parts,
        };
        for part in parts {
            if let Some(thinking) = &part.thinking {
                self.content(thinking, true, out);
            }
            match part.kind.as_deref() {
                None | Some("text" | "output_text") => {
                    self.text(part.text.as_ref(), kind(is_reasoning), out);
                }
                Some("thinking" | "reasoning") => {
                    self.text(part.text.as_ref(), Output::Reasoning, out);
                }
                Some(_) => {}
            }
        }
    }

    fn text(
        &mut self,
        text: Option<&Text<'_>>,
        kind: impl FnOnce(Box<str>) -> Output,
        out: &mut Vec<Output>,
    ) {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            self.has_text = true;
            out.push(kind((**text).into()));
        }
    }

    fn call(
        &mut self,
        fragment: &CallFragment<'_>,
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        let call = self.calls.add(fragment).map_err(|error: TooMany| {
            speaker.own_error(ErrorCode::TooLarge, &format!("sent too much: {error}"))
        })?;
        out.extend(call.map(Output::ToolCall));
        Ok(())
    }

    /// The whole body was one JSON document.
    fn document(
        &mut self,
        data: &[u8],
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        let Some(document) = chunk::value(data) else {
            return Err(speaker.own_error(
                ErrorCode::ProviderTruncated,
                "closed the connection inside a JSON document",
            ));
        };
        let message = document.pointer("/choices/0/message");
        if let Some(error) = speaker.event_error(&document, message.is_none()) {
            return Err(error);
        }
        let (Some(message), Some(chunk)) = (message, Chunk::read(data)) else {
            return Err(speaker.own_error(
                ErrorCode::ProviderError,
                "answered with a JSON document that is neither an answer nor an error",
            ));
        };
        if let Some(delta) = chunk::delta(message) {
            self.delta(&delta, speaker, out)?;
        }
        self.chunk(&chunk, false, data, speaker, out)?;
        self.finish = self.finish.or(Some(Finish::Reason(FinishReason::Stop)));
        Ok(())
    }

    /// The answer is complete.
    fn conclude(
        &mut self,
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        let has_calls = !self.calls.is_empty();
        let finish_reason = match self.finish {
            // A failure before the first token may leave nothing but the end mark.
            None if !self.has_text && !has_calls && self.usage.is_none() => {
                let what = "ended the stream without an answer";
                return Err(speaker.own_error(ErrorCode::ProviderTruncated, what));
            }
            Some(Finish::Failure(code)) => {
                let what = "gave up before the answer was complete, without saying why";
                return Err(speaker.own_error(code, what));
            }
            None | Some(Finish::Reason(FinishReason::Stop)) if has_calls => FinishReason::ToolCalls,
            None => FinishReason::Stop,
            Some(Finish::Reason(reason)) => reason,
        };
        out.extend(self.calls.finish().map(Output::ToolCall));
        out.push(Output::End {
            finish_reason,
            usage: self.usage,
        });
        self.has_ended = true;
        Ok(())
    }
}

fn is_empty(content: &Content<'_>) -> bool {
    match content {
        Content::Text(text) => text.is_empty(),
        Content::Parts(parts) => parts.is_empty(),
    }
}

fn is_event_of_its_own(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    line.is_empty() || line == b"[DONE]" || (line.starts_with(b"{") && line.ends_with(b"}"))
}

/// The counts, if any of the two that matter was given.
fn counted(usage: &chunk::Usage) -> Option<Usage> {
    if usage.prompt_tokens.is_none() && usage.completion_tokens.is_none() {
        return None;
    }
    Some(Usage {
        input_tokens: usage.prompt_tokens.unwrap_or_default(),
        output_tokens: usage.completion_tokens.unwrap_or_default(),
        reasoning_tokens: usage
            .completion_tokens_details
            .and_then(|details| details.reasoning_tokens)
            .or(usage.reasoning_tokens),
        cached_tokens: usage
            .prompt_tokens_details
            .and_then(|details| details.cached_tokens)
            .or(usage.prompt_cache_hit_tokens)
            .or(usage.cached_tokens),
        estimated: false,
    })
}

/// The longest line, event or document: some hold images or repeat search results.
const MAX_EVENT: usize = 4 * 1024 * 1024;

/// What may stand before a document: blanks and a byte order mark.
const BLANK: &[u8] = b" \t\r\n\xEF\xBB\xBF";

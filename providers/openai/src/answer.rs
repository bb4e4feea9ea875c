//! The chunks of one answer: what each says, into outputs.
//!
//! ```text
//!   chunk ──► choice 0 ──► text, reasoning, refusal, calls
//!         ──► usage, finish reason            [DONE] ──► End
//!         ──► an error, wherever it stands ──► ProviderError
//!   end of the body, a finish reason seen ──► End;  none seen ──► provider_truncated
//! ```
//!
//! The first finish reason is not the end: usage and errors may follow it.

use std::borrow::Cow;
use std::sync::Arc;

use lmserver_runtime::event::{FinishReason, Usage};
use lmserver_runtime::http_provider::{
    Answer, Events, Finish, Fragment, Patterns, Speaker, Template, json,
};
use lmserver_runtime::plugin::provider::{Output, ProviderError};
use serde_json::Value;

use crate::chunk::{self, CallFragment, Choice, Chunk, Content, Delta};

/// Reads the chunks of one answer.
#[derive(Debug)]
pub(crate) struct Chunks {
    answer: Answer,
    /// A chunk that said a piece of the answer and nothing else.
    template: Template,
    /// What such chunks of this server are like.
    patterns: Arc<Patterns>,
    /// Was a pattern learnt from this answer?
    has_taught: bool,
}

impl Chunks {
    /// An answer of which nothing has come, of the server with these patterns. `seed` makes the made-up ids of answers
    /// differ.
    pub(crate) fn new(seed: u64, patterns: Arc<Patterns>) -> Self {
        Self {
            answer: Answer::new(seed),
            template: Template::default(),
            patterns,
            has_taught: false,
        }
    }

    /// Learns a chunk that says `text` and nothing else.
    fn learn(&mut self, data: &[u8], text: &str) {
        self.template.learn(data, text);
        // Once is enough where the chunks are alike, and where they are not there is nothing to be learnt.
        if !text.is_empty() && !std::mem::replace(&mut self.has_taught, true) {
            self.patterns.learn(data, text, &Chunk::passes_over);
        }
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
            self.answer.usage = Some(usage);
        }
        // What came with an error counts; nothing after it does.
        if (is_error || chunk.reports_error())
            && let Some(document) = json::value(data)
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
        self.answer.finished(raw);
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
        self.answer
            .refusal(delta.refusal.as_deref().unwrap_or_default(), out);
        for fragment in delta.tool_calls.iter().flatten() {
            self.answer.call(&fragment_of(fragment), speaker, out)?;
        }
        if let Some(function) = &delta.function_call {
            let fragment = Fragment {
                number: Some(0),
                id: "",
                name: function.name.as_deref().unwrap_or_default(),
                arguments: function.arguments.as_deref().unwrap_or_default(),
            };
            self.answer.call(&fragment, speaker, out)?;
        }
        Ok(())
    }

    fn content(&mut self, content: &Content<'_>, is_reasoning: bool, out: &mut Vec<Output>) {
        let parts = match content {
            Content::Text(text) => return self.text(text, is_reasoning, out),
            Content::Parts(parts) => parts,
        };
        for part in parts {
            if let Some(thinking) = &part.thinking {
                self.content(thinking, true, out);
            }
            let text = part.text.as_deref().unwrap_or_default();
            match part.kind.as_deref() {
                None | Some("text" | "output_text") => self.text(text, is_reasoning, out),
                Some("thinking" | "reasoning") => self.text(text, true, out),
                Some(_) => {}
            }
        }
    }

    fn text(&mut self, text: &str, is_reasoning: bool, out: &mut Vec<Output>) {
        if is_reasoning {
            self.answer.reasoning(text, out);
        } else {
            self.answer.chunk(text, out);
        }
    }
}

impl Events for Chunks {
    fn event(
        &mut self,
        name: &str,
        data: &[u8],
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<bool, ProviderError> {
        let is_error = name == "error";
        if !is_error {
            if let Some(text) = self.template.text(data) {
                self.answer.chunk(&text, out);
                return Ok(true);
            }
            if let Some(text) = self.patterns.text(data) {
                self.answer.chunk(&text, out);
                if let (Cow::Borrowed(text), false) = (&text, self.template.is_known()) {
                    self.template.learn(data, text);
                }
                return Ok(true);
            }
        }
        let Some(chunk) = Chunk::read(data) else {
            return Ok(false);
        };
        self.chunk(&chunk, is_error, data, speaker, out)?;
        if let Some(text) = chunk.only_text() {
            self.learn(data, text);
        }
        Ok(true)
    }

    fn done(&mut self, speaker: Speaker<'_>, out: &mut Vec<Output>) -> Result<(), ProviderError> {
        self.answer.conclude(speaker, out)
    }

    fn document(
        &mut self,
        document: &Value,
        data: &[u8],
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<bool, ProviderError> {
        let message = document.pointer("/choices/0/message");
        if let Some(error) = speaker.event_error(document, message.is_none()) {
            return Err(error);
        }
        let (Some(message), Some(chunk)) = (message, Chunk::read(data)) else {
            return Ok(false);
        };
        if let Some(delta) = chunk::delta(message) {
            self.delta(&delta, speaker, out)?;
        }
        self.chunk(&chunk, false, data, speaker, out)?;
        if !self.answer.has_finish() {
            self.answer.set_finish(Finish::Reason(FinishReason::Stop));
        }
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

fn fragment_of<'a>(fragment: &'a CallFragment<'_>) -> Fragment<'a> {
    let (name, arguments) = match (&fragment.function, &fragment.custom) {
        (Some(function), _) => (&function.name, &function.arguments),
        (None, Some(custom)) => (&custom.name, &custom.input),
        (None, None) => (&None, &None),
    };
    Fragment {
        number: fragment.index,
        id: fragment.id.as_deref().unwrap_or_default(),
        name: name.as_deref().unwrap_or_default(),
        arguments: arguments.as_deref().unwrap_or_default(),
    }
}

fn is_empty(content: &Content<'_>) -> bool {
    match content {
        Content::Text(text) => text.is_empty(),
        Content::Parts(parts) => parts.is_empty(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const SPEAKER: Speaker<'_> = Speaker {
        host: "h",
        secrets: &[],
    };
    const CHUNKS: [(&str, &str); 4] = [
        (
            r#"{"id":"c1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"content":"Hel"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"xY"}"#,
            r#"{"id":"other","object":"chat.completion.chunk","created":81,"model":"n","choices":[{"index":0,"delta":{"content":""},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":""}"#,
        ),
        (
            r#"{"choices":[{"delta":{"content":"Hel"}}],"error":null,"id":7}"#,
            r#"{"choices":[{"delta":{"content":"l\no"}}],"error":null,"id":{"x":[1]}}"#,
        ),
        (
            r#"{"x_groq":null,"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":"a"}}]}"#,
            r#"{"x_groq":null,"id":"d","choices":[{"index":0,"delta":{"role":"assistant","content":"b"}}]}"#,
        ),
        (
            r#"{"type":"chunk","choices":[{"delta":{"content":"a"},"index":0},{"delta":{"content":"z"},"index":1}],"p":null}"#,
            r#"{"type":"chunk","choices":[{"delta":{"content":"b"},"index":0},{"delta":{"content":"z"},"index":1}],"p":true}"#,
        ),
    ];

    /// What an answer's first event says, at a server of these patterns.
    fn first(data: &[u8], patterns: &Arc<Patterns>) -> String {
        let mut chunks = Chunks::new(1, Arc::clone(patterns));
        let mut out = Vec::new();
        let outcome = chunks.event("message", data, SPEAKER, &mut out);
        format!("{outcome:?} {out:?} {:?}", chunks.answer)
    }

    #[test]
    fn a_known_pattern_makes_no_difference() {
        for (taught, alike) in CHUNKS {
            let patterns = Arc::<Patterns>::default();
            first(taught.as_bytes(), &patterns);
            assert!(patterns.text(alike.as_bytes()).is_some());
            let mut known = 0;
            for at in 0..taught.len() {
                let (before, behind) = taught.as_bytes().split_at(at);
                let mut variants = vec![before.to_vec(), [before, &behind[1..]].concat()];
                for byte in *b"\"\\{}[],: 017tnx\n\xC3" {
                    variants.push([before, &[byte], behind].concat());
                    variants.push([before, &[byte], &behind[1..]].concat());
                }
                for data in variants {
                    known += usize::from(patterns.text(&data).is_some());
                    let want = first(&data, &Arc::default());
                    // A pattern of its own for each: what is not known is learnt.
                    let patterns = Arc::<Patterns>::default();
                    first(taught.as_bytes(), &patterns);
                    assert_eq!(first(&data, &patterns), want, "{}", data.escape_ascii());
                }
            }
            assert!(known > 30, "{known} variants are known");
        }
    }

    #[test]
    fn a_pattern_is_learnt_from_the_first_text_of_an_answer_and_used_by_the_next() {
        let patterns = Arc::<Patterns>::default();
        let (taught, alike) = CHUNKS[0];
        let mut chunks = Chunks::new(1, Arc::clone(&patterns));
        let mut out = Vec::new();
        let nothing = taught.replace("Hel", "");
        for data in [&*nothing, taught, alike] {
            let known = patterns.text(data.as_bytes()).is_some();
            assert_eq!(known, data == alike);
            let told = chunks.event("message", data.as_bytes(), SPEAKER, &mut out);
            assert_eq!(told, Ok(true));
        }
        assert_eq!(out, [Output::Chunk("Hel".into())]);
    }
}

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
    Answer, Events, Finish, Fragment, Pattern, Patterns, Speaker, Template, json,
};
use lmserver_runtime::plugin::provider::{Output, ProviderError};
use serde_json::Value;

use crate::chunk::{self, CallFragment, Choice, Chunk, Content, Delta};

/// Chunks of an answer that are looked at for a pattern that the next one has too.
const CANDIDATES: u8 = 3;

/// Reads the chunks of one answer.
#[derive(Debug)]
pub(crate) struct Chunks {
    answer: Answer,
    /// A chunk that said a piece of the answer and nothing else.
    template: Template,
    /// What such chunks of this server are like.
    patterns: Arc<Patterns>,
    /// What the last chunk that was read is like.
    candidate: Option<Pattern>,
    /// How many chunks of this answer were looked at for a pattern.
    candidates: u8,
}

impl Chunks {
    /// An answer of which nothing has come, of the server with these patterns. `seed` makes the made-up ids of answers
    /// differ.
    pub(crate) fn new(seed: u64, patterns: Arc<Patterns>) -> Self {
        Self {
            answer: Answer::new(seed),
            template: Template::default(),
            patterns,
            candidate: None,
            candidates: 0,
        }
    }

    #[inline(never)]
    fn keep(&mut self, pattern: Pattern) {
        self.patterns.add(pattern);
        self.candidates = CANDIDATES;
    }

    /// Learns a chunk that says `text` and nothing else.
    fn learn(&mut self, data: &[u8], text: &str) {
        self.template.learn(data, text);
        // A server whose chunks are never alike is not looked at for long.
        let looks = self.candidates < CANDIDATES && !self.patterns.is_full();
        let of_two = match self.candidate.take() {
            Some(candidate) => Some(candidate).filter(|it| it.text(data).is_some()),
            None if looks => self.patterns.candidate_for(data),
            None => None,
        };
        if let Some(pattern) = of_two {
            self.keep(pattern);
        } else if looks && !text.is_empty() {
            self.candidates += 1;
            self.candidate = Pattern::of(data, text, &Chunk::passes_over);
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
                // The template and it were learnt from one chunk: it fits as well.
                if let Some(pattern) = self.candidate.take() {
                    self.keep(pattern);
                }
                return Ok(true);
            }
            if let Some(text) = self.patterns.text(data) {
                self.answer.chunk(&text, out);
                if let Cow::Borrowed(text) = text {
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
        // What an answer of one text was like is compared with the next answer.
        if let Some(candidate) = self.candidate.take() {
            self.patterns.propose(candidate);
        }
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

    /// What an answer says whose one event this is, at a server of these patterns.
    fn only(name: &str, data: &[u8], patterns: &Arc<Patterns>) -> String {
        let mut chunks = Chunks::new(1, Arc::clone(patterns));
        let mut out = Vec::new();
        let outcome = chunks.event(name, data, SPEAKER, &mut out);
        format!("{outcome:?} {out:?} {:?}", chunks.answer)
    }

    /// The patterns of a server one of whose answers began with these.
    fn taught(chunks: &[&str]) -> Arc<Patterns> {
        let patterns = Arc::<Patterns>::default();
        let mut answer = Chunks::new(1, Arc::clone(&patterns));
        for data in chunks {
            let told = answer.event("message", data.as_bytes(), SPEAKER, &mut Vec::new());
            assert_eq!(told, Ok(true));
        }
        patterns
    }

    /// A chunk with one byte, or one value, or one member more, less or other.
    fn variants(chunk: &str) -> Vec<Vec<u8>> {
        let values = [
            "null",
            "7",
            "-1.5",
            "\"stop\"",
            "\"error\"",
            r#"{"message":"m"}"#,
            r#"{"usage":{"prompt_tokens":1},"error":"e"}"#,
            r#"{"prompt_tokens":1}"#,
            r#"[{"index":0,"delta":{"content":"c"}}]"#,
        ];
        let members = [
            "object",
            "type",
            "choices",
            "usage",
            "x_groq",
            "error",
            "finish_reason",
            "refusal",
            "i\\u0064",
        ];
        let mut all = Vec::new();
        for at in 0..chunk.len() {
            let (before, behind) = chunk.as_bytes().split_at(at);
            all.extend([before.to_vec(), [before, &behind[1..]].concat()]);
            for byte in *b"\"\\{}[],: 017tnx\n\xC3" {
                all.push([before, &[byte], behind].concat());
                all.push([before, &[byte], &behind[1..]].concat());
            }
            if before.ends_with(b":") {
                let end = |mark: &u8| b",}]".contains(mark);
                let length = behind.iter().position(end).unwrap();
                for value in values {
                    all.push([before, value.as_bytes(), &behind[length..]].concat());
                }
            }
            if matches!(before, [.., b'{' | b',']) && behind[0] == b'"' {
                for (member, value) in members
                    .iter()
                    .flat_map(|it| values.map(|value| (it, value)))
                {
                    let more = format!("\"{member}\":{value},");
                    all.push([before, more.as_bytes(), behind].concat());
                }
            }
        }
        all
    }

    #[test]
    fn a_known_pattern_makes_no_difference() {
        for (chunk, alike) in CHUNKS {
            let patterns = taught(&[chunk, chunk]);
            assert!(patterns.text(alike.as_bytes()).is_some());
            let mut known = 0;
            for data in variants(chunk) {
                known += usize::from(patterns.text(&data).is_some());
                for name in ["message", "error"] {
                    let (told, want) = (&patterns, &Arc::default());
                    let (told, want) = (only(name, &data, told), only(name, &data, want));
                    assert_eq!(told, want, "{name} {}", data.escape_ascii());
                }
            }
            assert!(known > 30, "{known} variants are known");
        }
    }

    #[test]
    fn a_pattern_is_what_two_texts_of_an_answer_have_in_common() {
        let (chunk, alike) = CHUNKS[0];
        let silent = chunk.replace("Hel", "");
        let known = |chunks: &[&str]| taught(chunks).text(alike.as_bytes()).is_some();
        assert!(!known(&[&silent, chunk]));
        assert!(known(&[&silent, chunk, chunk]));
        let others: Vec<String> = (0..9)
            .map(|at| chunk.replace("null}]", &format!("null,\"logprobs\":{at}}}]")))
            .collect();
        let mut never_alike: Vec<&str> = others.iter().map(|it| &**it).collect();
        assert!(!known(&[never_alike[0], chunk]));
        assert!(known(&[never_alike[0], chunk, chunk]));
        // Not looked for any more.
        never_alike.extend([chunk, chunk]);
        assert!(!known(&never_alike));
    }

    #[test]
    fn answers_of_one_text_are_compared_with_each_other() {
        let (chunk, alike) = CHUNKS[0];
        let other = chunk.replace("null}]", "null,\"logprobs\":1}]");
        let patterns = Arc::<Patterns>::default();
        let hear = |data: &str| {
            let mut answer = Chunks::new(1, Arc::clone(&patterns));
            let told = answer.event("message", data.as_bytes(), SPEAKER, &mut Vec::new());
            assert_eq!(told, Ok(true));
            answer.answer.finished("stop");
            assert_eq!(answer.done(SPEAKER, &mut Vec::new()), Ok(()));
            patterns.text(alike.as_bytes()).is_some()
        };
        assert!(!hear(chunk));
        assert!(!hear(&other), "another shape");
        assert!(hear(chunk));
        let silent = chunk.replace("Hel", "");
        assert!(patterns.candidate_for(silent.as_bytes()).is_some());
    }

    #[test]
    fn what_changes_within_an_answer_is_learnt_anew() {
        let (chunk, alike) = CHUNKS[0];
        let mut chunks = Chunks::new(1, taught(&[chunk, chunk]));
        for data in [chunk, chunk, alike] {
            let told = chunks.event("message", data.as_bytes(), SPEAKER, &mut Vec::new());
            assert_eq!(told, Ok(true));
        }
        assert!(chunks.template.text(alike.as_bytes()).is_some());
        assert!(chunks.template.text(chunk.as_bytes()).is_none());
    }
}

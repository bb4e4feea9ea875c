//! What every format keeps while an answer comes, and how the answer ends.
//!
//! A format calls this with what its events say. Several things are decided here, alike for all:
//! empty texts publish nothing; calls are numbered in order of appearance; the last finish reason
//! counts, but a failure stays one; a plain stop with calls is `tool_calls`; there is one end.

use crate::event::{ErrorCode, FinishReason, Text, Usage};
use crate::http_provider::error::Speaker;
use crate::http_provider::finish::Finish;
use crate::http_provider::tool_calls::{Fragment, TooMany, ToolCalls};
use crate::plugin::provider::{Output, ProviderError};

/// One answer, as far as it has come.
#[derive(Debug)]
pub struct Answer {
    /// What the provider has said about the cost; goes into the end.
    pub usage: Option<Usage>,
    calls: ToolCalls,
    /// The numbers of calls whose arguments still come; no more than calls.
    open_calls: Vec<u64>,
    finish: Option<Finish>,
    /// Text, reasoning or refusal was published.
    has_text: bool,
    has_ended: bool,
}

impl Answer {
    /// An answer of which nothing has come. `seed` makes the made-up ids of answers differ.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            usage: None,
            calls: ToolCalls::new(seed),
            open_calls: Vec::new(),
            finish: None,
            has_text: false,
            has_ended: false,
        }
    }

    /// Publishes text of the answer.
    pub fn chunk(&mut self, text: &str, out: &mut Vec<Output>) {
        self.text(text, Output::Chunk, out);
    }

    /// Publishes text of the reasoning.
    pub fn reasoning(&mut self, text: &str, out: &mut Vec<Output>) {
        self.text(text, Output::Reasoning, out);
    }

    /// Publishes text of a refusal.
    pub fn refusal(&mut self, text: &str, out: &mut Vec<Output>) {
        self.text(text, Output::Refusal, out);
    }

    /// Publishes what a fragment adds to its call.
    ///
    /// # Errors
    ///
    /// `too_large`: more calls than an answer may have, or too much of one before its name.
    pub fn call(
        &mut self,
        fragment: &Fragment<'_>,
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        let call = self.calls.add(fragment).map_err(|error: TooMany| {
            speaker.own_error(ErrorCode::TooLarge, &format!("sent too much: {error}"))
        })?;
        out.extend(call.map(Output::ToolCall));
        Ok(())
    }

    /// Publishes the beginning of a call in a format that tells where one ends. Its arguments are
    /// to come unless they are here.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub fn begin_call(
        &mut self,
        fragment: &Fragment<'_>,
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        self.call(fragment, speaker, out)?;
        let open = fragment.number.filter(|_| fragment.arguments.is_empty());
        self.open_calls.extend(open);
        Ok(())
    }

    /// Publishes a piece of the arguments of a call that has begun; without one it is not for the
    /// client.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub fn arguments(
        &mut self,
        number: u64,
        arguments: &str,
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        if !self.open_calls.contains(&number) {
            return Ok(());
        }
        let fragment = Fragment {
            number: Some(number),
            arguments,
            ..Fragment::default()
        };
        self.call(&fragment, speaker, out)
    }

    /// A call that has begun is complete, if it is one; its arguments are `{}` where none came. The
    /// end of the answer does so with all.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub fn end_call(
        &mut self,
        number: u64,
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        if self.lacks_arguments(number) {
            self.arguments(number, "{}", speaker, out)?;
        }
        self.open_calls.retain(|open| *open != number);
        Ok(())
    }

    /// True if there is a call of this number and none of its arguments have come: where the
    /// whole of them is repeated at the end, they are to be taken from there.
    #[must_use]
    pub fn lacks_arguments(&self, number: u64) -> bool {
        self.calls.lacks_arguments(number)
    }

    /// Takes a raw finish reason, in whatever case; an empty one says nothing.
    pub fn finished(&mut self, raw: &str) {
        if !raw.is_empty() {
            self.set_finish(Finish::read(raw));
        }
    }

    /// Takes a finish reason. The last one counts, but a failure stays one.
    pub fn set_finish(&mut self, finish: Finish) {
        if !matches!(self.finish, Some(Finish::Failure(_))) {
            self.finish = Some(finish);
        }
    }

    /// Has a finish reason been given?
    #[must_use]
    pub fn has_finish(&self) -> bool {
        self.finish.is_some()
    }

    /// True once `End` is out; whatever comes after it is to be ignored.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// The answer is complete, says the provider.
    ///
    /// # Errors
    ///
    /// A finish reason that is a failure; `provider_truncated` where nothing at all has come.
    pub fn conclude(
        &mut self,
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        while let Some(number) = self.open_calls.first().copied() {
            self.end_call(number, speaker, out)?;
        }
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

    /// The body is over, and the provider has not said whether the answer is complete: it is if a
    /// finish reason was seen.
    ///
    /// # Errors
    ///
    /// `provider_truncated` without one, else as [`conclude`](Self::conclude).
    pub fn end(
        &mut self,
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        if self.has_ended {
            return Ok(());
        }
        if self.finish.is_none() {
            return Err(speaker.own_error(
                ErrorCode::ProviderTruncated,
                "closed the stream before the answer was complete",
            ));
        }
        self.conclude(speaker, out)
    }

    fn text(&mut self, text: &str, kind: fn(Text) -> Output, out: &mut Vec<Output>) {
        if !text.is_empty() {
            self.has_text = true;
            out.push(kind(text.into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEAKER: Speaker<'_> = Speaker {
        host: "api.example",
        secrets: &[],
    };

    /// What an answer ends with, the finish reason or the code of the error: where the provider
    /// says that it is complete, and where the body just ends.
    fn outcomes(prepare: impl Fn(&mut Answer, &mut Vec<Output>)) -> [String; 2] {
        [Answer::conclude, Answer::end].map(|end| {
            let (mut answer, mut out) = (Answer::new(1), Vec::new());
            prepare(&mut answer, &mut out);
            match (end(&mut answer, SPEAKER, &mut out), out.pop()) {
                (Ok(()), Some(Output::End { finish_reason, .. })) if answer.has_ended() => {
                    finish_reason.as_str().to_owned()
                }
                (Err(error), _) => error.code.to_string(),
                other => panic!("{other:?}"),
            }
        })
    }

    #[test]
    fn an_answer_ends_as_it_was_said_to() {
        let call = |answer: &mut Answer, out: &mut Vec<Output>| {
            let fragment = Fragment {
                name: "f",
                ..Fragment::default()
            };
            answer.call(&fragment, SPEAKER, out).unwrap();
        };
        const CUT: &str = "provider_truncated";
        assert_eq!(outcomes(|_, _| {}), [CUT, CUT]);
        assert_eq!(
            outcomes(|answer, out| answer.chunk("a", out)),
            ["stop", CUT]
        );
        assert_eq!(outcomes(call), ["tool_calls", CUT]);
        let usage = |answer: &mut Answer, _: &mut Vec<Output>| {
            answer.usage = Some(Usage::default());
        };
        assert_eq!(outcomes(usage), ["stop", CUT]);
        for (reasons, has_call, want) in [
            (&["stop"][..], false, "stop"),
            (&["stop"], true, "tool_calls"),
            (&["length"], true, "length"),
            (&["stop", "", "length"], false, "length"),
            (&["error", "stop"], false, "provider_error"),
        ] {
            let got = outcomes(|answer, out| {
                if has_call {
                    call(answer, out);
                }
                reasons.iter().for_each(|raw| answer.finished(raw));
            });
            assert_eq!(got, [want, want], "{reasons:?}");
        }
    }

    #[test]
    fn a_call_that_ends_without_arguments_has_an_empty_object() {
        let (mut answer, mut out) = (Answer::new(1), Vec::new());
        let begin = |answer: &mut Answer, number, arguments, out: &mut Vec<Output>| {
            let fragment = Fragment {
                number: Some(number),
                id: "i",
                name: "f",
                arguments,
            };
            answer.begin_call(&fragment, SPEAKER, out).unwrap();
        };
        begin(&mut answer, 0, "[1]", &mut out);
        begin(&mut answer, 2, "", &mut out);
        begin(&mut answer, 3, "", &mut out);
        begin(&mut answer, 4, "", &mut out);
        // Not begun, complete already, begun, ended.
        for (number, arguments) in [(1, "a"), (0, "b"), (2, "[2]"), (3, "")] {
            let taken = answer.arguments(number, arguments, SPEAKER, &mut out);
            taken.unwrap();
            answer.end_call(number, SPEAKER, &mut out).unwrap();
        }
        answer.arguments(3, "c", SPEAKER, &mut out).unwrap();
        answer.conclude(SPEAKER, &mut out).unwrap();
        let mut calls = [const { String::new() }; 4];
        for output in out {
            if let Output::ToolCall(call) = output {
                calls[call.index as usize] += &call.arguments;
            }
        }
        assert_eq!(calls, ["[1]", "[2]", "{}", "{}"]);
    }

    #[test]
    fn empty_texts_publish_nothing() {
        let (mut answer, mut out) = (Answer::new(1), Vec::new());
        for text in ["", "a"] {
            answer.chunk(text, &mut out);
            answer.reasoning(text, &mut out);
            answer.refusal(text, &mut out);
        }
        let want = [Output::Chunk, Output::Reasoning, Output::Refusal].map(|kind| kind("a".into()));
        assert_eq!(out, want);
    }
}

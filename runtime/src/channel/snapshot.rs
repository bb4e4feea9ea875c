//! The state of a chat so far. Its texts stand in the log alone, and are put together for whoever
//! asks; the rest is kept beside it.

use crate::event::{Attempt, Event, Failure, FinishReason, Usage};

/// The answer so far. Text is what the channel's events carry, put together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// How it stands.
    pub status: Status,
    /// All chunks.
    pub text: String,
    /// All reasoning.
    pub reasoning: String,
    /// All of a refusal.
    pub refusal: String,
    /// The tool calls, by index.
    pub tool_calls: Vec<ToolCallSoFar>,
    /// How it ended.
    pub finish_reason: Option<FinishReason>,
    /// What it cost.
    pub usage: Option<Usage>,
    /// The model: as asked for, then as the target that answered names it.
    pub model: Box<str>,
    /// The provider that answered.
    pub provider: Option<Box<str>>,
    /// Why it failed.
    pub error: Option<Failure>,
    /// The targets that failed before.
    pub attempts: Vec<Attempt>,
    /// When it began: seconds since 1970.
    pub created: u64,
    /// What the application keeps with it, [`Submission::note`].
    ///
    /// [`Submission::note`]: crate::plugin::service::Submission::note
    pub note: Box<[u8]>,
}

/// How a chat stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// It goes on.
    #[default]
    Streaming,
    /// It came to its end.
    Completed,
    /// It failed.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl Status {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Streaming => "streaming",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A tool call, its fragments put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolCallSoFar {
    /// The provider's id of the call.
    pub id: String,
    /// The function's name.
    pub name: String,
    /// The arguments' JSON text.
    pub arguments: String,
}

impl Snapshot {
    /// Takes one event in, but for its text.
    pub(crate) fn apply(&mut self, event: &Event) {
        match event {
            Event::Start { model } => self.model.clone_from(model),
            Event::ToolCall(fragment) => {
                // Indexes are dense by the provider's contract; a gap is filled, within reason.
                let index = usize::try_from(fragment.index).unwrap_or(usize::MAX);
                if index > self.tool_calls.len() + MOST_SKIPPED_CALLS {
                    return;
                }
                while self.tool_calls.len() <= index {
                    self.tool_calls.push(ToolCallSoFar::default());
                }
                let Some(call) = self.tool_calls.get_mut(index) else {
                    return;
                };
                call.id.push_str(fragment.id.as_deref().unwrap_or_default());
                call.name
                    .push_str(fragment.name.as_deref().unwrap_or_default());
                call.arguments.push_str(&fragment.arguments);
            }
            Event::End(end) => {
                self.status = match end.finish_reason {
                    FinishReason::Cancelled => Status::Cancelled,
                    FinishReason::Stop
                    | FinishReason::Length
                    | FinishReason::ToolCalls
                    | FinishReason::ContentFilter => Status::Completed,
                };
                self.finish_reason = Some(end.finish_reason);
                self.usage = end.usage;
                self.answered_by(end.model.as_deref(), end.provider.as_deref(), &end.attempts);
            }
            Event::Error(failure) => {
                self.status = Status::Failed;
                self.answered_by(
                    failure.model.as_deref(),
                    failure.provider.as_deref(),
                    &failure.attempts,
                );
                self.error = Some(failure.as_ref().clone());
            }
            Event::Chunk(_) | Event::Reasoning(_) | Event::Refusal(_) | Event::Data(..) => {}
        }
    }

    fn answered_by(&mut self, model: Option<&str>, provider: Option<&str>, attempts: &[Attempt]) {
        if let Some(model) = model {
            self.model = model.into();
        }
        self.provider = provider.map(Into::into);
        self.attempts = attempts.to_vec();
    }

    /// Bytes of text held: the answer's, without the note.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let calls: usize = self
            .tool_calls
            .iter()
            .map(|call| {
                size_of::<ToolCallSoFar>() + call.id.len() + call.name.len() + call.arguments.len()
            })
            .sum();
        self.text.len() + self.reasoning.len() + self.refusal.len() + calls
    }
}

/// How many calls a fragment's index may skip before it is taken for nonsense.
const MOST_SKIPPED_CALLS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::registry::{Created, Registry};
    use crate::event::{Epoch, ToolCall};
    use crate::limits::ChannelLimits;
    use crate::time::Moment;

    #[test]
    fn texts_are_put_together_each_of_its_own_kind() {
        let mut registry = Registry::new(ChannelLimits::default());
        let epoch = Epoch::from_random([1; 6]);
        let Created::New(id) = registry.create_chat("chat:a", epoch, None, Moment(0)) else {
            panic!("a chat")
        };
        let call = ToolCall {
            arguments: "{}".into(),
            ..ToolCall::default()
        };
        for event in [
            Event::Start { model: "m".into() },
            Event::Reasoning("h\"m".into()),
            Event::Chunk("Hel".into()),
            Event::ToolCall(Box::new(call)),
            Event::Reasoning("m\n".into()),
            Event::Chunk("lo \u{1f600}".into()),
            Event::Refusal("no\\".into()),
        ] {
            registry.append(id, &event, Moment(0)).expect("a position");
        }
        let snapshot = registry.get(id).expect("a channel").snapshot();
        let texts = [&snapshot.text, &snapshot.reasoning, &snapshot.refusal];
        assert_eq!(texts, ["Hello \u{1f600}", "h\"mm\n", "no\\"]);
        assert_eq!((&*snapshot.model, snapshot.tool_calls.len()), ("m", 1));
    }
}

//! Commands as questions to the engine, one after the other.
//!
//! ```text
//! Task ─ step ─► Said(result, or mistake)
//!          └───► Ask(query) ─ answer ─► Task ─ step ─► …
//! ```
//!
//! A task that asks many questions makes each when its turn comes, so that it holds its data once
//! and not once for each channel. However long a series is, the stack does not grow.

use lmserver_runtime::plugin::service::{Answer, Query};

use super::mistake::Mistake;

/// What a command comes to: the JSON of its result.
pub(super) type Said = Result<Vec<u8>, Mistake>;

/// A command that is understood.
pub(super) enum Task {
    /// There is nothing to be asked.
    Said(Said),
    /// One question, and what is made of the answer.
    Ask(Box<Query>, Finish),
    /// Commands one after the other.
    Series {
        /// The one that has begun.
        current: Option<Box<Self>>,
        /// Those that follow.
        rest: Box<dyn Series>,
    },
}

/// What is made of an answer.
pub(super) type Finish = Box<dyn FnOnce(&Answer<'_>) -> Said>;

/// Commands that make up one.
pub(super) trait Series {
    /// The next one; nothing after the last.
    fn next(&mut self) -> Option<Task>;

    /// What came of it.
    fn take(&mut self, said: Said);

    /// What came of all.
    fn finish(self: Box<Self>) -> Said;
}

/// How far a task has come.
pub(super) enum Step {
    /// To its end.
    Said(Said),
    /// To a question.
    Ask(Query, Then),
}

/// How a task goes on with an answer.
pub(super) type Then = Box<dyn FnOnce(&Answer<'_>) -> Task>;

impl Task {
    /// One question.
    pub(super) fn ask(query: Query, finish: impl FnOnce(&Answer<'_>) -> Said + 'static) -> Self {
        Self::Ask(Box::new(query), Box::new(finish))
    }

    /// Commands one after the other.
    pub(super) fn series(rest: impl Series + 'static) -> Self {
        Self::Series {
            current: None,
            rest: Box::new(rest),
        }
    }

    /// Goes on to the next question, or to the end.
    pub(super) fn step(self) -> Step {
        match self {
            Self::Said(said) => Step::Said(said),
            Self::Ask(query, finish) => {
                let then = |answer: &Answer<'_>| Self::Said(finish(answer));
                Step::Ask(*query, Box::new(then))
            }
            Self::Series { current, rest } => step_series(current, rest),
        }
    }
}

impl From<Result<Self, Mistake>> for Task {
    fn from(understood: Result<Self, Mistake>) -> Self {
        understood.unwrap_or_else(|mistake| Self::Said(Err(mistake)))
    }
}

fn step_series(mut current: Option<Box<Task>>, mut rest: Box<dyn Series>) -> Step {
    loop {
        let Some(task) = current.take().map(|task| *task).or_else(|| rest.next()) else {
            return Step::Said(rest.finish());
        };
        match task.step() {
            Step::Said(said) => rest.take(said),
            Step::Ask(query, then) => {
                let then = move |answer: &Answer<'_>| Task::Series {
                    current: Some(Box::new(then(answer))),
                    rest,
                };
                return Step::Ask(query, Box::new(then));
            }
        }
    }
}

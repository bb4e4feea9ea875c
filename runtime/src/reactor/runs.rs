//! Runs: from a plan of targets to exactly one terminal event.

use super::{Reactor, contained};
use crate::channel::registry::{Registry, Room};
use crate::event::{End, ErrorCode, Event, Failure, FinishReason, Usage};
use crate::ids::{ChannelId, RunId};
use crate::plugin::provider::{Output, ProviderError, StartCx};
use crate::routing::Verdict;
use crate::run::{Asked, Current, Phase, Run, estimate};
use crate::sys::Sys;
use crate::time::Moment;

impl<S: Sys> Reactor<S> {
    /// Begins the attempt at the run's present target.
    pub(super) fn begin_attempt(&mut self, id: RunId) {
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        let Some(target) = run.plan.target(run.target) else {
            debug_assert!(false, "a plan is never empty, and never passed");
            return;
        };
        let Asked::Whole(request) = &run.asked else {
            debug_assert!(false, "no attempt follows content");
            return;
        };
        let instance = &target.instance;
        let cx = StartCx {
            now: self.now,
            unix_time: self.sys.unix_time(),
        };
        log::debug!("asking {target}");
        let started = contained(&mut self.metrics, || {
            instance.provider.start(request, &target.model, cx)
        });
        let started = started.unwrap_or_else(|| Err(panicked()));
        match started {
            Ok(start) => {
                let phase = Phase::Local;
                let local = start.upstream.is_none();
                run.attempt = Some(Current {
                    generation: start.generation,
                    upstream: start.upstream,
                    phase,
                    began: self.now,
                    since: self.now,
                    conn: None,
                    reused: false,
                    answered: false,
                    first_event: false,
                    holds_back: false,
                    is_watched: false,
                });
                if !local {
                    self.connect_upstream(id, true);
                }
                self.arm_run(id);
            }
            Err(error) => self.fail_attempt(id, error),
        }
    }

    /// Publishes a run's `start`, if that is still to be told. Nobody sees that it comes behind the
    /// provider's request: no other event does, nor does anything that reads the channel.
    pub(super) fn tell_start(&mut self, id: RunId) {
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        if let Some(model) = run.untold.take() {
            let channel = run.channel;
            self.append(channel, &Event::Start { model });
        }
    }

    /// Takes what a generation yielded, then how its callback went: events before ends.
    pub(super) fn take_outputs(
        &mut self,
        id: RunId,
        outputs: &mut Vec<Output>,
        outcome: Result<(), ProviderError>,
    ) {
        for output in outputs.drain(..) {
            if !self.take_output(id, output) {
                // The terminal event has come; the plugin's contract says that nothing follows.
                break;
            }
        }
        outputs.clear();
        match outcome {
            // Of a first content it is done once that is delivered.
            Ok(()) if self.buffers.begun.last() == Some(&id) => {}
            Ok(()) => self.arm_run(id),
            Err(error) => self.fail_attempt(id, error),
        }
    }

    /// False: the run has ended.
    fn take_output(&mut self, id: RunId, output: Output) -> bool {
        let Some(run) = self.runs.get_mut(id) else {
            return false;
        };
        let Some(attempt) = &mut run.attempt else {
            return false;
        };
        if attempt.holds_back && attempt.first_event && attempt.since < self.now {
            attempt.holds_back = false;
            if let Some(upstream) = &attempt.upstream {
                let pause = self.now.since(attempt.since);
                self.acknowledging.note(&upstream.endpoint, pause);
            }
        }
        if output == Output::Unread {
            self.metrics.unread_events += 1;
        }
        let event = match output {
            Output::Alive | Output::Unread => {
                // A sign of life is not an event: it does not stop the wait for the first one.
                if attempt.first_event {
                    attempt.since = self.now;
                }
                return true;
            }
            Output::End {
                finish_reason,
                usage,
            } => {
                self.end_run(id, finish_reason, usage);
                return false;
            }
            Output::Chunk(text) => Event::Chunk(text),
            Output::Reasoning(text) => Event::Reasoning(text),
            Output::Refusal(text) => Event::Refusal(text),
            Output::ToolCall(call) => Event::ToolCall(Box::new(call)),
        };
        attempt.since = self.now;
        if !std::mem::replace(&mut attempt.first_event, true) {
            self.buffers.begun.push(id);
        }
        run.content = true;
        let channel = run.channel;
        match self.append(channel, &event) {
            Some(Room::Enough) => true,
            Some(Room::ChannelFull) => {
                self.cut(id, "the answer is larger than max_channel_bytes allows")
            }
            Some(Room::AllFull) => self.cut(
                id,
                "all channels together hold more than max_total_bytes allows",
            ),
            None => false,
        }
    }

    /// Of the answers that have begun to come, acknowledges what came and holds back what is to
    /// be acknowledged from now on; again behind all that comes before the first content, so that
    /// this finds nothing unacknowledged.
    pub(super) fn expect_streams(&mut self) {
        while let Some(id) = self.buffers.answered.pop() {
            self.expect_stream(id);
        }
    }

    #[inline(never)]
    fn expect_stream(&mut self, id: RunId) {
        // A run that is over by now was answered at once; another attempt may have followed.
        let attempt = self.runs.get_mut(id).and_then(|run| run.attempt.as_mut());
        if let Some(attempt) = attempt.filter(|attempt| attempt.answered)
            && let (Some(conn), Some(upstream)) = (attempt.conn, &attempt.upstream)
            && self.acknowledging.may_wait(&upstream.endpoint)
            && let Some(conn) = self.conns.get(conn)
        {
            attempt.holds_back = true;
            self.sys.expect_stream(conn.sock);
        }
    }

    /// Draws what follows from the first content of attempts, once it is delivered or they end;
    /// `ending` has no further deadline.
    pub(super) fn note_first_events(&mut self, ending: Option<RunId>) {
        while let Some(id) = self.buffers.begun.pop() {
            self.note_first_event(id);
            if ending != Some(id) {
                self.arm_run(id);
            }
        }
    }

    /// An attempt has begun to answer.
    #[inline(never)]
    fn note_first_event(&mut self, id: RunId) {
        if let Some(run) = self.runs.get_mut(id) {
            run.asked = Asked::Tokens(run.asked.tokens());
        }
        let Some((target, attempt)) = self.runs.get_mut(id).and_then(Run::trying) else {
            return;
        };
        let began = attempt.began;
        let provider = target.instance.name.clone();
        if self.runs.get(id).is_some_and(|run| !run.is_unattended) {
            let accounts = &mut self.metrics.accounts;
            accounts.first_event(&provider, self.now.since(began));
        }
        self.note_answer(id);
    }

    #[cold]
    fn cut(&mut self, id: RunId, why: &str) -> bool {
        let mut failure = Failure::new(ErrorCode::TooLarge, why);
        self.name_target(id, &mut failure);
        self.finish_run(id, Event::Error(Box::new(failure)));
        false
    }

    /// Appends an event to a channel.
    pub(super) fn append(&mut self, channel: ChannelId, event: &Event) -> Option<Room> {
        let (_, room) = self.channels.append(channel, event, self.now)?;
        self.metrics.events += 1;
        Some(room)
    }

    fn end_run(&mut self, id: RunId, finish_reason: FinishReason, usage: Option<Usage>) {
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        let usage = usage.or_else(|| run.is_asked().then(|| spent(run, &self.channels)).flatten());
        let target = run.plan.target(run.target);
        let end = End {
            finish_reason,
            usage,
            model: target.map(|target| target.model.clone()),
            provider: target.map(|target| target.instance.name.clone()),
            attempts: std::mem::take(&mut run.attempts),
        };
        self.finish_run(id, Event::End(Box::new(end)));
    }

    /// Publishes the terminal event and lets the run go.
    pub(super) fn finish_run(&mut self, id: RunId, event: Event) {
        self.tell_start(id);
        self.note_first_events(Some(id));
        let Some(mut run) = self.runs.remove(id) else {
            return;
        };
        self.timers.disown();
        match &event {
            Event::End(end) if end.finish_reason == FinishReason::Cancelled => {
                self.metrics.runs_cancelled += 1;
            }
            Event::Error(failure) => {
                log::info!("an answer failed: {}: {}", failure.code, failure.message);
                self.metrics.runs_failed += 1;
            }
            _ => self.metrics.runs_completed += 1,
        }
        self.account(&run, &event);
        self.append(run.channel, &event);
        if let Some(attempt) = run.attempt.take() {
            self.release_attempt(attempt, run.current_target());
        }
        self.let_go(id, &run, verdict(&event));
    }

    /// Counts how a run ended and what it cost. A failure has cost something if an answer had
    /// begun.
    fn account(&mut self, run: &Run, event: &Event) {
        let Some(target) = run.current_target().filter(|_| !run.is_unattended) else {
            return;
        };
        let (outcome, usage) = match event {
            Event::End(end) => (end.finish_reason.as_str(), end.usage),
            Event::Error(failure) => {
                let usage = run.content.then(|| spent(run, &self.channels)).flatten();
                (failure.code.as_str(), usage)
            }
            _ => return,
        };
        let (provider, model) = (&target.instance.name, &target.model);
        let accounts = &mut self.metrics.accounts;
        accounts.answered(provider, model, outcome);
        if let Some(usage) = usage {
            accounts.spent(&run.key, provider, model, &usage);
        }
    }

    /// Ends the run of a channel in whatever phase it is. False: there is none.
    #[inline(never)]
    pub(super) fn cancel(&mut self, channel: ChannelId) -> bool {
        let Some(id) = self.channels.get(channel).and_then(|channel| channel.run) else {
            return false;
        };
        self.end_run(id, FinishReason::Cancelled, None);
        true
    }

    /// Nobody has listened to a channel for too long.
    #[cold]
    pub(super) fn abandon(&mut self, channel: ChannelId) {
        let run = self.channels.get(channel).and_then(|channel| channel.run);
        let run = run.and_then(|id| self.runs.get(id));
        if run.is_some_and(|run| !run.is_unattended) {
            self.cancel(channel);
        }
    }

    /// Says in a failure whom it is about, and who failed before.
    pub(super) fn name_target(&mut self, id: RunId, failure: &mut Failure) {
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        failure.attempts = std::mem::take(&mut run.attempts);
        if let Some(target) = run.plan.target(run.target) {
            failure.model = Some(target.model.clone());
            failure.provider = Some(target.instance.name.clone());
        }
    }

    /// Calls a run's machine.
    pub(super) fn with_generation(
        &mut self,
        id: RunId,
        call: impl FnOnce(&mut Current, Moment, &mut Vec<Output>) -> Result<(), ProviderError>,
        outputs: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        let Some(attempt) = self.runs.get_mut(id).and_then(|run| run.attempt.as_mut()) else {
            return Ok(());
        };
        let now = self.now;
        contained(&mut self.metrics, || call(attempt, now, outputs))
            .unwrap_or_else(|| Err(panicked()))
    }
}

/// What a run has cost so far, as nobody says: estimated.
fn spent(run: &Run, channels: &Registry) -> Option<Usage> {
    if run.is_unattended {
        return None;
    }
    let channel = channels.get(run.channel)?;
    let asked = run.asked.tokens();
    let texts = |kind| channel.strings(kind);
    Some(estimate::usage(asked, texts, channel.tool_calls()))
}

/// What the terminal event of a run says about its target.
fn verdict(event: &Event) -> Verdict {
    match event {
        Event::End(end) if end.finish_reason != FinishReason::Cancelled => Verdict::Success,
        // It was cut short here, since it said so much.
        Event::Error(failure) if failure.code == ErrorCode::TooLarge => Verdict::Success,
        _ => Verdict::Unknown,
    }
}

pub(super) fn panicked() -> ProviderError {
    ProviderError::new(ErrorCode::Internal, "the provider's plugin failed")
}

//! Whom a run asks: the first target, the next one after a failure, the same one again; and who
//! waits for whom.
//!
//! ```text
//!   begin ──► choose ──► free ──► an attempt ──► ended ───────────────► the slot goes to who waits
//!     ▲         ▲  ├───► busy ──► the queue ──► its turn ──► begin
//!     │         │  ├───► full ──┐
//!     │         └──┼── failed ◄─┴─ an attempt, the queue's time
//!     │            └───► nobody ──► the backoff, or the terminal event
//!     └──────────────────────────────────┘
//! ```
//!
//! A run has a slot at its target from when it is its turn to the end of the attempt. Whose turn
//! it is begins by an effect, not in the middle of what ended another run.

use super::Reactor;
use crate::effect::Effect;
use crate::event::{ErrorCode, Event, Failure};
use crate::ids::RunId;
use crate::plugin::provider::ProviderError;
use crate::routing::{Change, Choice, LONGEST_DEMAND, Slot, Standing, Target, Verdict, backoff};
use crate::run::dial::seconds;
use crate::run::{Run, Wait};
use crate::sys::Sys;
use crate::time::Moment;

/// What is told to wait where nobody knows how long: a probe is under way.
const SHORTLY: std::time::Duration = std::time::Duration::from_secs(1);

impl<S: Sys> Reactor<S> {
    /// Begins what a run is to do: its attempt if it is its turn, else what its plan says.
    pub(super) fn begin(&mut self, id: RunId) {
        let Some(run) = self.runs.get(id) else {
            return;
        };
        debug_assert!(run.attempt.is_none() && run.wait.is_none(), "it is idle");
        if run.slot.is_some() {
            return self.begin_attempt(id);
        }
        let choice = self.choose(id);
        self.go(id, choice);
    }

    /// An attempt has failed: the next target, the same again, or the terminal event.
    #[cold]
    pub(super) fn fail_attempt(&mut self, id: RunId, error: ProviderError) {
        let may_retry = error.retryable && error.code != ErrorCode::Internal;
        self.fail(id, error, may_retry, None);
    }

    /// As [`fail_attempt`](Self::fail_attempt), but the target is not tried again.
    pub(super) fn fail_for_good(&mut self, id: RunId, error: ProviderError) {
        self.fail(id, error, false, None);
    }

    /// An attempt has had all its time. If it has said something the answer is just long, which is
    /// not the target's fault.
    pub(super) fn fail_too_long(&mut self, id: RunId, error: ProviderError) {
        let has_content = self.runs.get(id).is_some_and(|run| run.content);
        self.fail(id, error, false, has_content.then_some(Verdict::Success));
    }

    /// The wait before a retry is over. Where the breaker has opened meanwhile it goes on until the
    /// next probe is due, as long as the run has patience.
    pub(super) fn try_again(&mut self, id: RunId) {
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        let patience = match run.wait.take() {
            Some(Wait::Backoff { patience, .. }) => patience,
            Some(Wait::Queue { .. }) | None => self.now,
        };
        let index = run.target;
        let Some(target) = run.current_target() else {
            return;
        };
        let choice = match self
            .ledger
            .standing(target, self.routing.rules(target), self.now)
        {
            Standing::Free => Choice::Ask(index),
            Standing::Busy => Choice::Wait(index),
            Standing::Full => Choice::Full(index),
            Standing::Shut(until) => {
                let until = until.max(self.now + SHORTLY);
                if until <= patience {
                    run.wait = Some(Wait::Backoff { until, patience });
                    return self.arm_run(id);
                }
                Choice::Nobody(Some(until))
            }
        };
        self.go(id, choice);
    }

    /// A run has waited for its turn in vain.
    pub(super) fn leave_queue(&mut self, id: RunId) {
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        run.wait = None;
        if let Some(target) = run.current_target() {
            self.ledger.forget(target, id);
        }
        self.metrics.queue_refusals += 1;
    }

    /// A run's attempt begins to answer.
    pub(super) fn note_answer(&mut self, id: RunId) {
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        let (Some(slot), Some(target)) = (&mut run.slot, run.plan.target(run.target)) else {
            return;
        };
        let rules = self.routing.rules(target);
        if self.ledger.probe_answers(target, rules, slot).is_some() {
            log::info!("{target} answers again: its breaker is closed");
        }
    }

    /// A run is over: it leaves its target, or the queue.
    pub(super) fn let_go(&mut self, id: RunId, run: &Run, verdict: Verdict) {
        let Some(target) = run.current_target() else {
            return;
        };
        if let Some(Wait::Queue { .. }) = run.wait {
            self.ledger.forget(target, id);
        }
        if let Some(slot) = run.slot {
            self.leave_target(target, slot, verdict);
        }
    }

    /// Calls all whose turn it is, by the rules as they are now.
    pub(super) fn call_all(&mut self) {
        let runs = self.ledger.waiting().filter_map(|id| self.runs.get(id));
        let targets: Vec<Target> = runs.filter_map(Run::current_target).cloned().collect();
        for target in targets {
            self.call(&target);
        }
    }

    /// `verdict`: what it says about the target, if not what its code says.
    fn fail(&mut self, id: RunId, error: ProviderError, may_retry: bool, verdict: Option<Verdict>) {
        self.note_first_events(Some(id));
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        let Some(target) = run.current_target().cloned() else {
            return;
        };
        let (attempt, slot) = (run.attempt.take(), run.slot.take());
        run.tried.add(run.target);
        if !run.is_unattended {
            let accounts = &mut self.metrics.accounts;
            accounts.attempt_failed(&target.instance.name, &target.model, error.code);
        }
        let goes_on = !run.content;
        let verdict = verdict.unwrap_or_else(|| verdict_of(&error, attempt.is_some()));
        if let Some(attempt) = attempt {
            self.release_attempt(attempt, Some(&target));
        }
        if let Some(slot) = slot {
            self.leave_target(&target, slot, verdict);
        }
        let choice = if goes_on && error.code.allows_fallback() {
            self.choose(id)
        } else {
            Choice::Nobody(None)
        };
        let failed = format!("{target} failed: {}: {}", error.code, error.message);
        if !matches!(choice, Choice::Nobody(_)) {
            log::warn!("{failed}; another target is next");
            self.metrics.fallbacks += 1;
            if let Some(run) = self.runs.get_mut(id) {
                run.note_failure(error.code);
            }
            return self.go(id, choice);
        }
        if goes_on && may_retry && self.retry_later(id, &target, &error, &failed) {
            return;
        }
        log::warn!("{failed}");
        self.fail_run(id, error);
    }

    /// Lets a run wait to try its target again. False: it may not.
    fn retry_later(
        &mut self,
        id: RunId,
        target: &Target,
        error: &ProviderError,
        failed: &str,
    ) -> bool {
        let rules = self.routing.rules(target);
        let standing = self.ledger.standing(target, rules, self.now);
        let Some(run) = self.runs.get_mut(id) else {
            return false;
        };
        if run.retries >= rules.retries || matches!(standing, Standing::Shut(_)) {
            return false;
        }
        let random = draw(&mut self.sys);
        let wait = backoff(rules.retry_backoff, run.retries, error.retry_after, random);
        let Some(wait) = wait else {
            return false;
        };
        log::warn!("{failed}; it is asked again in {}", seconds(wait));
        run.note_failure(error.code);
        run.retries += 1;
        run.wait = Some(Wait::Backoff {
            until: self.now + wait,
            patience: self.now + wait.max(LONGEST_DEMAND),
        });
        self.metrics.retries += 1;
        self.arm_run(id);
        true
    }

    /// Ends a run with the failure of its last attempt.
    fn fail_run(&mut self, id: RunId, error: ProviderError) {
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        let target = run.plan.target(run.target);
        let failure = Failure {
            code: error.code,
            message: error.message,
            retryable: error.retryable,
            model: target.map(|target| target.model.clone()),
            provider: target.map(|target| target.instance.name.clone()),
            attempts: std::mem::take(&mut run.attempts),
            retry_after: error.retry_after,
        };
        self.finish_run(id, Event::Error(Box::new(failure)));
    }

    fn choose(&mut self, id: RunId) -> Choice {
        let Self {
            runs,
            ledger,
            routing,
            sys,
            now,
            ..
        } = self;
        let Some(run) = runs.get(id) else {
            return Choice::Nobody(None);
        };
        let standing = |target: &Target| ledger.standing(target, routing.rules(target), *now);
        run.plan.choose(run.tried, &standing, &mut || draw(sys))
    }

    /// Does what was chosen.
    fn go(&mut self, id: RunId, choice: Choice) {
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        let (Choice::Ask(index) | Choice::Wait(index) | Choice::Full(index)) = choice else {
            return self.find_nobody(id, choice);
        };
        run.turn_to(index);
        let Some(target) = run.plan.target(index) else {
            return;
        };
        let (now, rules) = (self.now, self.routing.rules(target));
        match choice {
            Choice::Ask(_) => {
                run.slot = Some(self.ledger.enter(target, now));
                self.begin_attempt(id);
            }
            Choice::Wait(_) => {
                log::debug!("waiting for {target}");
                self.ledger.wait(target, id, now);
                run.wait = Some(Wait::Queue {
                    since: now,
                    until: now + rules.queue_timeout,
                });
                self.arm_run(id);
            }
            Choice::Full(_) | Choice::Nobody(_) => {
                self.metrics.queue_refusals += 1;
                let most = rules.max_queued;
                let why = format!("as many wait for {target} as max_queued allows ({most})");
                let error = ProviderError::new(ErrorCode::ProviderOverloaded, why);
                self.fail_for_good(id, error);
            }
        }
    }

    /// Breakers stand between a run and all that it could ask.
    #[inline(never)]
    fn find_nobody(&mut self, id: RunId, choice: Choice) {
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        let wait = match choice {
            Choice::Nobody(Some(until)) => until.since(self.now).max(SHORTLY),
            _ => SHORTLY,
        };
        let targets = run.plan.targets().iter().map(|it| it.target.to_string());
        let targets = targets.collect::<Vec<_>>().join(", ");
        let why = format!(
            "nobody is asked for now: breakers are open, after failures in a row ({targets}); the \
             next try is in {} s",
            wait.as_millis().div_ceil(1000)
        );
        let failure = Failure {
            attempts: std::mem::take(&mut run.attempts),
            retry_after: Some(wait),
            ..Failure::new(ErrorCode::ProviderOverloaded, why)
        };
        self.finish_run(id, Event::Error(Box::new(failure)));
    }

    /// A request to a target is over. Whoever waits for it is next; or nobody, where it fails.
    fn leave_target(&mut self, target: &Target, slot: Slot, verdict: Verdict) {
        let rules = self.routing.rules(target);
        match self.ledger.leave(target, rules, slot, verdict, self.now) {
            Some(Change::Opened(time)) => {
                self.metrics.breaker_openings += 1;
                let time = seconds(time);
                log::warn!("{target} has failed too often: nobody asks it for {time}");
                for run in self.ledger.dismiss(target) {
                    self.call_run(run, None);
                }
            }
            Some(Change::Closed) => log::info!("{target} answers again: its breaker is closed"),
            None => {}
        }
        self.call(target);
    }

    /// Calls those whose turn it is at a target: of its own queue, then of those of others that it
    /// can stand in for, who came first.
    fn call(&mut self, target: &Target) {
        let routing = std::sync::Arc::clone(&self.routing);
        let rules = routing.rules(target);
        while let Some(called) = self.ledger.call(target, rules, self.now) {
            self.call_run(called.run, called.slot);
        }
        while self.ledger.standing(target, rules, self.now) == Standing::Free
            && let Some((_, id, index)) = self.longest_waiting(target)
        {
            let Some(run) = self.runs.get_mut(id) else {
                return;
            };
            if let Some(other) = run.current_target() {
                self.ledger.forget(other, id);
            }
            run.turn_to(index);
            let slot = self.ledger.enter(target, self.now);
            self.call_run(id, Some(slot));
        }
    }

    /// Who has waited longest for another target of a group that this one is in, too.
    fn longest_waiting(&self, target: &Target) -> Option<(Moment, RunId, usize)> {
        let waiting = self.ledger.waiting().filter_map(|id| {
            let run = self.runs.get(id)?;
            let Some(Wait::Queue { since, .. }) = run.wait else {
                return None;
            };
            let index = run.plan.sibling(run.target, target)?;
            (!run.tried.has(index)).then_some((since, id, index))
        });
        waiting.min()
    }

    /// It is a run's turn; without a slot, to look for another target.
    fn call_run(&mut self, id: RunId, slot: Option<Slot>) {
        debug_assert!(self.runs.get(id).is_some(), "who is gone waits no longer");
        if let Some(run) = self.runs.get_mut(id) {
            run.wait = None;
            run.slot = slot;
            self.agenda.push(Effect::Begin { run: id });
        }
    }
}

/// What a failure says about the target.
fn verdict_of(error: &ProviderError, was_asked: bool) -> Verdict {
    match error.code {
        _ if names_its_time(error) => Verdict::Unknown,
        code if code.blames_target() => Verdict::Failure,
        code if was_asked && code != ErrorCode::Internal => Verdict::Success,
        _ => Verdict::Unknown,
    }
}

/// Does a target only say when it is to be asked again, soon enough to wait for it? Then it works.
/// One that limits us without a word of the time, or for long, is left alone like one that fails.
fn names_its_time(error: &ProviderError) -> bool {
    error.code == ErrorCode::ProviderRateLimited
        && error.retry_after.is_some_and(|wait| wait <= LONGEST_DEMAND)
}

/// A random number.
fn draw<S: Sys>(sys: &mut S) -> u64 {
    let mut bytes = [0; 8];
    sys.random(&mut bytes);
    u64::from_le_bytes(bytes)
}

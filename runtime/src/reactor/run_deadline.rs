//! The deadlines of runs: of each phase of an attempt, and of waits.

use super::Reactor;
use super::runs::panicked;
use crate::ids::RunId;
use crate::plugin::provider::ProviderError;
use crate::run::Timer;
use crate::sys::Sys;
use crate::time::Moment;
use crate::timers::Owner;

impl<S: Sys> Reactor<S> {
    /// Sets the timer of a run's earliest deadline.
    pub(super) fn arm_run(&mut self, id: RunId) {
        let Self { runs, timers, .. } = self;
        let Some(run) = runs.get_mut(id) else { return };
        if run.is_watched() {
            return;
        }
        if let Some((at, _)) = run.deadline() {
            timers.arm(Owner::Run(id), &mut run.armed, at);
        }
        if let Some(attempt) = &mut run.attempt {
            attempt.is_watched = attempt.first_event;
        }
    }

    /// A run's hint has come true: is one of its deadlines due?
    #[inline(never)]
    pub(super) fn expire_run(&mut self, id: RunId, hint: Moment) {
        let Some(run) = self.runs.get_mut(id).filter(|run| run.armed == hint) else {
            return;
        };
        run.armed = Moment::NEVER;
        let due = run.deadline().filter(|(at, _)| *at <= self.now);
        let Some((_, timer)) = due else {
            return self.arm_run(id);
        };
        match timer {
            None => {
                let mut outputs = std::mem::take(&mut self.buffers.outputs);
                let outcome = self.with_generation(
                    id,
                    |attempt, now, outputs| attempt.generation.expire(now, outputs),
                    &mut outputs,
                );
                self.take_outputs(id, &mut outputs, outcome);
                self.buffers.outputs = outputs;
            }
            Some(Timer::Backoff) => self.try_again(id),
            Some(Timer::Total) => {
                let error = self.timer_error(id, Timer::Total);
                self.fail_too_long(id, error);
            }
            Some(timer) => {
                let error = self.timer_error(id, timer);
                if timer == Timer::Queue {
                    self.leave_queue(id);
                }
                // What took too long once is not waited for twice.
                self.fail_for_good(id, error);
            }
        }
    }

    fn timer_error(&self, id: RunId, timer: Timer) -> ProviderError {
        let Some(run) = self.runs.get(id) else {
            return panicked();
        };
        let Some(target) = run.current_target() else {
            return panicked();
        };
        let upstream = run
            .attempt
            .as_ref()
            .and_then(|attempt| attempt.upstream.as_ref());
        let host = upstream.map_or(&*target.instance.name, |upstream| &*upstream.endpoint.host);
        timer.error(target, self.routing.rules(target), host)
    }
}

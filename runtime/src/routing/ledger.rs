//! What is known of targets at run time: whether they answer, how many requests they have, who
//! waits for them. It goes by their names, so it outlives a reload; but failures are forgotten where
//! the key or the URL is another afterwards.
//!
//! A target with nothing to remember has no entry. Clients may name targets that nobody
//! configured, so entries without a request are bounded by [`MOST_IDLE`]; those with one are
//! bounded by the runs that there are.

use std::collections::VecDeque;

use crate::ids::RunId;
use crate::metrics::TargetLoad;
use crate::routing::breaker::{Breaker, Change, Verdict};
use crate::routing::queue::Queue;
use crate::routing::resilience::Resilience;
use crate::routing::target::Target;
use crate::time::Moment;

/// Entries that only remember failures. One more, and the oldest is forgotten, those of closed
/// breakers first.
const MOST_IDLE: usize = 1024;

/// What is known of all targets.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    provider: Box<str>,
    model: Box<str>,
    breaker: Breaker,
    queue: Queue,
    /// When it was last entered or left.
    touched: Moment,
}

/// How a target stands to one who wants to ask it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It may be asked.
    Free,
    /// It may be waited for.
    Busy,
    /// As many wait as may.
    Full,
    /// Its breaker is open, until this moment at least.
    Shut(Moment),
}

/// A request's place at its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Is it the probe of an open breaker, which has not answered yet?
    pub(crate) is_probe: bool,
}

/// A run whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Called {
    /// The run.
    pub(crate) run: RunId,
    /// Its place; none where the breaker has opened meanwhile.
    pub(crate) slot: Option<Slot>,
}

impl Ledger {
    /// How a target stands now.
    pub(crate) fn standing(&self, target: &Target, rules: &Resilience, now: Moment) -> Standing {
        let Some(entry) = self.find(target) else {
            return Standing::Free;
        };
        if let Some(until) = entry.breaker.closed_until(now, rules) {
            return Standing::Shut(until);
        }
        if entry.queue.has_room(rules.max_concurrent) {
            Standing::Free
        } else if entry.queue.waiting().len() < rules.max_queued as usize {
            Standing::Busy
        } else {
            Standing::Full
        }
    }

    /// A request to a target begins.
    pub(crate) fn enter(&mut self, target: &Target, now: Moment) -> Slot {
        self.entry(target, now).enter(now)
    }

    /// A target begins to answer a probe, which is one no longer.
    pub(crate) fn probe_answers(
        &mut self,
        target: &Target,
        rules: &Resilience,
        slot: &mut Slot,
    ) -> Option<Change> {
        let is_probe = std::mem::replace(&mut slot.is_probe, false);
        let entry = self.find_mut(target).filter(|_| is_probe)?;
        entry.breaker.probe_answers(rules)
    }

    /// A request is over.
    pub(crate) fn leave(
        &mut self,
        target: &Target,
        rules: &Resilience,
        slot: Slot,
        verdict: Verdict,
        now: Moment,
    ) -> Option<Change> {
        let entry = self.find_mut(target)?;
        entry.queue.leave();
        entry.touched = now;
        let change = entry.breaker.end(slot.is_probe, verdict, now, rules);
        self.tidy();
        change
    }

    /// A run waits for its turn at a target.
    pub(crate) fn wait(&mut self, target: &Target, run: RunId, now: Moment) {
        self.entry(target, now).queue.wait(run);
    }

    /// A run no longer waits for a target.
    pub(crate) fn forget(&mut self, target: &Target, run: RunId) {
        if let Some(entry) = self.find_mut(target) {
            entry.queue.forget(run);
        }
        self.tidy();
    }

    /// The run whose turn it is at a target. It has entered, if its breaker lets it.
    pub(crate) fn call(
        &mut self,
        target: &Target,
        rules: &Resilience,
        now: Moment,
    ) -> Option<Called> {
        let entry = self.find_mut(target)?;
        let run = entry.queue.call(rules.max_concurrent)?;
        let is_shut = entry.breaker.closed_until(now, rules).is_some();
        let slot = (!is_shut).then(|| entry.enter(now));
        self.tidy();
        Some(Called { run, slot })
    }

    /// Lets all go who wait for a target, in order.
    pub(crate) fn dismiss(&mut self, target: &Target) -> VecDeque<RunId> {
        self.find_mut(target)
            .map(|entry| entry.queue.dismiss())
            .unwrap_or_default()
    }

    /// Forgets the failures of those targets of which `is_another` says that they are not what they
    /// were.
    pub(crate) fn forgive(&mut self, is_another: impl Fn(&str, &str) -> bool) {
        for entry in &mut self.entries {
            if !entry.breaker.is_new() && is_another(&entry.provider, &entry.model) {
                entry.breaker = Breaker::default();
            }
        }
        self.tidy();
    }

    /// All who wait, target by target.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = RunId> {
        self.entries
            .iter()
            .flat_map(|entry| entry.queue.waiting())
            .copied()
    }

    /// How many wait.
    pub(crate) fn queued(&self) -> usize {
        self.entries
            .iter()
            .map(|entry| entry.queue.waiting().len())
            .sum()
    }

    /// How many breakers are open, or try a probe.
    pub(crate) fn open_breakers(&self) -> usize {
        self.entries
            .iter()
            .filter(|entry| entry.breaker.is_open())
            .count()
    }

    /// How each target stands that has a request, one who waits, or an open breaker. One that has
    /// only failed stays unsaid: clients may make up names.
    pub(crate) fn loads(&self) -> Vec<TargetLoad> {
        let entries = self.entries.iter();
        let told = entries.filter(|entry| !entry.is_idle() || entry.breaker.is_open());
        let loads = told.map(|entry| TargetLoad {
            provider: entry.provider.clone(),
            model: entry.model.clone(),
            requests: entry.queue.running() as usize,
            queued: entry.queue.waiting().len(),
            is_open: entry.breaker.is_open(),
        });
        loads.collect()
    }

    /// How many requests there are.
    pub(crate) fn running(&self) -> usize {
        self.entries
            .iter()
            .map(|entry| entry.queue.running() as usize)
            .sum()
    }

    fn find(&self, target: &Target) -> Option<&Entry> {
        let mut entries = self.entries.iter();
        entries.find(|entry| target.is_named(&entry.provider, &entry.model))
    }

    fn find_mut(&mut self, target: &Target) -> Option<&mut Entry> {
        let mut entries = self.entries.iter_mut();
        entries.find(|entry| target.is_named(&entry.provider, &entry.model))
    }

    fn entry(&mut self, target: &Target, now: Moment) -> &mut Entry {
        let found = self
            .entries
            .iter()
            .position(|entry| target.is_named(&entry.provider, &entry.model));
        let index = found.unwrap_or(self.entries.len());
        if found.is_none() {
            self.entries.push(Entry {
                provider: target.instance.name.clone(),
                model: target.model.clone(),
                breaker: Breaker::default(),
                queue: Queue::default(),
                touched: now,
            });
        }
        &mut self.entries[index]
    }

    /// Forgets entries with nothing to remember, and the oldest of too many that only remember
    /// failures.
    fn tidy(&mut self) {
        self.entries
            .retain(|entry| !entry.is_idle() || !entry.breaker.is_new());
        let idle = || {
            (0..)
                .zip(&self.entries)
                .filter(|(_, entry)| entry.is_idle())
        };
        if idle().count() > MOST_IDLE {
            let oldest = idle().min_by_key(|(_, entry)| (entry.breaker.is_open(), entry.touched));
            if let Some(oldest) = oldest.map(|(index, _)| index) {
                self.entries.swap_remove(oldest);
            }
        }
    }
}

impl Entry {
    fn enter(&mut self, now: Moment) -> Slot {
        self.queue.enter();
        self.touched = now;
        Slot {
            is_probe: self.breaker.begin(now),
        }
    }

    /// Has it neither a request nor one who waits?
    fn is_idle(&self) -> bool {
        self.queue.running() == 0 && self.queue.waiting().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::routing::testing::target;

    const RULES: Resilience = Resilience {
        breaker_failures: 1,
        max_concurrent: Some(1),
        max_queued: 2,
        ..Resilience::NONE
    };

    fn run(index: u32) -> RunId {
        RunId {
            index,
            generation: 0,
        }
    }

    #[test]
    fn a_target_is_free_then_waited_for_then_full() {
        let (mut ledger, a) = (Ledger::default(), target("a"));
        let now = Moment(1);
        assert_eq!(ledger.standing(&a, &RULES, now), Standing::Free);
        let slot = ledger.enter(&a, now);
        for index in 1..=2 {
            assert_eq!(ledger.standing(&a, &RULES, now), Standing::Busy);
            ledger.wait(&a, run(index), now);
        }
        assert_eq!(ledger.standing(&a, &RULES, now), Standing::Full);
        assert_eq!(ledger.standing(&target("b"), &RULES, now), Standing::Free);
        assert_eq!((ledger.running(), ledger.queued()), (1, 2));
        assert_eq!(ledger.call(&a, &RULES, now), None);
        ledger.forget(&a, run(1));
        assert_eq!(ledger.leave(&a, &RULES, slot, Verdict::Success, now), None);
        let called = ledger.call(&a, &RULES, now).unwrap();
        assert_eq!((called.run, called.slot.is_some()), (run(2), true));
        assert_eq!((ledger.running(), ledger.queued()), (1, 0));
    }

    #[test]
    fn who_is_called_when_the_breaker_is_open_has_no_slot() {
        let (mut ledger, a) = (Ledger::default(), target("a"));
        let slot = ledger.enter(&a, Moment(0));
        ledger.wait(&a, run(1), Moment(0));
        ledger.wait(&a, run(2), Moment(0));
        let change = ledger.leave(&a, &RULES, slot, Verdict::Failure, Moment(5));
        assert_eq!(change, Some(Change::Opened(Duration::from_secs(30))));
        assert_eq!(
            ledger.standing(&a, &RULES, Moment(6)),
            Standing::Shut(Moment(30_005))
        );
        let called = ledger.call(&a, &RULES, Moment(6)).unwrap();
        assert_eq!((called.run, called.slot), (run(1), None));
        assert_eq!(ledger.dismiss(&a), [run(2)]);
        assert_eq!(ledger.open_breakers(), 1);
    }

    #[test]
    fn what_there_is_nothing_to_say_of_is_forgotten() {
        let mut ledger = Ledger::default();
        for (n, verdict) in [Verdict::Success, Verdict::Unknown].into_iter().enumerate() {
            let target = target(&n.to_string());
            let slot = ledger.enter(&target, Moment(0));
            ledger.leave(&target, &RULES, slot, verdict, Moment(0));
            ledger.wait(&target, run(0), Moment(0));
            ledger.forget(&target, run(0));
        }
        assert!(ledger.entries.is_empty());
    }

    #[test]
    fn a_target_is_told_of_while_it_is_asked_waited_for_or_left_alone() {
        let (mut ledger, a, now) = (Ledger::default(), target("a"), Moment(0));
        let lax = Resilience {
            breaker_failures: 2,
            ..RULES
        };
        let told = |ledger: &Ledger| ledger.loads().len();
        for failures in 1..=2 {
            let slot = ledger.enter(&a, now);
            assert_eq!(told(&ledger), 1);
            ledger.leave(&a, &lax, slot, Verdict::Failure, now);
            assert_eq!(told(&ledger), failures - 1, "{failures}");
        }
        let b = target("b");
        ledger.wait(&b, run(1), now);
        assert_eq!(told(&ledger), 2);
    }

    #[test]
    fn failures_of_any_number_of_names_are_bounded_and_open_breakers_kept_longest() {
        let mut ledger = Ledger::default();
        let lax = Resilience {
            breaker_failures: 2,
            ..RULES
        };
        let mut fail = |name: &str, rules: &Resilience, at: usize| {
            let target = target(name);
            let slot = ledger.enter(&target, Moment(at as u64));
            ledger.leave(&target, rules, slot, Verdict::Failure, Moment(at as u64));
            ledger.entries.len()
        };
        fail("open", &RULES, 0);
        for n in 0..3 * MOST_IDLE {
            let entries = fail(&format!("m{n}"), &lax, n);
            assert!(entries <= MOST_IDLE, "{entries}");
        }
        let now = Moment(1);
        let standing = |name: &str| ledger.standing(&target(name), &RULES, now);
        assert!(matches!(standing("open"), Standing::Shut(_)));
        // One in use is never forgotten.
        let busy = target("busy");
        ledger.enter(&busy, Moment(0));
        for n in 0..2 * MOST_IDLE {
            let target = target(&format!("n{n}"));
            let slot = ledger.enter(&target, Moment(2));
            ledger.leave(&target, &RULES, slot, Verdict::Failure, Moment(2));
        }
        assert_eq!(ledger.standing(&busy, &RULES, now), Standing::Busy);
        assert_eq!(ledger.entries.len(), MOST_IDLE + 1);
    }
}

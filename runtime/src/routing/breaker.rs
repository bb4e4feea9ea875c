//! A breaker: after failures in a row nobody asks for a while, then one does, as a probe.
//!
//! ```text
//!              failures in a row
//!   Closed ───────────────────────► Open ◄──────────────┐
//!     ▲                              │ the time is over, │ the probe fails: the next
//!     │      the probe answers       ▼ one asks          │ wait is twice as long
//!     └─────────────────────────── Probing ──────────────┘
//! ```
//!
//! A probe that begins to answer closes the breaker, on probation: one more failure opens it
//! again. What was asked before the breaker opened says nothing about it any more.

use std::time::Duration;

use crate::routing::resilience::Resilience;
use crate::time::Moment;

/// The longest wait after failed probes, unless the first wait is longer.
const LONGEST_COOLDOWN: Duration = Duration::from_secs(300);

/// One target's breaker.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: Moment, cooldown: Duration },
    Probing { cooldown: Duration },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

/// What an attempt says about its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It answers.
    Success,
    /// It fails, by its own fault.
    Failure,
    /// Nothing: the attempt was ended before it could tell.
    Unknown,
}

/// What has become of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It has opened for this long.
    Opened(Duration),
    /// It has closed.
    Closed,
}

impl Breaker {
    /// An attempt begins. True: it is the probe.
    pub(crate) fn begin(&mut self, now: Moment) -> bool {
        match self.state {
            State::Open { until, cooldown } if until <= now => {
                self.state = State::Probing { cooldown };
                true
            }
            State::Closed { .. } | State::Open { .. } | State::Probing { .. } => false,
        }
    }

    /// The probe begins to answer.
    pub(crate) fn probe_answers(&mut self, rules: &Resilience) -> Option<Change> {
        let State::Probing { .. } = self.state else {
            return None;
        };
        let failures = rules.breaker_failures.saturating_sub(1);
        self.state = State::Closed { failures };
        Some(Change::Closed)
    }

    /// An attempt is over; `is_probe` as [`begin`](Self::begin) said, unless it has answered.
    pub(crate) fn end(
        &mut self,
        is_probe: bool,
        verdict: Verdict,
        now: Moment,
        rules: &Resilience,
    ) -> Option<Change> {
        match (self.state, verdict) {
            (State::Closed { .. }, Verdict::Success) => {
                self.state = State::default();
                None
            }
            (State::Closed { failures }, Verdict::Failure) => {
                let failures = failures.saturating_add(1);
                self.state = State::Closed { failures };
                let opens = rules.breaker_failures > 0 && failures >= rules.breaker_failures;
                opens.then(|| self.open(rules.breaker_cooldown, now))
            }
            (State::Probing { .. }, Verdict::Success) if is_probe => {
                self.state = State::default();
                Some(Change::Closed)
            }
            (State::Probing { cooldown }, Verdict::Failure) if is_probe => {
                let longest = LONGEST_COOLDOWN.max(rules.breaker_cooldown);
                Some(self.open(cooldown.saturating_mul(2).min(longest), now))
            }
            (State::Probing { cooldown }, Verdict::Unknown) if is_probe => {
                // The next one is the probe.
                self.state = State::Open {
                    until: now,
                    cooldown,
                };
                None
            }
            (State::Closed { .. }, Verdict::Unknown)
            | (State::Open { .. } | State::Probing { .. }, _) => None,
        }
    }

    /// When somebody may ask again at the earliest, if nobody may now. While a probe is under way
    /// nobody knows: now.
    pub(crate) fn closed_until(&self, now: Moment, rules: &Resilience) -> Option<Moment> {
        match self.state {
            _ if rules.breaker_failures == 0 => None,
            State::Closed { .. } => None,
            State::Open { until, .. } => (until > now).then_some(until),
            State::Probing { .. } => Some(now),
        }
    }

    /// Has it opened, and not closed since?
    pub(crate) fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed { .. })
    }

    /// Is there nothing to remember?
    pub(crate) fn is_new(&self) -> bool {
        self.state == State::default()
    }

    fn open(&mut self, cooldown: Duration, now: Moment) -> Change {
        self.state = State::Open {
            until: now + cooldown,
            cooldown,
        };
        Change::Opened(cooldown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Resilience = Resilience {
        breaker_failures: 3,
        breaker_cooldown: Duration::from_secs(30),
        ..Resilience::NONE
    };

    fn fail(breaker: &mut Breaker, is_probe: bool, at: u64) -> Option<Change> {
        breaker.end(is_probe, Verdict::Failure, Moment(at), &RULES)
    }

    fn opened() -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..2 {
            assert_eq!(fail(&mut breaker, false, 0), None);
        }
        let change = fail(&mut breaker, false, 0);
        assert_eq!(change, Some(Change::Opened(Duration::from_secs(30))));
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_starts_anew() {
        let mut breaker = Breaker::default();
        for _ in 0..5 {
            assert_eq!(fail(&mut breaker, false, 0), None);
            assert_eq!(fail(&mut breaker, false, 0), None);
            assert_eq!(
                breaker.end(false, Verdict::Success, Moment(0), &RULES),
                None
            );
        }
        assert!(breaker.is_new());
        fail(&mut breaker, false, 0);
        breaker.end(false, Verdict::Unknown, Moment(0), &RULES);
        fail(&mut breaker, false, 0);
        assert!(!breaker.is_open());
        assert!(fail(&mut breaker, false, 0).is_some());
        assert!(breaker.is_open());
    }

    #[test]
    fn after_its_time_one_is_let_through_and_nobody_else() {
        let mut breaker = opened();
        assert_eq!(
            breaker.closed_until(Moment(29_999), &RULES),
            Some(Moment(30_000))
        );
        assert!(!breaker.begin(Moment(29_999)));
        assert_eq!(breaker.closed_until(Moment(30_000), &RULES), None);
        assert!(breaker.begin(Moment(30_000)));
        assert!(!breaker.begin(Moment(30_001)));
        assert_eq!(
            breaker.closed_until(Moment(30_001), &RULES),
            Some(Moment(30_001))
        );
    }

    #[test]
    fn a_probe_decides() {
        let mut breaker = opened();
        for (at, next) in [
            (30_000, 60),
            (90_000, 120),
            (210_000, 240),
            (450_000, 300),
            (750_000, 300),
        ] {
            assert!(breaker.begin(Moment(at)), "{at}");
            // What was asked earlier says nothing any more.
            assert_eq!(
                breaker.end(false, Verdict::Success, Moment(at), &RULES),
                None
            );
            assert_eq!(fail(&mut breaker, false, at), None);
            let change = fail(&mut breaker, true, at);
            assert_eq!(change, Some(Change::Opened(Duration::from_secs(next))));
        }
        assert!(breaker.begin(Moment(2_000_000)));
        let change = breaker.end(true, Verdict::Success, Moment(2_000_000), &RULES);
        assert_eq!((change, breaker.is_new()), (Some(Change::Closed), true));
    }

    #[test]
    fn a_probe_that_tells_nothing_is_followed_by_another() {
        let mut breaker = opened();
        assert!(breaker.begin(Moment(31_000)));
        assert_eq!(
            breaker.end(true, Verdict::Unknown, Moment(32_000), &RULES),
            None
        );
        assert_eq!(breaker.closed_until(Moment(32_000), &RULES), None);
        assert!(breaker.begin(Moment(32_000)));
    }

    #[test]
    fn a_probe_that_begins_to_answer_closes_it_on_probation() {
        let mut breaker = opened();
        assert_eq!(breaker.probe_answers(&RULES), None);
        assert!(breaker.begin(Moment(30_000)));
        assert_eq!(breaker.probe_answers(&RULES), Some(Change::Closed));
        assert_eq!(breaker.closed_until(Moment(30_000), &RULES), None);
        let change = fail(&mut breaker, false, 31_000);
        assert_eq!(change, Some(Change::Opened(Duration::from_secs(30))));
    }

    #[test]
    fn where_it_is_off_nothing_opens_it_and_an_open_one_lets_all_through() {
        let mut breaker = Breaker::default();
        for _ in 0..100 {
            let change = breaker.end(false, Verdict::Failure, Moment(0), &Resilience::NONE);
            assert_eq!(change, None);
        }
        assert_eq!(opened().closed_until(Moment(1), &Resilience::NONE), None);
    }
}

//! Time as the engine sees it: milliseconds since the reactor's clock began.
//!
//! The clock is read once a turn and handed down; nothing below the reactor asks for it.

use std::ops::Add;
use std::time::Duration;

/// A point on the reactor's clock, in whole milliseconds since the clock began.
///
/// It is a plain number so that the simulator can make one from nothing, and so that a
/// connection can hold several of them in a few bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// Later than every moment that a process lives to see: a deadline that never comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// The time from `earlier` to `self`, zero if `earlier` is the later one.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The first moment from `self` on that is a multiple of `step`: what need not be punctual is
    /// done together with its neighbours, for one wake-up.
    #[inline]
    #[must_use]
    pub fn rounded_up(self, step: Duration) -> Self {
        let step = u64::try_from(step.as_millis()).unwrap_or(u64::MAX).max(1);
        Self(self.0.checked_next_multiple_of(step).unwrap_or(u64::MAX))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    /// The moment `duration` later. A part of a millisecond rounds up, so that a wait never ends
    /// early; what does not fit is [`Moment::NEVER`].
    fn add(self, duration: Duration) -> Self {
        let part = u64::from(duration.subsec_nanos().div_ceil(1_000_000));
        let millis = duration.as_secs().saturating_mul(1000).saturating_add(part);
        Self(self.0.saturating_add(millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_rounds_up_and_saturates() {
        assert_eq!(Moment(5) + Duration::from_micros(1), Moment(6));
        assert_eq!(Moment(5) + Duration::from_millis(2), Moment(7));
        assert_eq!(Moment(5) + Duration::MAX, Moment::NEVER);
        assert_eq!(Moment(5).since(Moment(9)), Duration::ZERO);
        assert_eq!(Moment(9).since(Moment(5)), Duration::from_millis(4));
    }

    #[test]
    fn what_is_not_punctual_is_never_early() {
        let step = Duration::from_millis(100);
        assert_eq!(Moment(0).rounded_up(step), Moment(0));
        assert_eq!(Moment(1).rounded_up(step), Moment(100));
        assert_eq!(Moment(100).rounded_up(step), Moment(100));
        assert_eq!(Moment(101).rounded_up(Duration::ZERO), Moment(101));
        assert_eq!(Moment(1).rounded_up(Duration::MAX), Moment::NEVER);
        assert_eq!(Moment::NEVER.rounded_up(step), Moment::NEVER);
    }
}

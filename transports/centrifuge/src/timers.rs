//! What a connection does by the clock: it pings, it waits for a pong, it gives up.
//!
//! ```text
//!   opened ──10 s──► 3502 stale                 without a successful connect
//!   connected ──½…1 interval──► ping ──interval──► ping …
//!                                └──8 s without a pong──► 3012
//!   token expired ──25 s without a refresh──► 3005; of a subscription: 2501, or 3006
//!   closed ──5 s──► the peer's close frame is waited for no longer
//! ```

use std::time::Duration;

use lmserver_runtime::time::Moment;

/// How long the peer's close frame is waited for.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// When something is next due, apart from expiry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heart {
    /// When the connection is stale, when the next ping is due, or when waiting for the peer's
    /// close frame ends.
    pub(crate) due: Moment,
    /// By when the last ping must be answered; never, if it has been.
    pub(crate) pong_due: Moment,
}

impl Heart {
    pub(crate) const fn new(due: Moment) -> Self {
        Self {
            due,
            pong_due: Moment::NEVER,
        }
    }

    pub(crate) fn next(self) -> Moment {
        self.due.min(self.pong_due)
    }

    /// Takes a pong. False: none was expected.
    pub(crate) fn take_pong(&mut self) -> bool {
        let expected = self.pong_due != Moment::NEVER;
        self.pong_due = Moment::NEVER;
        expected
    }
}

/// How fast commands may come: so many a second over a while, and twice as many at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    /// Commands that may come now; below zero: what was refused.
    left: i32,
    since: Moment,
}

/// What becomes of a command that comes now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// It is carried out.
    Taken,
    /// It is refused.
    Refused,
    /// It is one too many of those that were refused.
    Flood,
}

impl Bucket {
    pub(crate) const fn new(rate: u32, now: Moment) -> Self {
        Self {
            left: Self::bound(rate),
            since: now,
        }
    }

    /// How many may come at once.
    const fn bound(rate: u32) -> i32 {
        let twice = rate.saturating_mul(2);
        if twice > i32::MAX.cast_unsigned() {
            i32::MAX
        } else {
            twice.cast_signed()
        }
    }

    /// Takes a command. With a rate of zero all are carried out.
    pub(crate) fn take(&mut self, rate: u32, now: Moment) -> Flow {
        if rate == 0 {
            return Flow::Taken;
        }
        let bound = Self::bound(rate);
        let millis = now.since(self.since).as_millis().min(8000);
        let gained = millis.saturating_mul(u128::from(rate)) / 1000;
        if gained > 0 {
            let gained = i32::try_from(gained).unwrap_or(i32::MAX);
            self.left = self.left.saturating_add(gained).min(bound);
            self.since = now;
        }
        if self.left > 0 {
            self.left -= 1;
            return Flow::Taken;
        }
        self.left = self.left.saturating_sub(1);
        if self.left < -bound {
            Flow::Flood
        } else {
            Flow::Refused
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_taken_at_their_rate_and_refused_beyond_it() {
        let mut bucket = Bucket::new(2, Moment(0));
        for want in [[Flow::Taken; 4], [Flow::Refused; 4]].concat() {
            assert_eq!(bucket.take(2, Moment(0)), want);
        }
        assert_eq!(bucket.take(2, Moment(0)), Flow::Flood);
        assert_eq!(bucket.take(2, Moment(10_000)), Flow::Taken);
        let mut slow = Bucket::new(2, Moment(0));
        for at in 1..100 {
            assert_eq!(slow.take(2, Moment(at * 500)), Flow::Taken);
        }
        for _ in 0..10_000 {
            assert_eq!(slow.take(0, Moment(0)), Flow::Taken);
        }
    }
}

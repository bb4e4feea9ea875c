//! A heap of hints: whose deadline to look at, and when.
//!
//! The owner's own `deadline()` is the truth. Nothing is ever taken out of the middle: a hint that
//! comes true too early is asked again and set anew.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::ids::{ConnId, DialId, RunId};
use crate::time::Moment;

/// Who has a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    Conn(ConnId),
    Run(RunId),
    Dial(DialId),
}

/// The hints. Each owner has one that counts; it notes the time of that itself.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Moment, Owner)>>,
}

impl Timers {
    /// Sets a hint if it is earlier than the one that counts.
    pub(crate) fn arm(&mut self, owner: Owner, armed: &mut Moment, at: Moment) {
        if at < *armed {
            *armed = at;
            self.heap.push(Reverse((at, owner)));
        }
    }

    /// The next hint that has come true.
    pub(crate) fn pop_due(&mut self, now: Moment) -> Option<(Moment, Owner)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(hint)| hint)
    }

    /// When the next hint comes true.
    pub(crate) fn next(&self) -> Option<Moment> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
}

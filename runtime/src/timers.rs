//! A heap of hints: whose deadline to look at, and when.
//!
//! The owner's own `deadline()` is the truth. Nothing is ever taken out of the middle: a hint that
//! comes true too early is asked again and set anew, and one that means nothing any more is dropped
//! when it would be the next to wake the reactor.
//!
//! | owner | its deadlines | armed and looked at in |
//! | --- | --- | --- |
//! | a connection: a request, a session, a socket that takes nothing, an idle one | `reactor/conn_deadline.rs` | the same |
//! | a run: the phases of an attempt, a queue, a backoff | `run.rs`, `Run::deadline` | `reactor/run_deadline.rs` |
//! | a dial: name, connection, handshake | `run/dial.rs`, `Dial::deadline` | `reactor/dial.rs` |
//!
//! What is one in a server, or keeps an order of its own, is not in the heap; the reactor looks
//! at it before each wait: the channels (`channel/registry/expiry.rs`), the listeners
//! (`reactor/accept.rs`), the service's wishes, the spares to be dialled (`run/warm.rs`), and the
//! end of the patience at a stop (`reactor/stop.rs`).

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
    /// The next hint may be one that does not count.
    is_doubtful: bool,
}

impl Timers {
    /// Sets a hint if it is earlier than the one that counts.
    pub(crate) fn arm(&mut self, owner: Owner, armed: &mut Moment, at: Moment) {
        if at < *armed {
            *armed = at;
            self.heap.push(Reverse((at, owner)));
        }
    }

    /// Some owner is gone, and its hints with it.
    pub(crate) fn disown(&mut self) {
        self.is_doubtful = true;
    }

    /// The next hint that has come true.
    pub(crate) fn pop_due(&mut self, now: Moment) -> Option<(Moment, Owner)> {
        if self.heap.peek()?.0.0 > now {
            return None;
        }
        self.is_doubtful = true;
        self.heap.pop().map(|Reverse(hint)| hint)
    }

    /// When the next hint comes true that counts: `armed` tells which one of an owner does.
    pub(crate) fn next(&mut self, armed: impl Fn(Owner) -> Option<Moment>) -> Option<Moment> {
        if self.is_doubtful {
            self.drop_those_of_no_account(armed);
        }
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    #[inline(never)]
    fn drop_those_of_no_account(&mut self, armed: impl Fn(Owner) -> Option<Moment>) {
        while let Some(Reverse((at, owner))) = self.heap.peek()
            && armed(*owner) != Some(*at)
        {
            self.heap.pop();
        }
        self.is_doubtful = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Arena;

    #[test]
    fn hints_that_do_not_count_wake_nobody() {
        let mut owners = Arena::new();
        let [gone, stays] = [(); 2].map(|()| owners.insert_with(|_| Moment::NEVER));
        let mut timers = Timers::default();
        for (id, at) in [(gone, 30), (gone, 10), (stays, 50), (stays, 40)] {
            let armed = owners.get_mut(id).unwrap();
            timers.arm(Owner::Run(id), armed, Moment(at));
        }
        let next = |timers: &mut Timers, owners: &Arena<RunId, Moment>| {
            timers.next(|owner| match owner {
                Owner::Run(id) => owners.get(id).copied(),
                Owner::Conn(_) | Owner::Dial(_) => None,
            })
        };
        assert_eq!(next(&mut timers, &owners), Some(Moment(10)));
        owners.remove(gone);
        timers.disown();
        assert_eq!(next(&mut timers, &owners), Some(Moment(40)));
        assert_eq!(timers.pop_due(Moment(39)), None);
        assert_eq!(
            timers.pop_due(Moment(40)),
            Some((Moment(40), Owner::Run(stays)))
        );
        // The one at 50 was set before the one at 40 and does not count beside it.
        assert_eq!(next(&mut timers, &owners), None);
    }
}

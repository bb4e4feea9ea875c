//! Who is being answered by a target, and who waits for it: first come, first served.

use std::collections::VecDeque;

use crate::ids::RunId;

/// One target's requests. Who waits is bounded by whoever lets them in.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    running: u32,
    waiting: VecDeque<RunId>,
}

impl Queue {
    /// Is there room for one who has not waited? Nobody overtakes.
    pub(crate) fn has_room(&self, cap: Option<u32>) -> bool {
        self.waiting.is_empty() && self.may_run(cap)
    }

    /// A request begins.
    pub(crate) fn enter(&mut self) {
        self.running = self.running.saturating_add(1);
    }

    /// A request is over.
    pub(crate) fn leave(&mut self) {
        debug_assert!(self.running > 0, "who leaves has entered");
        self.running = self.running.saturating_sub(1);
    }

    /// A run waits, behind all others.
    pub(crate) fn wait(&mut self, run: RunId) {
        self.waiting.push_back(run);
    }

    /// A run no longer waits.
    pub(crate) fn forget(&mut self, run: RunId) {
        self.waiting.retain(|it| *it != run);
    }

    /// The run whose turn it is, if there is room. It waits no longer, and has not entered.
    pub(crate) fn call(&mut self, cap: Option<u32>) -> Option<RunId> {
        if self.may_run(cap) {
            self.waiting.pop_front()
        } else {
            None
        }
    }

    /// Lets all go who wait, in order.
    pub(crate) fn dismiss(&mut self) -> VecDeque<RunId> {
        std::mem::take(&mut self.waiting)
    }

    /// Those who wait, in order.
    pub(crate) fn waiting(&self) -> &VecDeque<RunId> {
        &self.waiting
    }

    /// How many requests there are.
    pub(crate) fn running(&self) -> u32 {
        self.running
    }

    fn may_run(&self, cap: Option<u32>) -> bool {
        cap.is_none_or(|cap| self.running < cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(index: u32) -> RunId {
        RunId {
            index,
            generation: 0,
        }
    }

    #[test]
    fn who_waits_is_called_in_order_as_others_leave() {
        let mut queue = Queue::default();
        for _ in 0..2 {
            assert!(queue.has_room(Some(2)));
            queue.enter();
        }
        assert!(!queue.has_room(Some(2)));
        (1..=4).for_each(|index| queue.wait(run(index)));
        queue.forget(run(2));
        assert_eq!(queue.call(Some(2)), None);
        for index in [1, 3, 4] {
            queue.leave();
            // There would be room, but others were first.
            assert!(!queue.has_room(Some(2)));
            assert_eq!(queue.call(Some(2)), Some(run(index)));
            queue.enter();
        }
        queue.leave();
        assert_eq!((queue.call(Some(2)), queue.running()), (None, 1));
        assert!(queue.has_room(Some(2)));
    }

    #[test]
    fn a_cap_that_falls_or_goes_is_kept_from_then_on() {
        let mut queue = Queue::default();
        (0..3).for_each(|_| queue.enter());
        (1..=3).for_each(|index| queue.wait(run(index)));
        assert_eq!(queue.call(Some(1)), None);
        assert_eq!(queue.call(None), Some(run(1)));
        assert_eq!(queue.dismiss(), [run(2), run(3)]);
        assert!(queue.has_room(None));
    }
}

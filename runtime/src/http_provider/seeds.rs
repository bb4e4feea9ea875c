//! What makes the made-up ids of one answer differ from those of all others.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::plugin::provider::StartCx;

/// One seed per generation of a provider.
#[derive(Debug, Default)]
pub(super) struct Seeds {
    /// Generations so far.
    started: AtomicU32,
}

impl Seeds {
    /// The seed of a generation that begins now.
    #[must_use]
    pub(super) fn next(&self, cx: StartCx) -> u64 {
        let count = self.started.fetch_add(1, Ordering::Relaxed);
        cx.now.0.rotate_left(32) ^ u64::from(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Moment;

    #[test]
    fn seeds_differ_by_the_moment_and_by_their_order() {
        let seeds = Seeds::default();
        let at = |millis| StartCx {
            now: Moment(millis),
            ..StartCx::default()
        };
        let drawn = [seeds.next(at(1)), seeds.next(at(1)), seeds.next(at(2))];
        assert_eq!(
            drawn
                .iter()
                .collect::<std::collections::BTreeSet<_>>()
                .len(),
            3
        );
    }
}

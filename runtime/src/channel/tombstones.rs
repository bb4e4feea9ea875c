//! The names of forgotten channels, so that `410` and `gone` are exact.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use crate::time::Moment;

/// Names that are remembered at most; beyond it the oldest is forgotten early.
const MOST: usize = 32_768;

/// The remembered names, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Tombstones {
    names: HashSet<Box<str>>,
    order: VecDeque<(Moment, Box<str>)>,
}

impl Tombstones {
    /// Remembers a name from now on.
    pub(crate) fn insert(&mut self, name: &str, now: Moment) {
        if self.names.insert(name.into()) {
            self.order.push_back((now, name.into()));
        }
        while self.order.len() > MOST {
            self.forget_oldest();
        }
    }

    /// Is the name remembered?
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Forgets the names inserted `ttl` ago or earlier.
    pub(crate) fn expire(&mut self, now: Moment, ttl: Duration) {
        while self
            .order
            .front()
            .is_some_and(|(since, _)| *since + ttl <= now)
        {
            self.forget_oldest();
        }
    }

    /// When the oldest name was inserted.
    pub(crate) fn oldest(&self) -> Option<Moment> {
        self.order.front().map(|(since, _)| *since)
    }

    fn forget_oldest(&mut self) {
        if let Some((_, name)) = self.order.pop_front() {
            self.names.remove(&name);
        }
    }
}

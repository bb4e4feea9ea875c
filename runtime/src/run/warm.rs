//! Spare connections: for which endpoints one is made before it is needed, and when.
//!
//! ```text
//!   a request goes to an endpoint ──► warm for WARM from now
//!   warm, and fewer idle connections and dials than spares wanted ──► dial
//!   a dial fails, or the peer closes a spare that nobody used ──► not again for 3 s, 6 s, … 60 s
//! ```
//!
//! So a request that finds no used connection free finds one whose handshakes are over. A server
//! that closes idle connections, or takes none, is left alone for longer and longer; a spare that
//! is used, or that is kept to its end, makes up for it.

use std::sync::Arc;
use std::time::Duration;

use super::pool::PoolKey;
use crate::routing::Instance;
use crate::time::Moment;

/// How long after the last request to an endpoint spares are kept for it.
pub(crate) const WARM: Duration = Duration::from_secs(300);

/// The wait after a first failure; twice as long after each further.
const PAUSE: Duration = Duration::from_secs(3);

/// The longest wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Endpoints that are warm at a time; a further one gets no spares.
const MOST_PLACES: usize = 256;

/// The endpoints that are warm.
#[derive(Default)]
pub(crate) struct Warm {
    /// At most [`MOST_PLACES`].
    places: Vec<(PoolKey, Place)>,
    /// When to look for what is missing; none: when something happens.
    due: Option<Moment>,
}

struct Place {
    instance: Arc<Instance>,
    until: Moment,
    /// Dials under way.
    dialing: u32,
    /// Failures since a spare was of use.
    failures: u32,
    not_before: Moment,
}

impl Warm {
    /// A request goes to a place.
    pub(crate) fn asked(&mut self, key: &PoolKey, instance: &Arc<Instance>, now: Moment) {
        if instance.warm_connections == 0 {
            return;
        }
        self.due = Some(now);
        if let Some(place) = self.find(key) {
            place.until = now + WARM;
        } else if self.places.len() < MOST_PLACES {
            let place = Place {
                instance: Arc::clone(instance),
                until: now + WARM,
                dialing: 0,
                failures: 0,
                not_before: now,
            };
            self.places.push((key.clone(), place));
        }
    }

    /// A spare was of use, or would have been for as long as it was kept.
    pub(crate) fn served(&mut self, key: &PoolKey, now: Moment) {
        self.due = Some(now);
        if let Some(place) = self.find(key) {
            place.failures = 0;
            place.not_before = now;
        }
    }

    /// A dial has ended.
    pub(crate) fn dialed(&mut self, key: &PoolKey) {
        if let Some(place) = self.find(key) {
            place.dialing = place.dialing.saturating_sub(1);
        }
    }

    /// A dial has failed, or the peer has closed a spare that nobody used.
    pub(crate) fn failed(&mut self, key: &PoolKey, now: Moment) {
        self.due = Some(now);
        if let Some(place) = self.find(key) {
            let longer = 2_u32.saturating_pow(place.failures);
            let pause = PAUSE.saturating_mul(longer).min(LONGEST_PAUSE);
            place.failures = place.failures.saturating_add(1);
            place.not_before = now + pause;
        }
    }

    /// An idle connection is gone, so that one may be missing.
    pub(crate) fn look(&mut self, now: Moment) {
        if !self.places.is_empty() {
            self.due = Some(now);
        }
    }

    /// When [`missing`](Self::missing) is to be asked.
    pub(crate) fn due(&self) -> Option<Moment> {
        self.due
    }

    /// A place where a spare is missing, and is to be dialed for now. To be asked until there is
    /// none. `idle` tells how many connections to a place are idle.
    pub(crate) fn missing(
        &mut self,
        now: Moment,
        idle: impl Fn(&PoolKey) -> usize,
    ) -> Option<(PoolKey, Arc<Instance>)> {
        self.places
            .retain(|(_, place)| place.until > now || place.dialing > 0);
        self.due = None;
        for (key, place) in &mut self.places {
            let wanted = usize::try_from(place.instance.warm_connections).unwrap_or(usize::MAX);
            let there = usize::try_from(place.dialing).unwrap_or(usize::MAX);
            let is_missing = place.until > now && idle(key).saturating_add(there) < wanted;
            if is_missing && place.not_before <= now {
                place.dialing += 1;
                self.due = Some(now);
                return Some((key.clone(), Arc::clone(&place.instance)));
            }
            let next = if is_missing {
                place.not_before.min(place.until)
            } else {
                place.until
            };
            // What is over, but for a dial, is looked at when that has ended.
            if next > now {
                self.due = Some(self.due.map_or(next, |due| due.min(next)));
            }
        }
        None
    }

    /// Keeps nothing warm any more.
    pub(crate) fn clear(&mut self) {
        self.places.clear();
        self.due = None;
    }

    /// Dials under way for a place, for checks.
    pub(crate) fn dials(&self) -> impl Iterator<Item = (&PoolKey, u32)> {
        self.places.iter().map(|(key, place)| (key, place.dialing))
    }

    fn find(&mut self, key: &PoolKey) -> Option<&mut Place> {
        let mut places = self.places.iter_mut();
        places.find(|(known, _)| known == key).map(|(_, it)| it)
    }
}

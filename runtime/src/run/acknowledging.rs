//! Where acknowledgements may be held back: from peers that do not wait for them.
//!
//! Held back they cost less; see [`Sys::expect_stream`](crate::sys::Sys::expect_stream). A peer that
//! sends nothing more before its last bytes are acknowledged (RFC 896) falls silent for as long. So
//! it is tried once an answer, from its first bytes on, and no more at a place where a pause follows
//! the first event more often than not.

use std::collections::HashMap;
use std::time::Duration;

use crate::plugin::provider::Endpoint;

/// Acknowledgements are held back for 40 ms; who lets us wait about as long has no use of it.
const PAUSE: Duration = Duration::from_millis(30);

/// What was tried where. Places come from the configuration, so there are few.
#[derive(Debug, Default)]
pub(crate) struct Acknowledging {
    places: HashMap<Endpoint, Tried>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tried {
    times: u32,
    paused: u32,
}

impl Acknowledging {
    /// May acknowledgements be held back there?
    pub(crate) fn may_wait(&self, place: &Endpoint) -> bool {
        let tried = self.places.get(place).copied().unwrap_or_default();
        tried.paused.saturating_mul(2) <= tried.times
    }

    /// They were held back there, and the next bytes came after so long.
    #[inline(never)]
    pub(crate) fn note(&mut self, place: &Endpoint, pause: Duration) {
        if !self.places.contains_key(place) {
            self.places.insert(place.clone(), Tried::default());
        }
        if let Some(tried) = self.places.get_mut(place) {
            tried.times = tried.times.saturating_add(1);
            tried.paused = tried.paused.saturating_add(u32::from(pause > PAUSE));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_pauses_more_often_than_not_is_left_alone() {
        let place = |port| Endpoint {
            host: "h".into(),
            port,
            tls: false,
        };
        let mut acknowledging = Acknowledging::default();
        assert!(acknowledging.may_wait(&place(1)));
        acknowledging.note(&place(1), Duration::from_millis(40));
        assert!(!acknowledging.may_wait(&place(1)));
        assert!(acknowledging.may_wait(&place(2)), "another place");
        for pause in [15, 30, 41, 19] {
            acknowledging.note(&place(2), Duration::from_millis(pause));
            assert!(acknowledging.may_wait(&place(2)), "{pause}");
        }
    }
}

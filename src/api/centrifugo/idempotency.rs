//! Publications that are sent again: which have been made already.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lmserver_runtime::time::Moment;

use super::super::auth::{Digest, sha256};

/// What came of a publication, once it was made: its result.
pub(super) type Outcome = Arc<OnceLock<Vec<u8>>>;

/// The publications of the last minutes that have a key.
#[derive(Default)]
pub(crate) struct Remembered {
    /// At most [`MOST`].
    outcomes: HashMap<Digest, Outcome>,
    /// The same in the order in which they came, each with its end.
    ends: VecDeque<(Moment, Digest)>,
}

impl Remembered {
    /// Where the outcome of the publication with this key in this channel stands, or will stand.
    pub(super) fn outcome(&mut self, channel: &str, key: &str, now: Moment) -> Outcome {
        self.forget(now);
        let length = channel.len().to_le_bytes();
        let digest = sha256(&[&length, channel.as_bytes(), key.as_bytes()]);
        if let Some(known) = self.outcomes.get(&digest) {
            return Arc::clone(known);
        }
        let outcome = Outcome::default();
        self.outcomes.insert(digest, Arc::clone(&outcome));
        self.ends.push_back((now + KEPT, digest));
        outcome
    }

    /// Forgets those that have come to their end, and the oldest if there are too many.
    fn forget(&mut self, now: Moment) {
        while let Some((end, digest)) = self.ends.front()
            && (*end <= now || self.ends.len() >= MOST)
        {
            self.outcomes.remove(digest);
            self.ends.pop_front();
        }
    }
}

/// How long a publication is remembered.
const KEPT: Duration = Duration::from_secs(300);

/// How many are.
const MOST: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_found_again_by_channel_and_key_for_five_minutes() {
        let mut remembered = Remembered::default();
        let at = |seconds| Moment(0) + Duration::from_secs(seconds);
        let first = remembered.outcome("a", "k", at(0));
        first.set(b"1".to_vec()).unwrap();
        for (channel, key, seconds, want) in [
            ("a", "k", 299, true),
            ("b", "k", 1, false),
            ("a", "l", 1, false),
            ("", "ak", 1, false),
            ("ak", "", 1, false),
            ("a", "k", 300, false),
        ] {
            let known = remembered.outcome(channel, key, at(seconds));
            assert_eq!(known.get().is_some(), want, "{channel} {key} {seconds}");
        }
    }

    #[test]
    fn the_oldest_are_forgotten_where_there_are_too_many() {
        let mut remembered = Remembered::default();
        for number in 0..MOST + 10 {
            remembered.outcome("a", &number.to_string(), Moment(0));
        }
        assert_eq!(remembered.outcomes.len(), MOST);
        assert_eq!(remembered.ends.len(), MOST);
    }
}

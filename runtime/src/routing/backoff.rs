//! How long to wait before a target is asked again.

use std::time::Duration;

/// The longest wait that is made up here.
const LONGEST: Duration = Duration::from_secs(8);

/// The longest wait that a provider may demand. Who demands more is not asked again.
pub(crate) const LONGEST_DEMAND: Duration = Duration::from_secs(60);

/// The wait before the retry after `retries` others; none where the provider demands too long a
/// one.
///
/// What is made up here doubles each time, up to [`LONGEST`], less up to a quarter of it. What the
/// provider demands is kept, with up to a tenth on top. Either way those who failed together do
/// not come back together.
pub(crate) fn backoff(
    first: Duration,
    retries: u32,
    demanded: Option<Duration>,
    random: u64,
) -> Option<Duration> {
    if let Some(demanded) = demanded {
        return (demanded <= LONGEST_DEMAND).then(|| demanded + share(demanded / 10, random));
    }
    let doubled = first.saturating_mul(1_u32.checked_shl(retries).unwrap_or(u32::MAX));
    let wait = doubled.min(LONGEST);
    Some(wait - share(wait / 4, random))
}

/// A random part of a duration.
fn share(most: Duration, random: u64) -> Duration {
    let millis = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(random % millis.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(500);

    fn millis(wait: Option<Duration>) -> u64 {
        u64::try_from(wait.unwrap().as_millis()).unwrap()
    }

    #[test]
    fn a_wait_doubles_up_to_eight_seconds_less_a_quarter_at_most() {
        for (retries, most) in [
            (0, 500_u64),
            (1, 1000),
            (3, 4000),
            (4, 8000),
            (5, 8000),
            (u32::MAX, 8000),
        ] {
            let wait = |random| millis(backoff(FIRST, retries, None, random));
            assert_eq!(wait(0), most, "{retries}");
            assert_eq!(wait(most / 4), most - most / 4, "{retries}");
            for random in [1, 77, u64::MAX] {
                assert!(
                    (most - most / 4..=most).contains(&wait(random)),
                    "{retries}"
                );
            }
        }
    }

    #[test]
    fn a_demanded_wait_is_kept_up_to_a_minute() {
        for (demanded, want) in [
            (0, Some(0)),
            (20_000, Some(20_000)),
            (60_000, Some(60_000)),
            (60_001, None),
        ] {
            let demanded = Some(Duration::from_millis(demanded));
            let least = backoff(FIRST, 0, demanded, 0).map(|wait| wait.as_millis());
            assert_eq!(least, want);
            if let Some(wait) = backoff(FIRST, 0, demanded, u64::MAX) {
                assert!(Some(wait) >= demanded && wait <= LONGEST_DEMAND + LONGEST_DEMAND / 10);
            }
        }
    }
}

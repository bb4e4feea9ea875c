//! Medians, percentiles and the clock.

use rustix::time::{ClockId, clock_gettime};

/// Monotonic nanoseconds, comparable between processes of one machine.
pub fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The value below which `share` of the values lie.
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len() as f64 * share) as usize;
    sorted
        .get(at.min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}

/// The middle one, or the mean of the middle two.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        count => (sorted[(count - 1) / 2] + sorted[count / 2]) / 2.0,
    }
}

/// Counts of nanosecond values in buckets of 1/32 of their size.
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

const STEPS: u64 = 32;

impl Histogram {
    pub fn new() -> Self {
        Self {
            counts: vec![0; 64 * STEPS as usize],
            total: 0,
        }
    }

    pub fn add(&mut self, value: u64) {
        let power = u64::from(value.max(STEPS).ilog2()) - u64::from(STEPS.ilog2());
        self.counts[(power * STEPS + (value >> power)) as usize] += 1;
        self.total += 1;
    }

    /// Lower edge of the bucket that holds the `share` percentile.
    pub fn percentile(&self, share: f64) -> f64 {
        let mut left = (self.total as f64 * share) as u64;
        for (bucket, &count) in self.counts.iter().enumerate() {
            if left < count {
                let bucket = bucket as u64;
                let power = (bucket / STEPS).saturating_sub(1);
                return ((bucket - power * STEPS) << power) as f64;
            }
            left -= count;
        }
        f64::NAN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_tells_percentiles_within_its_step() {
        let mut histogram = Histogram::new();
        (1..=100_000).for_each(|value| histogram.add(value));
        for (share, want) in [
            (0.0, 1.0),
            (0.0001, 10.0),
            (0.5, 50_000.0),
            (0.99, 99_000.0),
        ] {
            let told = histogram.percentile(share);
            assert!(
                (told - want).abs() <= 1.0 + want / 16.0,
                "{share}: {told}, not {want}"
            );
        }
    }

    #[test]
    fn percentiles_of_a_list() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(percentile(&[1.0, 2.0, 3.0, 4.0], 0.99), 4.0);
    }
}

//! Counts latenesses in buckets, each of which is about a twelfth wider than the one before.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How many buckets there are from one power of two to the next.
const PER_OCTAVE: usize = 8;
/// The first bucket ends here, in nanoseconds: what is less late than that is not told apart.
const LEAST: u64 = 1 << 10;
const OCTAVES: usize = 16;
const BUCKETS: usize = OCTAVES * PER_OCTAVE;

/// What [`Histogram::bars`] stands above: one column for half an octave.
pub(crate) const SCALE: &str = "1µs   10µs  100µs   1ms    10ms ";

pub(crate) struct Histogram([AtomicU64; BUCKETS]);

impl Default for Histogram {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; BUCKETS])
    }
}

impl Clone for Histogram {
    fn clone(&self) -> Self {
        let copy = Self::default();
        for (from, to) in self.0.iter().zip(&copy.0) {
            to.store(from.load(Relaxed), Relaxed);
        }
        copy
    }
}

/// Returns where a bucket ends, in nanoseconds.
fn end(bucket: usize) -> f64 {
    LEAST as f64 * ((bucket + 1) as f64 / PER_OCTAVE as f64).exp2()
}

impl Histogram {
    pub(crate) fn record(&self, nanos: u64) {
        let octaves = (nanos.max(LEAST) as f64 / LEAST as f64).log2();
        let bucket = ((octaves * PER_OCTAVE as f64) as usize).min(BUCKETS - 1);
        self.0[bucket].fetch_add(1, Relaxed);
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// Returns a lateness, in nanoseconds, that this part of all do not exceed; within a tenth.
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        let (total, mut seen) = (self.count(), 0);
        for bucket in 0..BUCKETS {
            seen += self.0[bucket].load(Relaxed);
            if seen > 0 && seen as f64 >= part * total as f64 {
                return end(bucket);
            }
        }
        f64::NAN
    }

    /// The distribution: for each bucket where it ends, and which part of all is not later.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (f64, f64)> {
        let total = self.count().max(1) as f64;
        self.0
            .iter()
            .enumerate()
            .scan(0, move |seen, (bucket, count)| {
                *seen += count.load(Relaxed);
                Some((end(bucket), *seen as f64 / total))
            })
    }

    /// Draws it in one line.
    pub(crate) fn bars(&self) -> String {
        const LEVELS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let column = |buckets: &[AtomicU64]| buckets.iter().map(|c| c.load(Relaxed)).sum::<u64>();
        let columns: Vec<u64> = self.0.chunks(PER_OCTAVE / 2).map(column).collect();
        let highest = columns.iter().copied().max().unwrap_or(0).max(1);
        let level = |count: u64| LEVELS[(count * 8).div_ceil(highest) as usize];
        columns.into_iter().map(level).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_within_a_tenth_above() {
        for nanos in [1024, 1025, 9_999, 123_456, 7_654_321] {
            let histogram = Histogram::default();
            histogram.record(nanos);
            let quantile = histogram.quantile(0.5);
            assert!(quantile >= nanos as f64, "{nanos}: {quantile}");
            assert!(quantile <= nanos as f64 * 1.1, "{nanos}: {quantile}");
        }
    }

    #[test]
    fn what_is_out_of_range_counts_in_the_outermost_buckets() {
        let histogram = Histogram::default();
        histogram.record(0);
        histogram.record(u64::MAX);
        assert_eq!(histogram.count(), 2);
        let parts: Vec<f64> = histogram.parts().map(|(_, part)| part).collect();
        assert_eq!((parts[0], parts[BUCKETS - 2]), (0.5, 0.5));
        assert_eq!(parts[BUCKETS - 1], 1.0);
        assert!(histogram.bars().starts_with('█') && histogram.bars().ends_with('█'));
    }
}

//! Result lines and order statistics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Prints one JSON line.
pub fn emit(contender: &str, workload: &str, params: &str, metric: &str, value: f64, unit: &str) {
    println!(
        "{{\"contender\":\"{contender}\",\"workload\":\"{workload}\",\"params\":\"{params}\",\
         \"metric\":\"{metric}\",\"value\":{value:.4},\"unit\":\"{unit}\"}}"
    );
}

pub fn median(v: &mut [f64]) -> f64 {
    v.sort_by(f64::total_cmp);
    match v.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => v[n / 2],
        n => (v[n / 2 - 1] + v[n / 2]) / 2.0,
    }
}

/// Nearest-rank quantile of a sorted slice.
pub fn quantile(sorted: &[i64], q: f64) -> f64 {
    if sorted.is_empty() {
        return f64::NAN;
    }
    let i = ((sorted.len() as f64 * q).ceil() as usize).clamp(1, sorted.len());
    sorted[i - 1] as f64
}

/// p50 / p99 / p99.9 / max / mean of latenesses in ns (negative: early).
pub fn emit_lateness(c: &str, w: &str, params: &str, v: &mut [i64]) {
    v.sort_unstable();
    let us = |x: f64| x / 1000.0;
    emit(c, w, params, "late_p50", us(quantile(v, 0.50)), "us");
    emit(c, w, params, "late_p99", us(quantile(v, 0.99)), "us");
    if v.len() >= 1000 {
        emit(c, w, params, "late_p999", us(quantile(v, 0.999)), "us");
    }
    emit(c, w, params, "late_max", us(quantile(v, 1.0)), "us");
    let mean = v.iter().map(|&x| x as f64).sum::<f64>() / v.len() as f64;
    emit(c, w, params, "late_mean", us(mean), "us");
    let early = v.iter().filter(|&&x| x < 0).count();
    emit(c, w, params, "early", early as f64, "count");
    emit(c, w, params, "samples", v.len() as f64, "count");
}

pub fn ns(d: Duration) -> f64 {
    d.as_nanos() as f64
}

/// Context switches per second since `before` (all threads).
pub fn emit_switches(c: &str, w: &str, params: &str, before: u64, over: Duration) {
    let n = crate::sys::switches(0) - before;
    emit(
        c,
        w,
        params,
        "switches_per_s",
        n as f64 / over.as_secs_f64(),
        "1/s",
    );
}

/// Counts latenesses in buckets that are at most 1/64 of their value wide, so that millions take no
/// more memory than one.
pub struct Histogram {
    buckets: Box<[AtomicU64]>,
    early: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: (0..60 * 64).map(|_| AtomicU64::new(0)).collect(),
            early: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    /// Records what was due at `due`, and happens now.
    pub fn record(&self, due: Instant) {
        let Some(late) = Instant::now().checked_duration_since(due) else {
            self.early.fetch_add(1, Relaxed);
            return;
        };
        let ns = late.as_nanos() as u64;
        let shift = ns.max(64).ilog2() - 6;
        let bucket = shift as usize * 64 + (ns >> shift) as usize;
        self.buckets[bucket].fetch_add(1, Relaxed);
    }

    pub fn clear(&self) {
        self.buckets.iter().for_each(|b| b.store(0, Relaxed));
        self.early.store(0, Relaxed);
    }

    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|b| b.load(Relaxed)).sum::<u64>() + self.early()
    }

    pub fn early(&self) -> u64 {
        self.early.load(Relaxed)
    }

    /// Nearest-rank quantile of those that were not early, in ns: the least of its bucket.
    pub fn quantile(&self, q: f64) -> f64 {
        let counts: Vec<u64> = self.buckets.iter().map(|b| b.load(Relaxed)).collect();
        let rank = (counts.iter().sum::<u64>() as f64 * q).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in counts.iter().enumerate() {
            seen += count;
            if rank > 0 && seen >= rank {
                let shift = (bucket / 64).saturating_sub(1);
                return ((bucket - shift * 64) as u64 * (1 << shift)) as f64;
            }
        }
        f64::NAN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_64th() {
        for ns in [0, 5, 63, 64, 127, 128, 1000, 123_456, 98_765_432] {
            let h = Histogram::default();
            let due = Instant::now() - Duration::from_nanos(ns);
            h.record(due);
            let late = due.elapsed().as_nanos() as f64;
            let q = h.quantile(0.5);
            assert!(q >= ns as f64 * 63.0 / 64.0 && q <= late, "{ns}: {q}");
            assert_eq!((h.count(), h.early()), (1, 0));
        }
    }

    #[test]
    fn early_is_counted_apart() {
        let h = Histogram::default();
        h.record(Instant::now() + Duration::from_secs(1));
        assert_eq!((h.count(), h.early()), (1, 1));
        assert!(h.quantile(0.5).is_nan());
    }
}

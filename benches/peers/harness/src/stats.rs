//! Result lines and order statistics.

use std::time::Duration;

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

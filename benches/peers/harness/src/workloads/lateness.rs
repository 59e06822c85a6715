//! W6 lateness of sleeps, W8 tickers.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::stats::{emit, emit_lateness, emit_switches, ns};
use crate::util::{Countdown, Rng};
use crate::{Args, Contender, sys};

fn late(now: Instant, due: Instant) -> i64 {
    match now.checked_duration_since(due) {
        Some(d) => d.as_nanos() as i64,
        None => -((due - now).as_nanos() as i64),
    }
}

/// One task, nothing else going on: sleeps of each length for `ms` each (and
/// about `min` of them at least).
pub fn w6<C: Contender>(a: Args) {
    let total = a.ms("ms", 300);
    let min = a.num("min", 20) as u32;
    C::run(C::THREADS, move |c: C| async move {
        for us in a.list("us", "50,100,500,1000,5000,10000") {
            let d = Duration::from_micros(us);
            let total = total.max(d * min);
            let mut v = Vec::with_capacity(1 << 16);
            c.sleep(d).await;
            let (cpu0, start) = (sys::cpu(), Instant::now());
            while start.elapsed() < total && v.len() < v.capacity() {
                let due = Instant::now() + d;
                c.sleep(d).await;
                v.push(late(Instant::now(), due));
            }
            let cpu = sys::cpu() - cpu0;
            let params = format!("1 task {us}us");
            emit(
                C::NAME,
                "w6",
                &params,
                "cpu_us_per_sleep",
                ns(cpu) / 1e3 / v.len() as f64,
                "us",
            );
            emit_lateness(C::NAME, "w6", &params, &mut v);
        }
    })
}

/// `tasks` concurrent tasks, each sleeping random 1 .. 10 ms for `ms`.
pub fn w6m<C: Contender>(a: Args) {
    let total = a.ms("ms", 5000);
    let tasks = a.num("tasks", 1000);
    C::run(C::THREADS, move |c: C| async move {
        let all = Arc::new(Mutex::new(Vec::with_capacity(1 << 21)));
        let done = Countdown::new(tasks as usize);
        let end = Instant::now() + total;
        let (cpu0, sw0) = (sys::cpu(), sys::switches(0));
        for k in 0..tasks {
            let (c2, all, done) = (c.clone(), all.clone(), done.clone());
            c.spawn(async move {
                let mut rng = Rng(1000 + k);
                let mut v = Vec::with_capacity(4096);
                while Instant::now() < end {
                    let d = rng.dur(Duration::from_millis(1), Duration::from_millis(9));
                    let due = Instant::now() + d;
                    c2.sleep(d).await;
                    v.push(late(Instant::now(), due));
                }
                all.lock().unwrap().append(&mut v);
                done.hit();
            });
        }
        done.done.wait().await;
        let cpu = sys::cpu() - cpu0;
        let mut v = all.lock().unwrap();
        let params = format!("{tasks} tasks 1..10ms");
        emit_switches(C::NAME, "w6m", &params, sw0, total);
        emit(
            C::NAME,
            "w6m",
            &params,
            "cpu_percent",
            100.0 * ns(cpu) / ns(total),
            "%",
        );
        emit(
            C::NAME,
            "w6m",
            &params,
            "cpu_ns_per_sleep",
            ns(cpu) / v.len() as f64,
            "ns",
        );
        emit_lateness(C::NAME, "w6m", &params, &mut v);
    })
}

/// A chain: one task that waits for `n` deadlines, `us` apart, one after the other, as a cache does
/// that removes key after key. Those that have passed meanwhile it does not wait for.
pub fn w6c<C: Contender>(a: Args) {
    let n = a.num("n", 8000) as u32;
    let gap = Duration::from_micros(a.num("us", 500));
    C::run(C::THREADS, move |c: C| async move {
        let mut v = Vec::with_capacity(n as usize);
        let (cpu0, switches0) = (sys::cpu(), sys::switches(0));
        let start = Instant::now();
        for k in 1..=n {
            let due = start + gap * k;
            if Instant::now() < due {
                c.sleep_until(due).await;
            }
            v.push(late(Instant::now(), due));
        }
        let cpu = sys::cpu() - cpu0;
        let params = format!("{n} deadlines {}us apart", gap.as_micros());
        let switches = (sys::switches(0) - switches0) as f64;
        emit(C::NAME, "w6c", &params, "switches", switches, "count");
        emit(C::NAME, "w6c", &params, "cpu_ms", ns(cpu) / 1e6, "ms");
        emit_lateness(C::NAME, "w6c", &params, &mut v);
    })
}

/// `tickers` tickers of `period_ms` at random phases for `ms`.
/// Lateness of tick k is against start + k * period, so it includes drift.
pub fn w8<C: Contender>(a: Args) {
    let total = a.ms("ms", 5000);
    let n = a.num("tickers", 1000);
    let period = a.ms("period_ms", 10);
    C::run(C::THREADS, move |c: C| async move {
        let all = Arc::new(Mutex::new(Vec::with_capacity(1 << 21)));
        let drifts = Arc::new(Mutex::new(Vec::<f64>::new()));
        let done = Countdown::new(n as usize);
        let base = Instant::now() + Duration::from_millis(50);
        let mut rng = Rng(8);
        let (cpu0, sw0) = (sys::cpu(), sys::switches(0));
        for _ in 0..n {
            let start = base + rng.dur(Duration::ZERO, period);
            let (c2, all, drifts, done) = (c.clone(), all.clone(), drifts.clone(), done.clone());
            c.spawn(async move {
                let mut ticker = c2.ticker(start, period);
                let mut v = Vec::with_capacity(2048);
                let mut due = start;
                let end = start + total;
                loop {
                    C::tick(&mut ticker).await;
                    let now = Instant::now();
                    if now >= end {
                        break;
                    }
                    v.push(late(now, due));
                    due += period;
                }
                drop(ticker);
                let k = (v.len() / 4).max(1);
                let head = v[..k].iter().sum::<i64>() / k as i64;
                let tail = v[v.len() - k..].iter().sum::<i64>() / k as i64;
                drifts.lock().unwrap().push((tail - head) as f64 / 1000.0);
                all.lock().unwrap().append(&mut v);
                done.hit();
            });
        }
        done.done.wait().await;
        let cpu = sys::cpu() - cpu0;
        let mut v = all.lock().unwrap();
        let params = format!("{n} x {}ms", period.as_millis());
        emit_switches(C::NAME, "w8", &params, sw0, total);
        let expected = n as f64 * (ns(total) / ns(period));
        emit(
            C::NAME,
            "w8",
            &params,
            "cpu_percent",
            100.0 * ns(cpu) / ns(total),
            "%",
        );
        emit(
            C::NAME,
            "w8",
            &params,
            "cpu_ns_per_tick",
            ns(cpu) / v.len() as f64,
            "ns",
        );
        emit(
            C::NAME,
            "w8",
            &params,
            "ticks_percent",
            100.0 * v.len() as f64 / expected,
            "%",
        );
        let d = drifts.lock().unwrap();
        emit(
            C::NAME,
            "w8",
            &params,
            "drift",
            d.iter().sum::<f64>() / d.len() as f64,
            "us",
        );
        emit_lateness(C::NAME, "w8", &params, &mut v);
    })
}

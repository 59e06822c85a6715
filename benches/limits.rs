//! How late the timers of one tenant are while another one floods the driver.
//!
//! `cargo bench --bench limits`. Callbacks of one tenant, every 5 to 15 ms, note how late they are, by the
//! driver's clock: alone; while another tenant asks for timers of up to 10 ms, as fast as a thread can,
//! and may have a thousand; and while it may have a million. With a thousand callbacks the driver
//! merges wake-ups anyway, within its slack. With a hundred it does so only because of the flood.
//! Lateness is that of a machine with nothing else to do: run it on one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use reveille::{DriverThread, Handle, Limits};

const TIME: Duration = Duration::from_secs(2);

fn main() {
    println!(
        "{:<10} {:<24} {:>8} {:>8} {:>8} {:>8} {:>10} {:>11}",
        "callbacks",
        "another tenant",
        "p50 us",
        "p90 us",
        "p99 us",
        "max us",
        "made /s",
        "refused /s"
    );
    for callbacks in [1000, 100] {
        let alone = run(callbacks, "nothing", None);
        for (name, most) in [("may have 1000", 1000), ("may have 1 000 000", 1_000_000)] {
            let late = run(callbacks, name, Some(Limits::new().timers(most)));
            let [p50, p99] = [late[0] / alone[0], late[1] / alone[1]];
            println!(
                "{:>35} {p50:>8.2} {:>8} {p99:>8.2}  times as late as alone",
                "", ""
            );
        }
    }
}

/// Returns the median lateness of the callbacks, and that of one in a hundred, in microseconds.
fn run(callbacks: u64, name: &str, flood: Option<Limits>) -> [f64; 2] {
    let timers = DriverThread::new().expect("a thread");
    let handle = timers.handle().clone();
    let late = Arc::new(Mutex::new(Vec::with_capacity(1 << 20)));
    let callbacks: Vec<_> = (0..callbacks)
        .map(|i| {
            let period = Duration::from_micros(5_000 + (i * 7_919) % 10_000);
            let (late, clock, start) = (late.clone(), handle.clone(), handle.now());
            handle.call_every(period, move || {
                let since = (clock.now() - start).as_nanos();
                late.lock()
                    .unwrap()
                    .push((since % period.as_nanos()) as u64);
            })
        })
        .collect();
    let (done, made, refused) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        if let Some(limits) = flood {
            let tenant = handle.limited(limits);
            let (done, made, refused) = (&done, &made, &refused);
            scope.spawn(move || {
                let (ok, errors) = ask(&tenant, done);
                made.fetch_add(ok, Ordering::Relaxed);
                refused.fetch_add(errors, Ordering::Relaxed);
            });
        }
        thread::sleep(TIME);
        done.store(true, Ordering::Relaxed);
    });
    for callback in &callbacks {
        callback.stop();
    }
    let mut late = std::mem::take(&mut *late.lock().unwrap());
    late.sort_unstable();
    let at = |share: f64| late[((late.len() - 1) as f64 * share) as usize] as f64 / 1e3;
    let per_second = |count: AtomicU64| count.into_inner() / TIME.as_secs();
    println!(
        "{:<10} {name:<24} {:>8.0} {:>8.0} {:>8.0} {:>8.0} {:>10} {:>11}",
        callbacks.len(),
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0),
        per_second(made),
        per_second(refused)
    );
    [at(0.5), at(0.99)]
}

/// Asks for timers until `done`, and keeps each until it has fired. Returns how many it got, and how
/// many were refused.
fn ask(tenant: &Handle, done: &AtomicBool) -> (u64, u64) {
    let (mut random, mut made, mut refused) = (1_u64, 0, 0);
    while !done.load(Ordering::Relaxed) {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let wait = Duration::from_micros(1 + (random >> 40) % 10_000);
        match tenant.try_sleep(wait) {
            Ok(sleep) => {
                // It fires by itself, and gives its permit back then.
                std::mem::forget(sleep);
                made += 1;
            }
            Err(_) => refused += 1,
        }
    }
    (made, refused)
}

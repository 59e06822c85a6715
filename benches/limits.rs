//! How late the timers of one tenant are while another one floods the driver.
//!
//! `cargo bench --bench limits`. Callbacks of one tenant, every 5 to 15 ms, note how late they are,
//! by the driver's clock: alone; while a thread spins that has no timers; while another tenant has
//! a thousand timers of up to 10 ms, and asks for no more; while it floods, that is asks for more
//! as fast as a thread can, and may have a thousand; and while it floods and may have a million.
//!
//! A call that comes a period late or more takes the place of those that were missed meanwhile: each of
//! them counts, with its own lateness.
//!
//! Where timers are dense, a driver merges wake-ups within its slack. A hundred callbacks may be
//! sparse, and the timers of the other tenant make them dense. So all is measured with the slack
//! that the driver chooses, which is printed in parentheses, and with two that are set. Lateness is
//! that of a machine with nothing else to do: run it on one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use reveille::{DriverThread, Handle, Limits};

const TIME: Duration = Duration::from_secs(2);

/// What the other tenant does.
#[derive(Clone, Copy)]
enum Other {
    /// It has no timers, and takes as much CPU as one that floods.
    Spins,
    /// It has so many timers.
    Has(usize),
    /// It may have so many timers, and asks for more all the time.
    Floods(usize),
}

fn main() {
    println!(
        "{:<10} {:<10} {:<18} {:>8} {:>8} {:>8} {:>8} {:>10} {:>11}",
        "slack",
        "callbacks",
        "another tenant",
        "p50 us",
        "p90 us",
        "p99 us",
        "max us",
        "made /s",
        "refused /s"
    );
    let micros = |n| Some(Duration::from_micros(n));
    for (slack, callbacks) in [None, micros(50), micros(0)]
        .into_iter()
        .flat_map(|slack| [1000, 100].map(|callbacks| (slack, callbacks)))
    {
        let alone = run(slack, callbacks, "nothing", None);
        for (name, other) in [
            ("spins", Other::Spins),
            ("has 1000", Other::Has(1000)),
            ("floods, 1000", Other::Floods(1000)),
            ("floods, 1 000 000", Other::Floods(1_000_000)),
        ] {
            let late = run(slack, callbacks, name, Some(other));
            let [p50, p99] = [late[0] / alone[0], late[1] / alone[1]];
            println!(
                "{:>40} {p50:>8.2} {:>8} {p99:>8.2}  times as late as alone",
                "", ""
            );
        }
    }
}

/// Returns the median lateness of the callbacks, and that of one in a hundred, in microseconds.
fn run(slack: Option<Duration>, callbacks: u64, name: &str, other: Option<Other>) -> [f64; 2] {
    let timers = DriverThread::new().expect("a thread");
    let handle = timers.handle().clone();
    if let Some(slack) = slack {
        handle.set_slack(slack);
    }
    let late = Arc::new(Mutex::new(Vec::with_capacity(1 << 20)));
    let callbacks: Vec<_> = (0..callbacks)
        .map(|i| {
            let period = Duration::from_micros(5_000 + (i * 7_919) % 10_000);
            let (late, clock, start) = (late.clone(), handle.clone(), handle.now());
            let mut due = period;
            handle.call_every(period, move || {
                let since = clock.now() - start;
                // A call that was missed is left out, so it counts as one that comes now.
                while due <= since {
                    late.lock().unwrap().push((since - due).as_nanos() as u64);
                    due += period;
                }
            })
        })
        .collect();
    let (done, made, refused) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        if let Some(other) = other {
            let handle = &handle;
            let (done, made, refused) = (&done, &made, &refused);
            scope.spawn(move || {
                let (ok, errors) = match other {
                    Other::Spins => spin(done),
                    Other::Has(limit) => ask(handle, limit, false, done),
                    Other::Floods(limit) => ask(handle, limit, true, done),
                };
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
        "{:<10} {:<10} {name:<18} {:>8.0} {:>8.0} {:>8.0} {:>8.0} {:>10} {:>11}",
        match slack {
            Some(slack) => format!("{slack:?}"),
            None => format!("({:?})", handle.slack()),
        },
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

fn spin(done: &AtomicBool) -> (u64, u64) {
    while !done.load(Ordering::Relaxed) {}
    (0, 0)
}

/// Asks for timers until `done`, and keeps each until it has fired. Returns how many it got, and how
/// many were refused.
fn ask(handle: &Handle, limit: usize, floods: bool, done: &AtomicBool) -> (u64, u64) {
    let tenant = handle.limited(Limits::new().timers(limit));
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
            Err(_) => {
                refused += 1;
                if !floods {
                    thread::sleep(Duration::from_micros(100));
                }
            }
        }
    }
    (made, refused)
}

//! How late the timers of one tenant are while another one floods the driver.
//!
//! `cargo bench --bench limits`. A hundred callbacks of one tenant, every 5 to 15 ms, note how late
//! they are, by the driver's clock: alone; while another tenant asks for timers of up to 10 ms, as
//! fast as two threads can, and may have a thousand; and while it may have any number. Lateness is
//! that of a machine with nothing else to do: run it on one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use reveille::{DriverThread, Handle, Limits};

const TIME: Duration = Duration::from_secs(3);

fn main() {
    println!(
        "{:<34} {:>9} {:>9} {:>9} {:>9} {:>11} {:>11}",
        "another tenant", "p50 us", "p90 us", "p99 us", "max us", "made /s", "refused /s"
    );
    // The first one warms up.
    run("nothing", None);
    let alone = run("nothing", None);
    let limited = run("may have 1000 timers", Some(Limits::new().timers(1000)));
    let unlimited = run("may have 1 000 000", Some(Limits::new().timers(1_000_000)));
    let ratio = |late: [f64; 2]| [late[0] / alone[0], late[1] / alone[1]];
    let ([p50, p99], [wild50, wild99]) = (ratio(limited), ratio(unlimited));
    println!("with 1000, the others are {p50:.2} (p50) and {p99:.2} (p99) times as late as alone");
    println!("with a million, {wild50:.2} and {wild99:.2} times");
}

/// Returns the median lateness of the callbacks, and that of one in a hundred, in microseconds.
fn run(name: &str, flood: Option<Limits>) -> [f64; 2] {
    let timers = DriverThread::new().expect("a thread");
    let handle = timers.handle().clone();
    let late = Arc::new(Mutex::new(Vec::with_capacity(100_000)));
    let callbacks: Vec<_> = (0..100_u64)
        .map(|i| {
            let period = Duration::from_micros(5_000 + 100 * i + i);
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
            for seed in 1..=2 {
                let (tenant, done, made, refused) = (tenant.clone(), &done, &made, &refused);
                scope.spawn(move || {
                    let (ok, errors) = ask(&tenant, seed, done);
                    made.fetch_add(ok, Ordering::Relaxed);
                    refused.fetch_add(errors, Ordering::Relaxed);
                });
            }
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
        "{name:<34} {:>9.0} {:>9.0} {:>9.0} {:>9.0} {:>11} {:>11}",
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
fn ask(tenant: &Handle, seed: u64, done: &AtomicBool) -> (u64, u64) {
    let (mut random, mut made, mut refused) = (seed, 0, 0);
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

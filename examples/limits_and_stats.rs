//! Limits for tenants, and what the driver has counted afterwards.
//!
//! ```sh
//! cargo run --release --example limits_and_stats
//! ```
//!
//! Two customers share a driver. One of them asks for more timers than it may have, and for one
//! that is too long; the other one notices nothing. The clock is moved by hand, so the program ends
//! at once, and prints the same each time.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use reveille::time::Sleep;
use reveille::{Driver, Handle, Limits, ManualClock};

fn main() {
    let clock = ManualClock::new();
    // For all customers together.
    let limits = Limits::new()
        .timers(1000)
        .longest(Duration::from_secs(86_400));
    let mut driver = Driver::builder()
        .clock(&clock)
        .limits(limits)
        .build_with_unpark(|| {});

    let customer = Limits::new().timers(3).longest(Duration::from_secs(60));
    let greedy = driver.handle().limited(customer);
    let modest = driver.handle().limited(customer);

    println!("The greedy customer asks for five timers, and for one of an hour:");
    let mut timers = Vec::new();
    for seconds in [1, 2, 3, 4, 5, 3600] {
        ask(&greedy, seconds, &mut timers);
    }
    println!("The modest one asks for two:");
    for seconds in [1, 2] {
        ask(&modest, seconds, &mut timers);
    }

    println!("Two seconds pass, and two timers of the greedy customer fire. It asks again:");
    clock.advance(Duration::from_secs(2));
    driver.turn();
    for seconds in [1, 2, 3] {
        ask(&greedy, seconds, &mut timers);
    }

    println!("All timers are dropped. What the driver has counted:");
    drop(timers);
    let stats = driver.handle().stats();
    assert_eq!(
        stats.armed(),
        stats.fired() + stats.cancelled() + stats.pending()
    );
    println!("{stats:#?}");
}

fn ask(customer: &Handle, seconds: u64, timers: &mut Vec<Sleep>) {
    match customer.try_sleep(Duration::from_secs(seconds)) {
        Ok(mut sleep) => {
            // An executor polls it with the waker of a task.
            let mut cx = Context::from_waker(Waker::noop());
            assert!(Pin::new(&mut sleep).poll(&mut cx).is_pending());
            timers.push(sleep);
            println!("  {seconds} s: granted");
        }
        Err(error) => println!("  {seconds} s: refused, because {error}"),
    }
}

//! A queue with three servers, simulated with futures: days of waiting in a second.
//!
//! ```sh
//! cargo run --release --features service --example three_servers
//! ```
//!
//! The customers and the servers are written as in a program that runs in real time: they `sleep`,
//! and meet in a channel. [`ManualClock::simulate`] moves the time to the next deadline as soon as
//! all of them wait. The same seed gives the same result to the nanosecond, which the program
//! checks, besides what queueing theory predicts.
//!
//! `examples/simulation.rs` is faster and has neither clock nor futures: it writes each event down.

use std::cell::RefCell;
use std::time::Duration;

use futures::join;
use reveille::ManualClock;
use reveille::time::{Instant, sleep, sleep_until};

const CUSTOMERS: usize = 100_000;
/// How many customers arrive in a second, and how many one server serves in a second.
const ARRIVALS: f64 = 0.48;
const SERVICES: f64 = 0.2;

#[derive(Debug, Default, PartialEq)]
struct Tally {
    served: [usize; 3],
    waited: Duration,
    longest: Duration,
}

/// Simulates all customers. Returns how long they waited, and how much time has passed.
fn simulate(seed: u64) -> (Tally, Duration) {
    // With a fixed origin even the instants are the same in each run, as a log would show them.
    let clock = ManualClock::starting_at(Instant::ORIGIN);
    clock.simulate(async {
        let (enter, queue) = async_channel::unbounded();
        let tally = RefCell::new(Tally::default());

        let customers = async {
            let mut random = Random(seed);
            let mut next = Instant::now();
            for _ in 0..CUSTOMERS {
                next += random.exponential(ARRIVALS);
                sleep_until(next).await;
                enter.try_send(Instant::now()).expect("the queue is open");
            }
            // The servers end with the last customer.
            enter.close();
        };
        let server = async |number: usize| {
            // Each server has random numbers of its own, so that none depends on the order in
            // which they are polled.
            let mut random = Random(seed + 1 + number as u64);
            while let Ok(arrived) = queue.recv().await {
                let waited = arrived.elapsed();
                {
                    let mut tally = tally.borrow_mut();
                    tally.served[number] += 1;
                    tally.waited += waited;
                    tally.longest = tally.longest.max(waited);
                }
                sleep(random.exponential(SERVICES)).await;
            }
        };
        join!(customers, server(0), server(1), server(2));
        tally.into_inner()
    })
}

/// Returns the mean wait by Erlang's formula for `servers` servers.
fn theory(servers: u32) -> f64 {
    let load = ARRIVALS / SERVICES;
    // The probability that all servers are busy, from that of one server fewer.
    let blocked = (1..=servers).fold(1.0, |blocked, server| {
        load * blocked / (f64::from(server) + load * blocked)
    });
    let free = 1.0 - load / f64::from(servers);
    let waits = blocked / (free + (1.0 - free) * blocked);
    waits / (f64::from(servers) * SERVICES - ARRIVALS)
}

fn main() {
    let wall = std::time::Instant::now();
    let (tally, elapsed) = simulate(7);
    let wall = wall.elapsed();
    let mean = tally.waited.as_secs_f64() / CUSTOMERS as f64;
    println!(
        "{CUSTOMERS} customers in {:.1} days, simulated in {wall:.1?}: {mean:.3} s of waiting each, \
         {:.3} s by theory, {:.0?} at most",
        elapsed.as_secs_f64() / 86_400.0,
        theory(3),
        tally.longest,
    );
    assert_eq!(tally.served.iter().sum::<usize>(), CUSTOMERS);
    assert!((mean / theory(3) - 1.0).abs() < 0.05, "theory differs");
    assert_eq!(simulate(7), (tally, elapsed), "the second run differs");
    assert_ne!(simulate(8).1, elapsed);
}

/// Steele's SplitMix64: any seed is a good one, and seeds that are close to each other are, too.
struct Random(u64);

impl Random {
    /// Returns the duration of something that happens `rate` times a second on average.
    fn exponential(&mut self, rate: f64) -> Duration {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        // In (0, 1], because the logarithm of zero is not a duration.
        let uniform = ((bits >> 11) + 1) as f64 / (1u64 << 53) as f64;
        Duration::from_secs_f64(-uniform.ln() / rate)
    }
}

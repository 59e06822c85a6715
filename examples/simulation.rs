//! A call centre simulated with a [`TimerQueue`] alone: neither clock nor futures.
//!
//! ```sh
//! cargo run --release --example simulation
//! ```
//!
//! In a discrete-event simulation time is a variable: it jumps to the next event, which is what
//! [`TimerQueue::next_deadline`] and [`TimerQueue::pop_due`] are for. Calls arrive at random and
//! wait for one of a few agents; a caller who has waited for too long hangs up. The patience of
//! each caller is a timer, removed by its key if an agent answers first.
//!
//! Queueing theory has exact results for both, so the program can check itself: the mean waiting
//! time if callers are patient (M/M/c, "Erlang C"), and the part of them that gives up if they are
//! not (M/M/c+M, "Erlang A").

use std::collections::VecDeque;
use std::process::ExitCode;

use reveille::time::{Duration, Instant};
use reveille::{Key, TimerQueue};

const CALLS: usize = 2_000_000;

/// The parameters of a simulation. Rates are per second of simulated time.
struct Centre {
    agents: usize,
    arrivals: f64,
    /// Calls that one busy agent ends.
    services: f64,
    /// How many of the waiting callers lose their patience, each per second; zero if they never do.
    hang_ups: f64,
}

/// What can happen.
enum Event {
    CallArrives,
    ServiceEnds,
    /// The patience of this caller ends.
    GivesUp(usize),
}

/// A waiting caller, and since when.
struct Caller {
    number: usize,
    since: Instant,
    patience: Option<Key>,
}

#[derive(Default)]
struct Tally {
    answered: usize,
    gave_up: usize,
    events: usize,
    /// Patience timers that were removed by key.
    removed: usize,
    most_armed: usize,
    /// Over all callers, including those who did not wait or gave up.
    waited: Duration,
}

/// Runs the call centre until it has served `CALLS` calls.
fn simulate(centre: &Centre) -> Tally {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut events = TimerQueue::new();
    let mut waiting = VecDeque::<Caller>::new();
    let mut free = centre.agents;
    let mut arrived = 0;
    let mut tally = Tally::default();

    // No clock is read: the simulation starts at a fixed instant.
    let mut now = Instant::ORIGIN;
    events.insert(now, Event::CallArrives);
    while let Some(next) = events.next_deadline() {
        now = next;
        while let Some(due) = events.pop_due(now) {
            tally.events += 1;
            match due.value {
                Event::CallArrives => {
                    let number = arrived;
                    arrived += 1;
                    if arrived < CALLS {
                        let next = now + random.exponential(centre.arrivals);
                        events.insert(next, Event::CallArrives);
                    }
                    let patience = (centre.hang_ups > 0.0).then(|| {
                        let end = now + random.exponential(centre.hang_ups);
                        events.insert(end, Event::GivesUp(number))
                    });
                    waiting.push_back(Caller {
                        number,
                        since: now,
                        patience,
                    });
                }
                Event::ServiceEnds => free += 1,
                Event::GivesUp(number) => {
                    // Callers are numbered in the order in which they wait.
                    if let Ok(place) = waiting.binary_search_by_key(&number, |c| c.number) {
                        let caller = waiting.remove(place).expect("the place was just found");
                        tally.waited += now - caller.since;
                        tally.gave_up += 1;
                    }
                }
            }
            while free > 0
                && let Some(caller) = waiting.pop_front()
            {
                free -= 1;
                tally.answered += 1;
                tally.waited += now - caller.since;
                if let Some(patience) = caller.patience {
                    // `None` would mean that it had come due, and the caller was gone.
                    let event = events.remove(patience);
                    assert!(matches!(event, Some(Event::GivesUp(n)) if n == caller.number));
                    tally.removed += 1;
                }
                let end = now + random.exponential(centre.services);
                events.insert(end, Event::ServiceEnds);
            }
            tally.most_armed = tally.most_armed.max(events.len());
        }
    }
    tally
}

/// Returns what theory predicts: the mean wait in seconds, and which part of the callers gives up.
///
/// The number of callers in the call centre is a birth-death process. In equilibrium, the ratio of
/// state `n` to state `n - 1` is that of the rate of arrivals to the rate at which `n` callers
/// leave. From that follow the mean number of waiting callers, and by Little's law (number = rate ×
/// time) how long they wait.
fn theory(centre: &Centre) -> (f64, f64) {
    let (mut weight, mut total, mut waiting) = (1.0, 1.0, 0.0);
    // The weights shrink from the number of agents on; long before the end they are negligible.
    for callers in 1..10_000 {
        let served = callers.min(centre.agents);
        let queued = (callers - served) as f64;
        weight *= centre.arrivals / (served as f64 * centre.services + queued * centre.hang_ups);
        total += weight;
        waiting += weight * queued;
    }
    let queue = waiting / total;
    (
        queue / centre.arrivals,
        queue * centre.hang_ups / centre.arrivals,
    )
}

fn main() -> ExitCode {
    println!("A call centre, {CALLS} calls, by a timer queue in virtual time.\n");
    let mut good = true;
    let saints = Centre {
        agents: 5,
        arrivals: 0.8,
        services: 0.2,
        hang_ups: 0.0,
    };
    good &= report(
        "five agents, four fifths busy, callers wait for ever",
        &saints,
    );
    let humans = Centre {
        agents: 5,
        arrivals: 1.1,
        services: 0.2,
        hang_ups: 0.05,
    };
    good &= report(
        "more calls than the agents can answer, callers wait 20 s on average",
        &humans,
    );

    if good {
        println!("OK: simulation and theory agree.");
        ExitCode::SUCCESS
    } else {
        println!("FAILED: simulation and theory differ.");
        ExitCode::FAILURE
    }
}

/// Simulates and prints. Returns whether the result agrees with theory.
fn report(title: &str, centre: &Centre) -> bool {
    let wall = Instant::now();
    let tally = simulate(centre);
    let wall = wall.elapsed();
    let (wait, gave_up) = theory(centre);

    let simulated_wait = tally.waited.as_secs_f64() / CALLS as f64;
    let simulated_gave_up = tally.gave_up as f64 / CALLS as f64;
    println!("{title}");
    println!("  mean wait   {simulated_wait:7.3} s   theory {wait:7.3} s");
    println!(
        "  gave up     {:7.3} %   theory {:7.3} %",
        100.0 * simulated_gave_up,
        100.0 * gave_up,
    );
    println!(
        "  {} events, {} timers removed by key, at most {} armed, {:.1} million events/s\n",
        tally.events,
        tally.removed,
        tally.most_armed,
        tally.events as f64 / wall.as_secs_f64() / 1e6,
    );
    assert_eq!(tally.answered + tally.gave_up, CALLS, "a caller was lost");
    // The seed is fixed, so the result does not depend on luck. The margin is what the number of
    // calls makes probable in a queue as full as this.
    (simulated_wait / wait - 1.0).abs() < 0.03 && (simulated_gave_up - gave_up).abs() < 0.003
}

/// Marsaglia's xorshift64*: small, fast, and the same on every machine.
struct Random(u64);

impl Random {
    /// Returns the duration of something that happens `rate` times a second on average.
    fn exponential(&mut self, rate: f64) -> Duration {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11;
        // In (0, 1], because the logarithm of zero is not a duration.
        let uniform = (bits + 1) as f64 / (1u64 << 53) as f64;
        Duration::from_secs_f64(-uniform.ln() / rate)
    }
}

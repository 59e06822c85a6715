//! Stress tests: threads arm, move, drop, abort and shut down at random, and no timer is early or
//! lost.
//!
//! Each *world* is about one owner of timers: drivers, a runtime's workers, tokio, a frozen clock,
//! I/O, delay queues. A world runs rounds until its time is over; a round is over when everything
//! that it began has ended. The only assertion about time is that nothing is early, so a busy
//! machine only makes fewer rounds.
//!
//! - `REVEILLE_STRESS_SECONDS` says how long each world runs; 2 by default.
//! - `REVEILLE_STRESS_SEED` repeats a run; each prints the seed that it has taken.
//!
//! If a round does not end within two minutes, something was lost, and the watchdog prints the
//! state of the world. The seed does not determine the order in which threads run, so it may take
//! several runs to repeat a failure.

#![cfg(all(not(loom), feature = "fallback", feature = "rt"))]

mod drivers;
mod frozen;
#[cfg(all(feature = "io", target_os = "linux"))]
mod io;
mod queues;
#[path = "../support/mod.rs"]
mod support;
#[cfg(feature = "tokio")]
mod tokio;
mod workers;

use std::io::{Write, stderr};
use std::panic::resume_unwind;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use support::Random;

/// How long a round may take before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(120);

/// Reads a number from the environment.
fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name} is {text}, which is no number")))
}

/// Runs rounds of a world until its time is over, and panics with its state if one hangs.
fn world(name: &'static str, round: fn(&mut Random, &Report)) {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = variable("REVEILLE_STRESS_SEED").unwrap_or(nanos.as_micros() as u64 % 1_000_000_007);
    let length = Duration::from_secs(variable("REVEILLE_STRESS_SECONDS").unwrap_or(2));
    // To stderr directly, because the test runner would not show captured output if the test hangs
    // or the process dies.
    let say = |text: &str| drop(writeln!(stderr(), "stress {name}: {text}"));
    say(&format!("REVEILLE_STRESS_SEED={seed}"));

    let report = Report::default();
    let (told, ends) = mpsc::channel();
    let seen = report.clone();
    let thread = thread::spawn(move || {
        let mut random = Random::new(seed);
        let start = Instant::now();
        loop {
            seen.clear();
            round(&mut random, &seen);
            seen.assert_no_faults();
            told.send(()).unwrap();
            if start.elapsed() >= length {
                break;
            }
        }
    });
    let mut rounds = 0;
    loop {
        match ends.recv_timeout(PATIENCE) {
            Ok(()) => rounds += 1,
            Err(RecvTimeoutError::Timeout) => {
                say(&report.state());
                panic!("{name}, seed {seed}: round {rounds} does not end");
            }
            Err(RecvTimeoutError::Disconnected) => match thread.join() {
                Ok(()) => break say(&format!("{rounds} rounds")),
                Err(panic) => {
                    say(&report.state());
                    resume_unwind(panic)
                }
            },
        }
    }
}

/// What a round reports: functions that describe its state, and faults found where no panic reaches
/// the test, in tasks that are not awaited.
#[derive(Clone, Default)]
struct Report(Arc<Mutex<Contents>>);

#[derive(Default)]
struct Contents {
    states: Vec<(String, Box<dyn Fn() -> String + Send>)>,
    faults: Vec<String>,
}

impl Report {
    fn clear(&self) {
        let contents = std::mem::take(&mut *self.0.lock().unwrap());
        drop(contents);
    }

    /// Adds a function that describes a part of the round's state.
    fn add_state(&self, name: impl Into<String>, state: impl Fn() -> String + Send + 'static) {
        let state: Box<dyn Fn() -> String + Send> = Box::new(state);
        self.0.lock().unwrap().states.push((name.into(), state));
    }

    /// Notes a fault unless `holds`.
    fn check(&self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds {
            self.0.lock().unwrap().faults.push(fault());
        }
    }

    fn state(&self) -> String {
        let contents = self.0.lock().unwrap();
        let states = contents.states.iter();
        let states = states.map(|(name, state)| format!("\n  {name}: {}", state()));
        let faults = contents
            .faults
            .iter()
            .map(|fault| format!("\n  fault: {fault}"));
        states.chain(faults).collect()
    }

    fn assert_no_faults(&self) {
        let faults = std::mem::take(&mut self.0.lock().unwrap().faults);
        assert!(faults.is_empty(), "{faults:?}");
    }
}

/// Waits until `holds`; the watchdog ends a wait that is too long.
fn wait_until(holds: impl Fn() -> bool) {
    while !holds() {
        thread::sleep(Duration::from_micros(100));
    }
}

fn micros(random: &mut Random, below: u64) -> Duration {
    Duration::from_nanos(random.below(below * 1_000))
}

#[test]
fn drivers_lose_no_timer_and_none_is_early() {
    world("drivers", drivers::round);
}

#[test]
fn workers_lose_no_task_and_no_timer_is_early() {
    world("workers", workers::round);
}

#[test]
fn frozen_clocks_lose_no_task_and_no_timer_is_early() {
    world("frozen", frozen::round);
}

#[cfg(feature = "tokio")]
#[test]
fn tokio_runtimes_lose_no_task_and_no_timer_is_early() {
    world("tokio", tokio::round);
}

#[cfg(all(feature = "io", target_os = "linux"))]
#[test]
fn io_loses_no_byte_and_no_wait() {
    world("io", io::round);
}

#[test]
fn delay_queues_lose_no_value_and_none_is_early() {
    world("queues", queues::round);
}

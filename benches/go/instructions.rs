//! The number of instructions that each operation of Go's timers and contexts takes here.
//!
//! `cargo bench --bench go_instructions`; needs `valgrind`. Counted as in `benches/instructions.rs`:
//! by callgrind, for two numbers of operations in two processes. Go's benchmarks of the same
//! operations are named beside them. A thousand other timers are armed.

#[path = "../callgrind/mod.rs"]
mod callgrind;

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::task::{self, Poll, Waker};
use std::time::Duration;

use futures::Stream;
use reveille::go::{self, Ticker, Timer};
use reveille::time::Sleep;
use reveille::{Context, Driver, FuncTimer, Handle};

use crate::callgrind::counted;

/// The name of an operation, Go's benchmark of it, and a function that does it so many times.
type Path = (&'static str, &'static str, fn(u64));

const PATHS: [Path; 13] = [
    ("Timer: new, stop, drop", "Stop/chan", stop),
    ("Timer: new, poll, stop, drop", "", poll_and_stop),
    ("Timer: reset, not polled", "Reset/chan", reset),
    ("Timer: reset later, poll", "", reset_and_poll),
    ("Timer: receive, reset", "", receive_and_reset),
    ("TimerRemote: stop, reset", "", remote),
    ("After: new, receive, drop", "After", after),
    ("Ticker: tick that is due", "Ticker", tick),
    ("Ticker: reset", "TickerReset", ticker_reset),
    ("call_after: make, stop, drop", "Stop/func", call_and_stop),
    ("FuncTimer: reset later", "Reset/func", func_reset),
    ("Context: with_timeout, cancel", "WithTimeout", with_timeout),
    ("Context: child, cancel", "CommonParentCancel", child),
];

const HOUR: Duration = Duration::from_secs(3600);

fn main() {
    let args: Vec<u64> = std::env::args()
        .skip(1)
        .filter_map(|arg| arg.parse().ok())
        .collect();
    if let [path, count] = args[..] {
        return PATHS[path as usize].2(count);
    }
    for (path, (name, of_go, _)) in PATHS.iter().enumerate() {
        let per_operation = match (counted(path, 1_000), counted(path, 11_000)) {
            (Some(few), Some(many)) => format!("{}", (many - few) / 10_000),
            _ => "valgrind is missing".to_owned(),
        };
        println!("{name:34} {of_go:18} {per_operation:>6}");
    }
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut task::Context::from_waker(Waker::noop()))
}

/// Arms a thousand timers that are due much later.
fn others(handle: &Handle) -> Vec<Sleep> {
    let mut others: Vec<_> = (0..1_000).map(|n| handle.sleep(HOUR * (2 + n))).collect();
    assert!(others.iter_mut().all(|sleep| poll(sleep).is_pending()));
    others
}

/// Runs `call` where a driver is entered.
fn entered(call: impl FnOnce(&Handle)) {
    let driver = Driver::with_unpark(|| {});
    let _entered = driver.handle().enter();
    let _others = others(driver.handle());
    call(driver.handle());
}

fn stop(count: u64) {
    entered(|_| {
        for _ in 0..count {
            let mut timer = black_box(Timer::new(HOUR));
            assert!(timer.stop());
        }
    });
}

fn poll_and_stop(count: u64) {
    entered(|_| {
        for _ in 0..count {
            let mut timer = black_box(Timer::new(HOUR));
            assert!(poll(&mut timer).is_pending() && timer.stop());
        }
    });
}

fn reset(count: u64) {
    entered(|_| {
        let mut timer = Timer::new(HOUR);
        for _ in 0..count {
            assert!(timer.reset(black_box(HOUR)));
        }
    });
}

fn reset_and_poll(count: u64) {
    entered(|_| {
        let mut timer = Timer::new(HOUR);
        for _ in 0..count {
            assert!(timer.reset(black_box(HOUR)) && poll(&mut timer).is_pending());
        }
    });
}

fn receive_and_reset(count: u64) {
    entered(|_| {
        let mut timer = Timer::new(Duration::ZERO);
        for _ in 0..count {
            // Pending now and then, to let other tasks run.
            while poll(&mut timer).is_pending() {}
            assert!(!timer.reset(black_box(Duration::ZERO)));
        }
    });
}

fn remote(count: u64) {
    entered(|_| {
        let timer = Timer::new(HOUR);
        let remote = timer.remote();
        for _ in 0..count {
            assert!(remote.stop() && !remote.reset(black_box(HOUR)));
        }
    });
}

fn after(count: u64) {
    entered(|_| {
        for _ in 0..count {
            let mut after = go::after(Duration::ZERO);
            while poll(&mut after).is_pending() {}
        }
    });
}

fn tick(count: u64) {
    entered(|_| {
        let mut ticker = Ticker::new(Duration::from_nanos(1));
        let mut cx = task::Context::from_waker(Waker::noop());
        for _ in 0..count {
            while Pin::new(&mut ticker).poll_next(&mut cx).is_pending() {}
        }
    });
}

fn ticker_reset(count: u64) {
    entered(|_| {
        let mut ticker = Ticker::new(HOUR);
        for _ in 0..count {
            ticker.reset(black_box(HOUR));
        }
    });
}

fn call_and_stop(count: u64) {
    entered(|handle| {
        for n in 0..count {
            let timer = handle.call_after(HOUR, move || {
                black_box(n);
            });
            assert!(timer.stop());
        }
    });
}

fn func_reset(count: u64) {
    entered(|handle| {
        let timer: FuncTimer = handle.call_after(HOUR, || {});
        for _ in 0..count {
            assert!(timer.reset(black_box(HOUR)));
        }
    });
}

fn with_timeout(count: u64) {
    entered(|_| {
        let root = Context::background();
        for _ in 0..count {
            assert!(black_box(root.with_timeout(HOUR)).cancel());
        }
    });
}

fn child(count: u64) {
    let root = Context::background();
    for _ in 0..count {
        assert!(black_box(root.child()).cancel());
    }
}

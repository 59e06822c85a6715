//! What Go's timers take here: bytes and allocations, counted. The page for people who come from Go
//! quotes these figures, and is checked against them.

#![cfg(all(target_pointer_width = "64", not(loom)))]
#![allow(unsafe_code, reason = "a global allocator cannot be had without")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use reveille::go::{self, After, Ticker, Timer, TimerRemote};
use reveille::time::{Interval, Sleep};
use reveille::{FuncTimer, Handle};

use support::{Task, manual, ms};

/// Counts what each thread allocates.
struct Counting;

thread_local! {
    static ALLOCATED: Cell<Allocated> = const { Cell::new(Allocated { count: 0, bytes: 0 }) };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Allocated {
    count: usize,
    bytes: usize,
}

// SAFETY: all is left to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATED.try_with(|allocated| {
            let Allocated { count, bytes } = allocated.get();
            allocated.set(Allocated {
                count: count + 1,
                bytes: bytes + layout.size(),
            });
        });
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Returns what `call` allocates.
fn allocated(call: impl FnOnce()) -> (usize, usize) {
    let before = ALLOCATED.get();
    call();
    let after = ALLOCATED.get();
    (after.count - before.count, after.bytes - before.bytes)
}

const PAGE: &str = include_str!("../docs/from-go.md");

/// Checks that the page has this row.
#[track_caller]
fn quotes(row: &str) {
    assert!(PAGE.contains(row), "docs/from-go.md does not say {row:?}");
}

#[test]
fn the_page_quotes_the_sizes() {
    let sizes = [
        ("`Timer`", size_of::<Timer>()),
        ("`After`", size_of::<After>()),
        ("`Ticker`", size_of::<Ticker>()),
        ("`Sleep`", size_of::<Sleep>()),
        ("`Interval`", size_of::<Interval>()),
        ("`FuncTimer`, `TimerRemote`", size_of::<FuncTimer>()),
    ];
    assert_eq!(size_of::<FuncTimer>(), size_of::<TimerRemote>());
    for (name, bytes) in sizes {
        quotes(&format!("| {name} | {bytes} |"));
    }
}

/// Where Go allocates a timer, a channel and its buffer: 248 bytes.
#[test]
fn timers_and_tickers_allocate_nothing() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let task = Task::new();
    let uses = || {
        let mut timer = Timer::new(ms(1));
        assert!(task.poll(&mut timer).is_pending());
        assert!(timer.stop() && !timer.reset(ms(1)) && timer.reset(ms(2)));
        assert!(task.poll(&mut timer).is_pending());
        let mut after = go::after(ms(1));
        assert!(task.poll(&mut after).is_pending());
        drop(after);
        let mut ticker = Ticker::new(ms(1));
        ticker.stop();
        ticker.reset(ms(3));
        drop(ticker);
    };
    // The first timers make room in the driver, which the next ones use.
    uses();
    let (count, _) = allocated(|| (0..100).for_each(|_| uses()));
    assert_eq!(count, 0);
    clock.advance(ms(9));
}

/// What a timer and its remotes share is made with the first remote.
#[test]
fn the_first_remote_allocates_once() {
    let (_clock, driver) = manual();
    let _entered = driver.handle().enter();
    let timer = Timer::new(ms(1));
    let mut remotes = [const { None }; 3];
    let (count, bytes) = allocated(|| {
        for remote in &mut remotes {
            let new = remote.insert(timer.remote());
            assert!(new.reset(ms(1)) && new.stop() && !new.reset(ms(2)));
        }
    });
    assert_eq!(count, 1);
    quotes(&format!(
        "| the first `remote()` of a timer | 1, {bytes} bytes |"
    ));
}

#[test]
fn a_function_allocates_when_it_is_made_and_not_when_it_is_moved() {
    let (clock, driver) = manual();
    let handle: &Handle = driver.handle();
    // These make room in the driver.
    let first = [(); 4].map(|()| handle.call_after(ms(1), || {}));
    assert!(first.iter().all(FuncTimer::stop));
    let captured = (1_u64, 2_u64);
    let mut timers = Vec::with_capacity(2);
    let plain = allocated(|| timers.push(handle.call_after(ms(1), || {})));
    let capturing = allocated(|| {
        timers.push(handle.call_after(ms(1), move || {
            std::hint::black_box(captured);
        }));
    });
    assert_eq!((plain.0, capturing), (1, (2, plain.1 + 16)));
    quotes(&format!(
        "| `call_after` | 1, {} bytes, and the closure if it captures anything |",
        plain.1
    ));
    let moves = || {
        for timer in &timers {
            assert!(timer.reset(ms(5)) && timer.reset(ms(2)) && timer.stop());
            assert!(!timer.reset(Duration::ZERO) && timer.reset(ms(1)));
        }
    };
    moves();
    let (count, _) = allocated(|| (0..100).for_each(|_| moves()));
    assert_eq!(count, 0, "moving allocates nothing");
    clock.advance(ms(1));
    assert!(timers.iter().all(|timer| !timer.stop()));
    let mut every = None;
    let made = allocated(|| every = Some(handle.call_every(ms(1), || {})));
    assert_eq!(made.0, 1);
    let (count, _) = allocated(|| assert!(every.take().is_some_and(|every| every.stop())));
    assert_eq!(count, 0);
}

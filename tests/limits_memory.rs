//! What a limited handle takes: bytes, counted.

#![cfg(all(target_pointer_width = "64", not(loom)))]
#![allow(unsafe_code, reason = "a global allocator cannot be had without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use reveille::time::{Interval, Sleep};
use reveille::{Driver, Handle, Limits, ThreadPark};

/// Counts what each thread allocates. The harness of the tests has threads, too.
struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // The thread may be destroying its thread-locals.
    let _ = LIVE.try_with(|live| live.set(live.get() + bytes));
}

// SAFETY: all is left to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Returns how many bytes of this thread are live.
fn live() -> isize {
    LIVE.get()
}

#[test]
fn a_limited_handle_takes_64_bytes_and_a_limited_timer_8_more() {
    assert_eq!(
        (
            size_of::<Handle>(),
            size_of::<Sleep>(),
            size_of::<Interval>()
        ),
        (16, 40, 80)
    );
    let driver = Driver::new(ThreadPark::new());
    let limits = Limits::new().timers(10).longest(Duration::from_secs(60));
    let mut handles = Vec::with_capacity(10_000);
    let before = live();
    handles.extend((0..10_000).map(|_| driver.handle().limited(limits)));
    assert_eq!(live() - before, 10_000 * 48);
    let mut children = Vec::with_capacity(10_000);
    let before = live();
    children.extend(handles.iter().map(|handle| handle.limited(limits)));
    assert_eq!(live() - before, 10_000 * 48, "children of children, too");

    let bytes = |limited: bool| {
        let driver = Driver::new(ThreadPark::new());
        let handle = if limited {
            driver.handle().limited(Limits::new())
        } else {
            driver.handle().clone()
        };
        let mut sleeps = Vec::with_capacity(100 * 256);
        let before = live();
        for _ in 0..100 * 256 {
            let mut sleep = handle.try_sleep(Duration::from_secs(60)).unwrap();
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(std::pin::Pin::new(&mut sleep).poll(&mut cx).is_pending());
            sleeps.push(sleep);
        }
        (live() - before) / sleeps.len().cast_signed()
    };
    let (plain, limited) = (bytes(false), bytes(true));
    assert_eq!(limited, plain + 8, "{plain} bytes without");
    assert!(plain <= 72, "beside the 40 of the `Sleep`: {plain}");

    drop(handles);
    drop(children);
    let before = live();
    drop(
        (0..10_000)
            .map(|_| driver.handle().limited(limits))
            .collect::<Vec<_>>(),
    );
    assert_eq!(live(), before, "all is freed");
}

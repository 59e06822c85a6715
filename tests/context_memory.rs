//! How much a context allocates, counted by the allocator of this test.

#![cfg(not(loom))]
#![allow(
    unsafe_code,
    reason = "an allocator that counts has to pass on the calls"
)]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::time::Duration;

use reveille::Context;

use support::{Task, manual, ms, secs};

struct Counting;

thread_local! {
    /// The allocations and the live bytes of this thread. Other tests run on other threads.
    static COUNTS: Cell<(usize, isize)> = const { Cell::new((0, 0)) };
}

fn count(allocations: usize, bytes: isize) {
    // The thread may be destroying its thread-locals.
    let _ = COUNTS.try_with(|counts| {
        let (before, live) = counts.get();
        counts.set((before + allocations, live + bytes));
    });
}

// Safety: all calls are passed on to the system's allocator, unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size().cast_signed());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(0, -layout.size().cast_signed());
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(1, size.cast_signed() - layout.size().cast_signed());
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Returns how often `run` allocates, and how many bytes more are live after it.
fn allocations<T>(run: impl FnOnce() -> T) -> (usize, isize) {
    let (before, live) = COUNTS.get();
    let result = black_box(run());
    let (after, bytes) = COUNTS.get();
    drop(result);
    (after - before, bytes - live)
}

/// Go's `TestAllocs` allows 8 for a timeout that is cancelled, and 12 for one that is waited for.
#[test]
fn a_timeout_that_is_made_and_cancelled_allocates_once() {
    let (_clock, driver) = manual();
    let _entered = driver.handle().enter();
    let root = Context::background();
    let task = Task::new();
    // Warm: the driver's store has room for a timer.
    drop(root.with_timeout(secs(1)));

    let create = || drop(root.with_timeout(secs(1)));
    assert_eq!(allocations(create), (1, 0));
    let cancel = || {
        let context = root.with_timeout(secs(1));
        context.cancel();
    };
    assert_eq!(allocations(cancel), (1, 0));
    let run = || {
        let context = root.with_timeout(secs(1));
        let mut run = std::pin::pin!(context.run(std::future::pending::<()>()));
        assert!(run.as_mut().poll(&mut task.context()).is_pending());
        context.cancel();
        assert!(run.as_mut().poll(&mut task.context()).is_ready());
    };
    assert_eq!(allocations(run), (1, 0));
    assert_eq!(allocations(|| drop(root.child())), (1, 0));
    assert_eq!(allocations(|| drop(root.clone())), (0, 0));
    assert_eq!(allocations(|| root.is_done()), (0, 0));
}

#[test]
fn a_cancellation_allocates_nothing_however_many_descendants_there_are() {
    let root = Context::background();
    let mut tree = vec![root.clone()];
    for index in 0..1000 {
        tree.push(tree[index / 3].child());
    }
    let cancel = || assert!(root.cancel());
    assert_eq!(allocations(cancel).0, 0);
    assert!(tree.iter().all(Context::is_done));
    // The tables of some of these parents have no free place.
    for children in 0..40 {
        let parent = Context::background();
        let children: Vec<_> = (0..children).map(|_| parent.child()).collect();
        assert_eq!(allocations(|| assert!(parent.cancel())).0, 0);
        assert!(children.iter().all(Context::is_done));
    }
}

#[test]
fn what_a_live_context_takes() {
    let (_clock, driver) = manual();
    let _entered = driver.handle().enter();
    let root = Context::background();
    let (mut plain, mut timed) = (Vec::with_capacity(1000), Vec::with_capacity(1000));
    // So that the parent's table and the driver's are not counted. A driver adds entries by 512.
    for _ in 0..2 {
        (0..2048).for_each(|_| timed.push(root.with_timeout(secs(3600))));
        timed.truncate(1000);
    }
    let children = allocations(|| plain.extend((0..1000).map(|_| root.child())));
    timed.clear();
    let timers = allocations(|| timed.extend((0..1000).map(|_| root.with_timeout(secs(3600)))));
    println!(
        "a child: {} bytes; with a timer: {}",
        children.1 / 1000,
        timers.1 / 1000
    );
    assert_eq!((children.0, timers.0), (1000, 1000));
    // Go: 290 bytes in four allocations for a context with a timer.
    assert!(children.1 / 1000 <= MOST && timers.1 / 1000 <= MOST);
}

/// The size of a node and its two counters.
const MOST: isize = 336;

#[test]
fn children_that_have_come_and_gone_leave_no_memory() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let root = Context::background();
    let come_and_go = || {
        for number in 0..100_000 {
            let child = root.with_timeout(ms(1 + number % 10));
            match number % 3 {
                0 => drop(child),
                1 => assert!(child.cancel()),
                _ => clock.advance(Duration::from_micros(100)),
            }
        }
        clock.advance(secs(1));
    };
    come_and_go();
    assert_eq!(allocations(come_and_go).1, 0);
    // All at once: the table of the parent is freed with the last one. The first round lets the
    // driver's store grow.
    let at_once = || drop((0..100_000).map(|_| root.child()).collect::<Vec<_>>());
    assert_eq!(allocations(at_once).1, 0);
}

//! A test of the clock of a tokio runtime that has ended while its time was paused.
//!
//! Tokio's feature `test-util` may be on because of another crate, with this crate's feature of
//! that name off. So the test is run in two builds:
//!
//! ```sh
//! cargo test --features tokio --test tokio_stopped
//! cargo test --all-features --test tokio_stopped
//! ```

#![cfg(all(not(loom), feature = "tokio"))]

mod support;

use reveille::{Driver, Handle};
use tokio::runtime::Builder;

use support::{Task, secs};

/// The clock counted as one that is moved by hand, but it could not be moved. So a driver on it
/// moved it again and again, and never parked.
#[test]
fn a_driver_on_the_clock_of_a_runtime_that_has_ended_moves_it_to_each_deadline() {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let handle = runtime.block_on(async { Handle::current() });
    let clock = handle.clock().clone();
    drop(runtime);
    assert!(handle.is_closed());
    let mut driver = Driver::builder().clock(clock).build_with_unpark(|| {});
    let start = driver.handle().now();
    let task = Task::new();
    for seconds in 1..3 {
        let mut sleep = driver.handle().sleep(secs(1));
        assert!(task.poll(&mut sleep).is_pending());
        assert!(driver.advance_when_idle());
        assert!(task.poll(&mut sleep).is_ready());
        assert_eq!(driver.handle().now() - start, secs(seconds));
    }
    assert!(!driver.advance_when_idle());
    assert_eq!(task.wakes(), 2);
}

/// It seemed to run on, and showed the same time for ever.
#[test]
#[cfg(feature = "test-util")]
#[should_panic(expected = "has ended while it was paused")]
fn resuming_the_clock_of_a_runtime_that_has_ended_panics() {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let clock = runtime.block_on(async { Handle::current().clock().clone() });
    drop(runtime);
    let driver = Driver::builder().clock(clock).build_with_unpark(|| {});
    let _entered = driver.handle().enter();
    reveille::time::resume();
}

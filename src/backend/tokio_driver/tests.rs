use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

use super::*;
use crate::time::sleep;

/// Makes a timer in a runtime whose clock may be paused, and that has no I/O.
fn with_timer() -> Runtime {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { drop(sleep(Duration::from_secs(1))) });
    runtime
}

/// Nothing wakes the driver of a runtime that ends while no timer is armed. It would stay, and
/// so would what it keeps of the runtime.
#[test]
fn driver_of_a_runtime_that_ended_without_a_timer_is_removed_by_the_next_one() {
    let ended = with_timer();
    let id = ended.handle().id();
    let driver = Arc::downgrade(&TokioDriver::find(id).unwrap());
    assert!(driver.upgrade().unwrap().unwatched.is_some());
    drop(ended);
    let _next = with_timer();
    // The driver ends on a thread of its own.
    let start = Instant::now();
    while driver.strong_count() > 0 {
        assert!(start.elapsed() < Duration::from_secs(60), "it stays");
        thread::yield_now();
    }
    assert!(TokioDriver::find(id).is_none());
}

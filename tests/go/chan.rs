//! Go's `TestChan`, as a script of one task and a manual clock: the exact answers of `stop` and
//! `reset`, with and without a task that waits, due or not, and no stale value after any of them.

use std::task::Poll;

use futures::stream::StreamExt;
use reveille::ManualClock;
use reveille::go::{Ticker, Timer};
use reveille::time::Duration;

use crate::support::{Task, manual, ms, secs};

/// A timer or a ticker.
trait Channel {
    /// Whether a value is received, without waiting.
    fn receives(&mut self, task: &Task) -> bool;
    /// `None` for a ticker, whose stop tells nothing.
    fn stop(&mut self) -> Option<bool>;
    fn reset(&mut self, duration: Duration) -> Option<bool>;
}

impl Channel for Timer {
    fn receives(&mut self, task: &Task) -> bool {
        task.poll(self).is_ready()
    }
    fn stop(&mut self) -> Option<bool> {
        Some(Timer::stop(self))
    }
    fn reset(&mut self, duration: Duration) -> Option<bool> {
        Some(Timer::reset(self, duration))
    }
}

impl Channel for Ticker {
    fn receives(&mut self, task: &Task) -> bool {
        matches!(
            self.poll_next_unpin(&mut task.context()),
            Poll::Ready(Some(_))
        )
    }
    fn stop(&mut self) -> Option<bool> {
        Ticker::stop(self);
        None
    }
    fn reset(&mut self, duration: Duration) -> Option<bool> {
        Ticker::reset(self, duration);
        None
    }
}

struct Script<C> {
    clock: ManualClock,
    channel: C,
    task: Task,
}

impl<C: Channel> Script<C> {
    #[track_caller]
    fn receives(&mut self, expected: bool) {
        assert_eq!(self.channel.receives(&self.task), expected);
    }

    #[track_caller]
    fn stop(&mut self, was_active: bool) {
        let answer = self.channel.stop();
        assert!(answer.is_none_or(|answer| answer == was_active));
    }

    #[track_caller]
    fn reset(&mut self, duration: Duration, was_active: bool) {
        let answer = self.channel.reset(duration);
        assert!(answer.is_none_or(|answer| answer == was_active));
    }

    #[track_caller]
    fn pass(&self, duration: Duration, wakes: usize) {
        let before = self.task.wakes();
        self.clock.advance(duration);
        assert_eq!(self.task.wakes() - before, wakes);
    }

    /// `once`: whether it is a timer, which is not active once its value was received.
    fn run(mut self, once: bool) {
        let (near, far) = (ms(1), secs(24 * 3600));
        // Never in the heap.
        self.stop(true);
        self.stop(false);
        self.receives(false);
        self.reset(far, false);
        self.reset(near, true);
        // In the heap.
        self.receives(false);
        self.stop(true);
        self.stop(false);
        self.reset(far, false);
        self.receives(false);
        self.reset(near, true);
        self.receives(false);
        self.pass(near, 1);
        self.receives(true);
        self.receives(false);
        self.reset(near, !once);
        // Due and not received: both answer that it was active, and the value is gone.
        self.pass(near, usize::from(!once));
        self.reset(far, true);
        self.receives(false);
        self.reset(near, true);
        self.pass(near, 1);
        self.stop(true);
        self.receives(false);
        self.stop(false);
        // A task that waits for a stopped timer is not woken by it.
        self.pass(far, 0);
        self.receives(false);
        self.reset(near, false);
        self.receives(false);
        self.pass(near, 1);
        self.receives(true);
        // Moved while a task waits: nearer, and farther.
        self.reset(far, !once);
        self.receives(false);
        self.reset(near, true);
        self.pass(near, 1);
        self.receives(true);
        self.reset(near, !once);
        self.receives(false);
        self.reset(far, true);
        self.pass(near, 0);
        self.receives(false);
        self.pass(far, 1);
        self.receives(true);
        self.stop(!once);
        self.receives(false);
    }
}

#[test]
fn the_script_of_a_timer() {
    for has_remote in [false, true] {
        let (clock, driver) = manual();
        let _entered = driver.handle().enter();
        let channel = Timer::new(secs(24 * 3600));
        let _remote = has_remote.then(|| channel.remote());
        let task = Task::new();
        Script {
            clock,
            channel,
            task,
        }
        .run(true);
        assert_eq!(driver.handle().armed(), 0);
    }
}

#[test]
fn the_script_of_a_ticker() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let channel = Ticker::new(secs(24 * 3600));
    let task = Task::new();
    Script {
        clock,
        channel,
        task,
    }
    .run(false);
    assert_eq!(driver.handle().armed(), 0);
}

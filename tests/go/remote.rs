//! `TimerRemote`: other tasks stop and reset a timer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::FusedFuture;
use reveille::go::{Timer, TimerRemote};
use reveille::time::Instant;
use reveille::{Clock, Driver, ManualClock};

use crate::on::everywhere;
use crate::support::{Dial, Task, manual, ms, panic_of, secs, waker};

/// Returns a timer that `task` awaits, and a remote of it.
fn awaited(task: &Task, duration: Duration) -> (Timer, TimerRemote) {
    let mut timer = Timer::new(duration);
    let remote = timer.remote();
    assert!(task.poll(&mut timer).is_pending());
    (timer, remote)
}

/// Asserts that a reset of `remote`, ten seconds later, goes by this clock.
fn assert_reset_goes_by(
    clock: &ManualClock,
    driver: &Driver<()>,
    task: &Task,
    timer: &mut Timer,
    remote: &TimerRemote,
) {
    clock.advance(secs(10));
    assert!(remote.reset(secs(1)));
    assert!(task.poll(timer).is_pending());
    assert_eq!(driver.next_deadline(), Some(clock.now() + secs(1)));
    clock.advance(secs(1));
    assert_eq!(task.poll(timer), Poll::Ready(clock.now()));
}

#[test]
fn a_remote_tells_and_does_the_same_as_the_owner() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let task = Task::new();
    let mut timer = Timer::new(ms(1));
    let remote = timer.remote();
    assert!(remote.stop() && !remote.stop() && !timer.stop());
    clock.advance(ms(1));
    assert!(task.poll(&mut timer).is_pending());
    assert!(!remote.reset(ms(1)) && remote.reset(ms(2)) && timer.reset(ms(1)));
    clock.advance(ms(1));
    assert!(remote.reset(ms(1)), "due, but not received");
    assert!(task.poll(&mut timer).is_pending());
    clock.advance(ms(1));
    assert_eq!(task.poll(&mut timer), Poll::Ready(clock.now()));
    assert!(!remote.stop() && !timer.stop());
    assert!(task.poll(&mut timer).is_pending());
}

/// The owner's task is woken once, and moves or frees its place in the driver.
#[test]
fn a_remote_wakes_the_task_that_waits() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let task = Task::new();
    let (mut timer, remote) = awaited(&task, secs(60));

    assert!(remote.reset(ms(1)));
    assert_eq!(task.wakes(), 1);
    assert!(task.poll(&mut timer).is_pending());
    assert!(remote.stop());
    assert_eq!(task.wakes(), 2);
    assert!(!remote.stop());
    assert_eq!(task.wakes(), 2, "nothing was changed");
    assert!(task.poll(&mut timer).is_pending());
    assert_eq!(driver.handle().armed(), 0);

    // It waits on, for a reset.
    assert!(!remote.reset(ms(1)));
    assert_eq!(task.wakes(), 3);
    assert!(task.poll(&mut timer).is_pending());
    clock.advance(ms(1));
    assert_eq!(task.wakes(), 4);
    assert!(task.poll(&mut timer).is_ready());
    drop(timer);
    assert_eq!(task.held(), 0);
}

/// Another holder of the timer stops and resets it, through a lock around it for example.
#[test]
fn the_task_that_waits_is_woken_by_the_owners_reset_of_a_stopped_timer() {
    for by_remote in [false, true] {
        let (clock, driver) = manual();
        let _entered = driver.handle().enter();
        let task = Task::new();
        let (mut timer, remote) = awaited(&task, secs(60));
        match by_remote {
            true => assert!(remote.stop() && task.poll(&mut timer).is_pending()),
            false => assert!(timer.stop()),
        }
        let before = task.wakes();
        assert!(!timer.reset(ms(2)));
        assert_eq!(task.wakes(), before + 1, "woken to arm it");
        assert!(timer.reset(ms(1)));
        assert_eq!(task.wakes(), before + 1, "woken once");
        assert!(task.poll(&mut timer).is_pending());
        assert!(timer.reset(ms(1)));
        assert_eq!(task.wakes(), before + 1, "the driver moves it");
        clock.advance(ms(1));
        assert_eq!(task.wakes(), before + 2);
        assert_eq!(task.poll(&mut timer), Poll::Ready(clock.now()));
        drop(timer);
        assert_eq!(task.held(), 0);
    }
}

/// It is polled again, as `remote` asks for, or notices at its old deadline.
#[test]
fn a_first_remote_of_a_timer_that_is_awaited_is_noticed_in_the_next_poll() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let task = Task::new();
    let mut timers = [Timer::new(secs(60)), Timer::new(secs(60))];
    for timer in &mut timers {
        assert!(task.poll(timer).is_pending());
        assert!(timer.remote().reset(ms(1)));
    }
    let [polled, left] = &mut timers;
    assert!(task.poll(polled).is_pending());
    clock.advance(ms(1));
    assert_eq!(task.wakes(), 1);
    assert_eq!(task.poll(polled), Poll::Ready(clock.now()));
    let due = clock.now();
    clock.advance(secs(60));
    assert_eq!(task.wakes(), 2);
    assert_eq!(task.poll(left), Poll::Ready(due));
}

#[test]
fn a_task_that_awaits_a_timer_is_moved_by_another() {
    everywhere(|on| async move {
        let start = Instant::now();
        let mut timer = Timer::new(secs(3600));
        let remote = timer.remote();
        let other = on.spawn(async move {
            reveille::time::sleep(ms(1)).await;
            assert!(remote.reset(Duration::MAX));
            reveille::time::sleep(ms(1)).await;
            assert!(remote.stop());
            reveille::time::sleep(ms(1)).await;
            assert!(!remote.reset(ms(2)));
        });
        let due = (&mut timer).await;
        assert!(due >= start + ms(5));
        on.has_passed(start, ms(5));
        other.await;
    });
}

#[test]
fn a_remote_of_a_dropped_timer_does_nothing() {
    let (_clock, driver) = manual();
    let _entered = driver.handle().enter();
    let task = Task::new();
    let (timer, remote) = awaited(&task, secs(1));
    drop(timer);
    assert!(!remote.stop() && !remote.reset(ms(1)) && !remote.stop());
    assert_eq!(
        (task.held(), task.wakes(), driver.handle().armed()),
        (0, 0, 0)
    );
}

/// `futures::select!` must not leave out a timer that a remote may start.
#[test]
fn a_stopped_timer_is_terminated_only_without_remotes() {
    let mut timer = Timer::new(secs(1));
    let remote = timer.remote();
    assert!(timer.stop() && !timer.is_terminated());
    let clone = remote.clone();
    drop(remote);
    assert!(!timer.is_terminated());
    drop(clone);
    assert!(timer.is_terminated());
    let remote: TimerRemote = timer.remote();
    assert!(!remote.reset(secs(1)));
    drop(remote);
    assert!(!timer.is_terminated() && timer.stop());
}

/// The waker was kept for a reset, which could come from nowhere any more.
#[test]
fn a_stopped_timer_keeps_no_task_once_its_remotes_are_gone() {
    let (_, driver) = manual();
    let _entered = driver.handle().enter();
    // Stopped first, or the remotes dropped first, or polled last.
    for last in ["remote", "stop", "poll"] {
        let task = Task::new();
        let (mut timer, remote) = awaited(&task, secs(60));
        let second = remote.clone();
        if last == "remote" {
            assert!(timer.stop());
            drop(remote);
            assert_eq!(task.held(), 1, "the second one may reset it");
            assert!(!timer.is_terminated());
            drop(second);
        } else {
            drop((remote, second));
            assert!(!timer.is_terminated());
            assert!(timer.stop());
            if last == "poll" {
                assert!(task.poll(&mut timer).is_pending());
            }
        }
        assert_eq!(task.held(), 0, "{last}");
        assert!(timer.is_terminated());
    }
}

/// It was never polled, so it has no clock yet.
#[test]
fn a_remote_resets_a_timer_that_has_no_driver_yet() {
    let mut timer = Timer::new(secs(3600));
    let remote = timer.remote();
    assert!(remote.reset(ms(1)));
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let task = Task::new();
    assert!(task.poll(&mut timer).is_pending());
    clock.advance(ms(1));
    assert_eq!(task.poll(&mut timer), Poll::Ready(clock.now()));
}

/// It got its driver in its first poll, or by a reset of its owner: remotes go by that one's clock.
#[test]
fn a_remote_resets_a_timer_by_the_clock_of_the_driver_that_it_got_since() {
    for polled in [true, false] {
        let mut timer = Timer::new(secs(3600));
        let remote = timer.remote();
        let (clock, driver) = manual();
        let _entered = driver.handle().enter();
        let task = Task::new();
        match polled {
            true => assert!(task.poll(&mut timer).is_pending()),
            false => assert!(timer.reset(secs(3600))),
        }
        assert_reset_goes_by(&clock, &driver, &task, &mut timer, &remote);
    }
}

/// It got its driver in its first poll, by a reset that a remote had asked for before.
#[test]
fn a_remote_resets_a_timer_by_the_clock_of_the_driver_that_its_first_reset_gave_it() {
    let mut timer = Timer::new(secs(3600));
    let remote = timer.remote();
    assert!(remote.reset(secs(3600)));
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let task = Task::new();
    assert!(task.poll(&mut timer).is_pending());
    assert!(remote.reset(secs(1)));
    clock.advance(ms(500));
    assert!(task.poll(&mut timer).is_pending());
    assert_eq!(driver.next_deadline(), Some(clock.now() + ms(500)));
}

/// The driver of the timer ended, and a poll moved it to another one.
#[test]
fn a_remote_resets_a_timer_by_the_clock_of_its_second_driver() {
    let dial = Dial::default();
    let first = dial.driver();
    let task = Task::new();
    let mut timer = {
        let _entered = first.handle().enter();
        Timer::new(secs(3600))
    };
    let remote = timer.remote();
    assert!(task.poll(&mut timer).is_pending());
    drop(first);
    let (clock, second) = manual();
    let _entered = second.handle().enter();
    assert!(task.poll(&mut timer).is_pending());
    assert_reset_goes_by(&clock, &second, &task, &mut timer, &remote);
}

/// A remote's reset comes in the middle of the poll that gives the timer its driver: here it comes
/// from the clock of that driver.
#[test]
fn a_remote_resets_a_timer_in_the_poll_in_which_it_gets_its_driver() {
    let mut timer = Timer::new(secs(3600));
    let remote = Mutex::new(Some(timer.remote()));
    let (now, hook) = (
        Arc::new(AtomicU64::new(10)),
        Arc::new(AtomicBool::new(false)),
    );
    let (time, armed) = (now.clone(), hook.clone());
    let clock = Clock::custom(move || {
        if armed.load(Ordering::Relaxed) {
            // Taken, because the reset may read this clock.
            let remote = remote.lock().unwrap().take();
            remote.inspect(|remote| assert!(remote.reset(secs(1))));
        }
        secs(time.load(Ordering::Relaxed))
    });
    let mut driver = Driver::builder().clock(clock).build_with_unpark(|| {});
    let _entered = driver.handle().enter();
    hook.store(true, Ordering::Relaxed);
    let task = Task::new();
    assert!(task.poll(&mut timer).is_pending());
    assert!(task.poll(&mut timer).is_pending());
    assert_eq!(
        driver.next_deadline(),
        Some(driver.handle().now() + secs(1))
    );
    now.store(11, Ordering::Relaxed);
    driver.turn();
    assert!(task.poll(&mut timer).is_ready());
}

/// The same, and the clock panics when it is read for the reset. The next poll makes up for it.
#[test]
fn a_clock_that_panics_loses_no_reset_of_a_remote() {
    let mut timer = Timer::new(secs(1));
    let remote = Mutex::new(Some(timer.remote()));
    let readings = Arc::new(AtomicU64::new(0));
    let counted = readings.clone();
    let clock = Clock::custom(move || {
        if counted.load(Ordering::Relaxed) > 0 {
            // The remote's reset comes at the first reading; the third one is for that reset.
            let number = counted.fetch_add(1, Ordering::Relaxed);
            let remote = remote.lock().unwrap().take();
            remote.inspect(|remote| assert!(remote.reset(secs(3600))));
            assert!(number < 3, "the clock's own panic");
        }
        secs(10)
    });
    let driver = Driver::builder().clock(clock).build_with_unpark(|| {});
    let _entered = driver.handle().enter();
    readings.store(1, Ordering::Relaxed);
    let task = Task::new();
    catch_unwind(AssertUnwindSafe(|| task.poll(&mut timer))).unwrap_err();
    readings.store(0, Ordering::Relaxed);
    assert!(task.poll(&mut timer).is_pending());
    let at = driver.next_deadline().unwrap();
    assert_eq!(at, driver.handle().now() + secs(3600));
}

/// Its first poll yields its value at once.
#[test]
fn a_remote_resets_a_timer_whose_value_was_received_in_its_first_poll() {
    let mut timer = Timer::new(Duration::ZERO);
    let remote = timer.remote();
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let task = Task::new();
    clock.advance(secs(1));
    if task.poll(&mut timer).is_pending() {
        clock.advance(ms(1));
        assert!(task.poll(&mut timer).is_ready());
    }
    assert!(!remote.reset(secs(2)));
    clock.advance(secs(1));
    assert!(task.poll(&mut timer).is_pending());
    clock.advance(secs(1));
    assert_eq!(task.poll(&mut timer), Poll::Ready(clock.now()));
}

/// No lock is held while a waker is cloned, woken or dropped.
#[test]
fn wakers_may_use_the_remote() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let timer = Timer::new(secs(1));
    let remote = timer.remote();
    let own = remote.clone();
    let waker = waker(move || {
        own.stop();
        own.reset(ms(1));
    });
    let mut cx = Context::from_waker(&waker);
    let mut timer = pin!(timer);
    assert!(timer.as_mut().poll(&mut cx).is_pending());
    assert!(remote.stop());
    assert!(timer.as_mut().poll(&mut cx).is_pending());
    clock.advance(ms(1));
}

/// Its panic goes to the caller, and the timer still works.
#[test]
fn a_waker_that_panics_does_not_break_the_timer() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let mut timer = Timer::new(secs(1));
    let remote = timer.remote();
    let panics = waker(|| panic!("a waker"));
    let mut cx = Context::from_waker(&panics);
    assert!(pin!(&mut timer).poll(&mut cx).is_pending());
    let caller = remote.clone();
    let (message, _) = panic_of(move || caller.stop());
    assert_eq!(message, "a waker");
    assert!(!remote.reset(ms(1)));
    let task = Task::new();
    assert!(task.poll(&mut timer).is_pending());
    clock.advance(ms(1));
    assert!(task.poll(&mut timer).is_ready());
}

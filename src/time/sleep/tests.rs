//! Tests of which drops of a timer take a lock of its driver, of how it is seen to move, and of
//! what is seen of it when its driver is dropped.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use crate::time::Sleep;
use crate::{Clock, Driver, ManualClock};

fn armed(driver: &Driver<()>, wait: Duration) -> Sleep {
    let mut sleep = driver.handle().sleep(wait);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut sleep).poll(&mut cx).is_pending());
    sleep
}

/// Drops a timer while another thread holds all locks of its driver. Returns whether the drop was
/// done within `patience`.
fn drops_under_the_lock(driver: &Driver<()>, sleep: Sleep, patience: Duration) -> bool {
    let (done, is_done) = mpsc::channel();
    thread::scope(|scope| {
        let locked = driver.handle().shared.lock_all();
        scope.spawn(move || {
            drop(sleep);
            done.send(()).unwrap();
        });
        let dropped = is_done.recv_timeout(patience).is_ok();
        drop(locked);
        dropped
    })
}

#[test]
fn dropping_a_fired_timer_takes_no_lock() {
    const PATIENCE: Duration = Duration::from_secs(60);
    let clock = ManualClock::new();
    let driver = Driver::builder().clock(&clock).build_with_unpark(|| {});
    let fired = armed(&driver, Duration::from_millis(1));
    let mut polled = armed(&driver, Duration::from_millis(2));
    let waits = armed(&driver, Duration::from_millis(4));
    clock.advance(Duration::from_millis(3));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut polled).poll(&mut cx).is_ready());

    assert!(drops_under_the_lock(&driver, fired, PATIENCE), "fired");
    assert!(
        drops_under_the_lock(&driver, polled, PATIENCE),
        "and polled"
    );
    let idle = driver.handle().sleep(Duration::from_secs(1));
    assert!(
        drops_under_the_lock(&driver, idle, PATIENCE),
        "never polled"
    );
    // Dropping an armed timer does wait for one; otherwise the checks above would prove
    // nothing.
    let blink = Duration::from_millis(20);
    assert!(!drops_under_the_lock(&driver, waits, blink), "armed");
}

/// It went from true to false, since the driver counts as having passed each deadline once it is
/// gone.
#[test]
fn a_timer_that_has_elapsed_stays_so_when_its_driver_is_dropped() {
    let clock = ManualClock::new();
    let driver = Driver::builder().clock(&clock).build_with_unpark(|| {});
    let due = armed(&driver, Duration::from_millis(1));
    let later = armed(&driver, Duration::from_millis(3));
    clock.advance(Duration::from_millis(2));
    assert!(due.is_elapsed() && !later.is_elapsed());
    drop(driver);
    assert!(due.is_orphaned() && due.is_elapsed());
    assert!(later.is_orphaned() && !later.is_elapsed());
    clock.advance(Duration::from_millis(1));
    assert!(later.is_elapsed(), "its next poll would be ready");
}

/// It was later by the time between two readings of the clock.
#[test]
fn a_timer_that_moves_to_another_driver_keeps_its_deadline() {
    let first = Driver::with_unpark(|| {});
    let mut sleep = armed(&first, Duration::from_secs(60));
    let deadline = sleep.deadline();
    drop(first);
    let second = Driver::with_unpark(|| {});
    let _entered = second.handle().enter();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut sleep).poll(&mut cx).is_pending());
    assert!(!sleep.is_orphaned());
    assert_eq!(sleep.deadline(), deadline);
}

/// The driver that the timer moves to is gone at once, so it moves on to a third. That one would
/// have the identity of the first if it took its place in memory.
#[test]
fn timer_that_moves_twice_in_one_poll_keeps_its_first_driver_until_the_end_of_the_poll() {
    struct State {
        second: Option<Driver<()>>,
        first_is_alive: Option<bool>,
    }

    let builder = || Driver::builder().clock(Clock::custom(|| Duration::ZERO));
    let part_of_first = Arc::new(());
    let part = Arc::downgrade(&part_of_first);
    let first = builder().build_with_unpark(move || {
        let _part = &part_of_first;
    });
    let mut sleep = armed(&first, Duration::from_secs(1));
    let identity = sleep.driver_id();
    drop(first);

    let third = builder().build_with_unpark(|| {});
    let _third = third.handle().enter();
    let state = Arc::new(Mutex::new(State {
        second: None,
        first_is_alive: None,
    }));
    let inside = state.clone();
    // Its first reading drops the driver that the timer is about to move to, the next one is after
    // that move.
    let clock = Clock::custom(move || {
        if let Ok(mut state) = inside.try_lock() {
            match state.second.take() {
                Some(second) => drop(second),
                None => state.first_is_alive = Some(part.strong_count() > 0),
            }
        }
        Duration::ZERO
    });
    let second = Driver::builder().clock(clock).build_with_unpark(|| {});
    let _second = second.handle().enter();
    state.lock().unwrap().second = Some(second);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut sleep).poll(&mut cx).is_pending());
    assert_eq!(third.handle().armed(), 1);
    assert_eq!(state.lock().unwrap().first_is_alive, Some(true));
    assert_ne!(sleep.driver_id(), identity);
}

/// The loop wakes for the first one, so it need not be told of the second one, which took the
/// driver's lock for its place in the heap.
#[test]
fn arming_a_timer_that_is_due_later_than_another_does_not_take_the_drivers_lock() {
    let driver = Driver::with_unpark(|| {});
    let first = armed(&driver, Duration::from_secs(10));
    let (done, is_done) = mpsc::channel();
    let was_armed = thread::scope(|scope| {
        let locked = driver.handle().shared.lock();
        scope.spawn(|| {
            let second = armed(&driver, Duration::from_secs(20));
            done.send(second).unwrap();
        });
        let second = is_done.recv_timeout(Duration::from_secs(60));
        drop(locked);
        second.is_ok()
    });
    assert!(was_armed);
    assert_eq!(driver.handle().armed(), 1);
    assert_eq!(driver.next_deadline(), Some(first.deadline()));
}

/// Only a deadline that is far off on the system's clock is told from one that has passed without
/// reading the clock exactly.
#[test]
fn a_deadline_that_is_far_off_is_known_not_to_have_passed() {
    let far_off = |clock: &Clock, wait| clock.is_far_off(clock.deadline_after(wait));
    let system = Clock::monotonic();
    assert_eq!(
        far_off(&system, Duration::from_secs(60)),
        cfg!(target_os = "linux")
    );
    assert!(!system.is_far_off(0));
    assert!(!far_off(&system, Duration::from_millis(50)));
    let custom = Clock::custom(|| Duration::from_secs(1));
    let manual = ManualClock::new();
    for clock in [custom, (&manual).into(), Clock::boottime()] {
        assert!(!far_off(&clock, Duration::from_secs(60)), "{clock:?}");
    }
}

#[test]
#[cfg(feature = "test-util")]
fn a_deadline_on_a_clock_that_was_paused_is_compared_with_that() {
    let driver = crate::Driver::with_unpark(|| {});
    let _entered = driver.handle().enter();
    let deadline = crate::time::Instant::now() + Duration::from_secs(60);
    crate::time::pause();
    pollster::block_on(crate::time::advance(Duration::from_secs(61)));
    let mut sleep = driver.handle().sleep_until(deadline);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut sleep).poll(&mut cx).is_ready());
}

/// A loop whose clock may be paused waited for the deadline that the timer had before.
#[cfg(feature = "rt")]
#[test]
fn a_waker_that_panics_in_a_reset_does_not_keep_the_loop_from_being_told() {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use crate::instant::LATEST_DEADLINE;

    struct Panics;

    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("the waker");
        }
    }

    let unparks = Arc::new(AtomicUsize::new(0));
    let counted = unparks.clone();
    let driver = Driver::with_unpark(move || {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let shared = &driver.handle().shared;
    shared.set_notify_on_cancel(|| true);
    let mut sleep = driver.handle().sleep(Duration::from_secs(5));
    let waker = Waker::from(Arc::new(Panics));
    assert!(
        Pin::new(&mut sleep)
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    let now = driver.handle().now();
    let state = shared.lock();
    shared.set_elapsed(&state, shared.clock.nanos_of(now));
    shared.announce(&state, LATEST_DEADLINE);
    drop(state);
    assert_eq!(unparks.load(Ordering::SeqCst), 0);
    assert!(catch_unwind(AssertUnwindSafe(|| sleep.reset_at(now))).is_err());
    assert_eq!(unparks.load(Ordering::SeqCst), 1);
}

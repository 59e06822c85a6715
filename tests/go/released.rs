//! Nothing is left behind: Go's `TestTimerGC` and `TestLongAdjustTimers`, and functions that are
//! freed when they are no longer needed.

use std::sync::Arc;

use futures::{FutureExt, StreamExt, select};
use reveille::Handle;
use reveille::go::{self, Ticker, Timer};
use reveille::time::Duration;

use crate::on::everywhere;
use crate::support::{Task, manual, ms, secs};

/// Where Go needs the garbage collector, dropping frees at once.
#[test]
fn dropped_timers_leave_nothing_in_the_driver() {
    let (_clock, driver) = manual();
    let _entered = driver.handle().enter();
    let task = Task::new();
    let hour = secs(3600);
    for _ in 0..10_000 {
        let (mut after, mut timer, mut ticker) =
            (go::after(hour), Timer::new(hour), Ticker::new(hour));
        let mut stopped = Timer::new(hour);
        assert!(task.poll(&mut after).is_pending());
        assert!(task.poll(&mut timer).is_pending());
        assert!(task.poll(&mut stopped).is_pending());
        assert!(ticker.poll_next_unpin(&mut task.context()).is_pending());
        assert!(stopped.stop());
        assert_eq!((driver.handle().armed(), task.held()), (3, 3));
    }
    assert_eq!((driver.handle().armed(), task.held()), (0, 0));
}

/// An `after` in each iteration, and a function that watches over it, none of which fires.
#[test]
fn a_loop_that_makes_a_timer_in_each_iteration_leaves_none() {
    everywhere(|_| async {
        for _ in 0..5_000 {
            let watchdog = go::after_func(secs(60), || panic!("too slow"));
            select! {
                () = std::future::ready(()).fuse() => {}
                at = go::after(secs(5)) => panic!("fired at {at:?}"),
            }
            assert!(watchdog.stop());
        }
        assert_eq!(Handle::current().armed(), 0);
    });
}

/// Counts how many functions own it.
struct Owned(Arc<()>);

impl Owned {
    fn function(&self) -> impl Fn() + Send + Sync + use<> {
        let held = self.0.clone();
        move || drop(held.clone())
    }

    fn count(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}

#[test]
fn a_function_is_freed_when_it_was_called() {
    let (clock, driver) = manual();
    let owned = Owned(Arc::new(()));
    let timer = driver.handle().call_after(ms(1), owned.function());
    assert_eq!(owned.count(), 1);
    clock.advance(ms(1));
    assert_eq!(owned.count(), 0);
    assert!(!timer.stop());
}

/// Of one call it is kept, to be started again, until the last reference is gone.
#[test]
fn a_function_that_was_stopped_is_freed_with_the_last_reference() {
    let (_clock, driver) = manual();
    let owned = Owned(Arc::new(()));
    let timer = driver.handle().call_after(ms(1), owned.function());
    let clone = timer.clone();
    assert!(timer.stop());
    drop(timer);
    assert_eq!(owned.count(), 1);
    drop(clone);
    assert_eq!(owned.count(), 0);
    // Dropping the references does not stop it.
    drop(driver.handle().call_after(ms(1), owned.function()));
    assert_eq!((owned.count(), driver.handle().armed()), (1, 1));
}

#[test]
fn the_function_of_many_calls_is_freed_when_it_is_stopped() {
    let (clock, driver) = manual();
    let owned = Owned(Arc::new(()));
    let timer = driver.handle().call_every(ms(1), owned.function());
    clock.advance(ms(10));
    assert_eq!(owned.count(), 1);
    assert!(timer.stop());
    assert_eq!((owned.count(), driver.handle().armed()), (0, 0));
}

/// A timer that is moved, stopped and started again and again is one timer in the driver.
#[test]
fn moving_a_function_leaves_one_timer_in_the_driver() {
    let (clock, driver) = manual();
    let owned = Owned(Arc::new(()));
    let timer = driver.handle().call_after(ms(1), owned.function());
    for n in 0..1_000 {
        assert!(timer.reset(ms(1_000 - n)));
        assert_eq!(driver.handle().armed(), 1);
        assert!(timer.stop());
        assert_eq!(driver.handle().armed(), 0);
        assert!(!timer.reset(Duration::ZERO));
        assert_eq!(driver.handle().armed(), 1);
    }
    drop(timer);
    clock.advance(ms(1));
    assert_eq!((owned.count(), driver.handle().armed()), (0, 0));
}

/// What is dropped with a function may use its timer: no lock is held then.
#[test]
fn a_destructor_may_use_the_timer() {
    use crate::support::OnDrop;
    use std::sync::OnceLock;

    let (clock, driver) = manual();
    for ending in 0..3 {
        let own = Arc::new(OnceLock::<reveille::FuncTimer>::new());
        let slot = own.clone();
        let uses = OnDrop(move || {
            let timer = slot.get().unwrap();
            assert!(!timer.stop() && !timer.reset(ms(1)));
        });
        let timer = driver.handle().call_every(ms(1), move || {
            let _ = &uses;
            assert_ne!(ending, 1, "a function that panics");
        });
        own.set(timer.clone()).unwrap();
        clock.advance(ms(1));
        assert_eq!(timer.stop(), ending != 1);
        assert_eq!(Arc::strong_count(&own), 1);
    }
}

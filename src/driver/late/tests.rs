use std::sync::Barrier;
use std::thread;

use super::*;
use crate::clock::Clock;
use crate::driver::Handle;
use crate::driver::shared::Shared;
use crate::driver::shared::{Notifier, Origin};
use crate::driver::slack::SharedSlack;

/// The loop of a runtime with these drivers.
#[derive(Default)]
struct Loop(Mutex<Vec<Arc<Shared>>>);

impl Notifier for Arc<Loop> {
    fn interrupt(&self) {}

    fn look_again(&self) {}

    fn origin(&self) -> Origin {
        let shards = lock_std(&self.0).clone().into_boxed_slice();
        Origin {
            name: "test",
            shards,
        }
    }
}

fn runtime(drivers: usize) -> Arc<Loop> {
    let shards = Arc::new(Loop::default());
    for _ in 0..drivers {
        let notifier = Box::new(shards.clone());
        let slack = SharedSlack::adaptive();
        let shard = Shared::new(Clock::monotonic(), notifier, false, slack);
        lock_std(&shards.0).push(shard);
    }
    shards
}

/// Two threads set a function of a runtime with many drivers at once.
#[test]
fn of_two_functions_that_are_set_at_once_one_is_set_everywhere() {
    let shards = runtime(64);
    let handle = Handle::new(lock_std(&shards.0)[0].clone());
    for _ in 0..300 {
        let start = Barrier::new(2);
        let set = |threshold| {
            start.wait();
            handle.on_late_turn(threshold, |_| {});
        };
        thread::scope(|scope| {
            scope.spawn(|| set(Duration::from_secs(1)));
            set(Duration::from_secs(2));
        });
        let threshold = |shard: &Arc<Shared>| shard.late.threshold.load(Ordering::Relaxed);
        let drivers = lock_std(&shards.0).clone();
        let first = threshold(&drivers[0]);
        assert!(drivers.iter().all(|driver| threshold(driver) == first));
    }
    let drivers = std::mem::take(&mut *lock_std(&shards.0));
    drivers.iter().for_each(|driver| driver.close());
}

/// The drivers of a runtime end one after the other.
#[test]
fn a_function_that_is_set_while_a_runtime_ends_stays_where_no_driver_has_ended() {
    let shards = runtime(3);
    let drivers = std::mem::take(&mut *lock_std(&shards.0));
    *lock_std(&shards.0) = drivers.clone();
    drivers[1].close();
    let held = Arc::new(());
    let function = held.clone();
    Handle::new(drivers[0].clone()).on_late_turn(Duration::ZERO, move |_| {
        let _ = &function;
    });
    let is_set = |driver: &Arc<Shared>| lock_std(&driver.late.function).is_some();
    assert_eq!(
        drivers.iter().map(is_set).collect::<Vec<_>>(),
        [true, false, true]
    );
    drivers.iter().for_each(|driver| driver.close());
    assert_eq!(Arc::strong_count(&held), 1);
    lock_std(&shards.0).clear();
}

/// A turn compares with one threshold, and another thread sets the next function before the
/// turn reports.
#[test]
fn a_function_is_never_called_with_the_threshold_of_another() {
    let observer = LateObserver::new();
    let called = Arc::new(AtomicU64::new(0));
    let counts = called.clone();
    let count: Function = Arc::new(move |turn: LateTurn| {
        counts.fetch_add(turn.fired() as u64, Ordering::Relaxed);
    });
    drop(observer.set(Duration::from_nanos(1), count.clone()));
    assert!(observer.is_late(5));
    drop(observer.set(Duration::from_nanos(10), count));
    observer.report(5, 1);
    assert_eq!(called.load(Ordering::Relaxed), 0);
    observer.report(10, 1);
    assert_eq!(called.load(Ordering::Relaxed), 1);
}

//! Tests of which driver a queue runs on, and what happens when that driver is dropped.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll::{Pending, Ready};

use futures::StreamExt;
use reveille::time::{DelayQueue, Duration, Instant};
use reveille::{Clock, Driver, DriverThread, ThreadPark};

use crate::support::{Dial, Task, manual, ms, secs, watched};
use crate::{due, poll};

#[test]
fn a_queue_uses_the_driver_of_the_first_insertion() {
    let (clock, driver) = manual();
    let (other_clock, other) = manual();
    let (task, mut queue) = (Task::new(), DelayQueue::new());
    assert_eq!(poll(&task, &mut queue), Ready(None));
    {
        let _entered = driver.handle().enter();
        queue.insert("one", ms(10));
    }
    let _entered = other.handle().enter();
    other_clock.advance(secs(60));
    queue.insert("two", ms(20));
    assert_eq!(poll(&task, &mut queue), Pending);
    assert_eq!((driver.handle().armed(), other.handle().armed()), (1, 0));
    clock.advance(ms(10));
    assert_eq!(due(&mut queue), ["one"]);
    clock.advance(ms(10));
    assert_eq!(due(&mut queue), ["two"]);
    // The queue is empty, and its driver still exists.
    let key = queue.insert("three", ms(20));
    assert_eq!(queue.deadline(&key), clock.now() + ms(20));
}

/// The clock of the successor shows another time: 1000 s when the first one shows 1 s.
#[test]
fn values_move_to_another_driver_with_the_time_that_they_had_left() {
    let (old, new) = (Dial::default(), Dial::default());
    old.set(secs(1));
    let gone = old.driver();
    let (task, mut queue) = (Task::new(), DelayQueue::new());
    let entered = gone.handle().enter();
    let mut keys = ['a', 'b', 'c', 'd', 'e'].map(|value| queue.insert(value, secs(10)));
    queue.insert('p', secs(0));
    let never = queue.insert('n', Duration::MAX);
    assert_eq!(due(&mut queue), ['p']);
    assert_eq!(poll(&task, &mut queue), Pending);
    drop(entered);
    let shift = {
        let before = gone.handle().now();
        new.set(secs(1000));
        let successor = new.driver();
        let shift = successor.handle().now() - before;
        let _entered = successor.handle().enter();
        drop(gone);
        assert_eq!(task.wakes(), 1);

        old.set(secs(5));
        let before = queue.deadline(&keys[0]);
        assert_eq!(poll(&task, &mut queue), Pending);
        assert_eq!(successor.handle().armed(), 1);
        let left = queue.deadline(&keys[0]) - successor.handle().now();
        assert_eq!(left, secs(6), "of 10 s, because it was inserted at 1 s");
        assert!(queue.deadline(&keys[0]) > before);
        assert_eq!(queue.deadline(&never), Instant::now() + Duration::MAX);

        // Deadlines given from now on are on the successor's clock, and are ordered with the
        // others.
        queue.reset_at(&keys[1], successor.handle().now() + secs(6));
        keys[2] = queue.insert('f', secs(6));
        queue.insert('g', secs(5));
        assert_eq!(queue.deadline(&keys[2]), successor.handle().now() + secs(6));
        new.set(secs(1005));
        assert_eq!(due(&mut queue), ['g']);
        new.set(secs(1006));
        let out = std::iter::from_fn(|| match queue.poll_expired(&mut task.context()) {
            Ready(Some(expired)) => {
                assert_eq!(expired.deadline(), successor.handle().now());
                Some(expired.into_inner())
            }
            _ => None,
        });
        assert_eq!(out.collect::<String>(), "acdebf");
        shift
    };
    assert!(shift > secs(900));
    assert_eq!(queue.len(), 1);
}

/// Its values then had the deadlines that they had on the system's clock.
#[test]
#[cfg(feature = "fallback")]
fn a_clock_that_panics_when_the_queue_gets_its_driver_leaves_the_queue_without_one() {
    let (dial, panics) = (Dial::default(), Switch::default());
    let driver = driver_that_panics(&dial, &panics, 1);
    let (task, mut queue) = (Task::new(), DelayQueue::new());
    let key = queue.insert('a', secs(10));
    let _entered = driver.handle().enter();
    panics.on();
    catch_unwind(AssertUnwindSafe(|| poll(&task, &mut queue))).unwrap_err();
    panics.off();
    assert_eq!(poll(&task, &mut queue), Pending);
    assert_eq!(queue.deadline(&key), driver.handle().now() + secs(10));
    dial.set(secs(10));
    assert_eq!(due(&mut queue), ['a']);
}

/// The queue took the deadlines of the old clock for those of the new one.
#[test]
fn values_keep_the_time_that_they_had_left_if_the_clock_of_the_next_driver_panics() {
    let (old, new, panics) = (Dial::default(), Dial::default(), Switch::default());
    let gone = old.driver();
    let (task, mut queue) = (Task::new(), DelayQueue::new());
    let key = {
        let _entered = gone.handle().enter();
        queue.insert('a', secs(10))
    };
    assert_eq!(poll(&task, &mut queue), Pending);
    new.set(secs(1000));
    // The first reading gives the timer its new deadline, the second is after the move.
    let successor = driver_that_panics(&new, &panics, 2);
    let _entered = successor.handle().enter();
    drop(gone);
    panics.on();
    catch_unwind(AssertUnwindSafe(|| poll(&task, &mut queue))).unwrap_err();
    panics.off();
    assert_eq!(poll(&task, &mut queue), Pending);
    assert_eq!(queue.deadline(&key), successor.handle().now() + secs(10));
    new.set(secs(1010));
    assert_eq!(due(&mut queue), ['a']);
}

/// The clock tells whether the next value is due already.
#[test]
fn a_clock_that_panics_when_a_value_is_removed_does_not_lose_it() {
    let dial = Dial::default();
    let (mut driver, panics) = dial.driver_that_may_panic();
    let _entered = driver.handle().enter();
    let (task, mut queue) = (Task::new(), DelayQueue::new());
    let key = queue.insert('a', ms(10));
    queue.insert('b', ms(20));
    assert_eq!(poll(&task, &mut queue), Pending);
    panics.store(1, Ordering::SeqCst);
    assert_eq!(queue.remove(&key).into_inner(), 'a');
    assert_eq!(panics.load(Ordering::SeqCst), 0);
    // The task is woken in time for the other one.
    dial.set(ms(20));
    driver.turn();
    assert_eq!((task.wakes(), due(&mut queue)), (1, vec!['b']));
}

/// Counts the readings of a clock since it was switched on.
#[derive(Clone, Default)]
struct Switch(Arc<AtomicU64>);

impl Switch {
    fn on(&self) {
        self.0.store(1, Ordering::SeqCst);
    }

    fn off(&self) {
        self.0.store(0, Ordering::SeqCst);
    }
}

/// Makes a driver on a clock that panics at the reading of this number after it was switched on.
fn driver_that_panics(dial: &Dial, switch: &Switch, at: u64) -> Driver<()> {
    let (clock, readings) = (dial.clock(), switch.0.clone());
    let epoch = clock.now();
    let clock = Clock::custom(move || {
        if readings.load(Ordering::SeqCst) > 0 {
            let number = readings.fetch_add(1, Ordering::SeqCst);
            assert_ne!(number, at, "the clock's own panic");
        }
        clock.now() - epoch
    });
    Driver::builder().clock(clock).build_with_unpark(|| {})
}

#[test]
fn a_value_that_is_due_when_the_driver_is_dropped_is_returned_at_once() {
    let dial = Dial::default();
    let driver = dial.driver();
    let mut queue = DelayQueue::new();
    let entered = driver.handle().enter();
    queue.insert('a', ms(10));
    queue.insert('b', ms(20));
    queue.insert('c', ms(30));
    drop(entered);
    drop(driver);
    dial.set(ms(20));
    assert_eq!(due(&mut queue), ['a', 'b']);
    assert_eq!(queue.len(), 1);
}

#[test]
fn on_a_manual_clock_values_stay_when_the_driver_is_dropped() {
    let (clock, driver) = manual();
    let (_other_clock, other) = manual();
    let (task, mut queue) = (Task::new(), DelayQueue::new());
    let key = {
        let _entered = driver.handle().enter();
        queue.insert('a', ms(10));
        queue.insert('b', ms(20))
    };
    assert_eq!(poll(&task, &mut queue), Pending);
    drop(driver);
    assert_eq!(task.wakes(), 1);
    let _entered = other.handle().enter();
    assert_eq!(poll(&task, &mut queue), Pending);
    clock.advance(ms(10));
    assert_eq!(due(&mut queue), ['a']);
    assert_eq!(queue.deadline(&key), clock.now() + ms(10));
    queue.remove(&key);
    // No deadline on the old clock is left, so the queue starts over.
    queue.insert('c', ms(5));
    assert_eq!(poll(&task, &mut queue), Pending);
    assert_eq!(other.handle().armed(), 1);
}

#[test]
fn an_empty_queue_starts_over_where_the_old_driver_is_gone() {
    let mut queue = DelayQueue::new();
    for _ in 0..3 {
        let (clock, driver) = manual();
        let _entered = driver.handle().enter();
        let key = queue.insert((), ms(10));
        assert_eq!(queue.deadline(&key), clock.now() + ms(10));
        clock.advance(ms(10));
        assert_eq!(due(&mut queue), [()]);
    }
}

/// A task on an executor whose driver ends goes on with the process-wide thread.
#[test]
#[cfg(all(feature = "fallback", feature = "rt"))]
fn values_outlive_an_executor() {
    let (first, rest) = watched(|| {
        let mut queue = DelayQueue::new();
        let first = reveille::rt::block_on(async {
            for i in 0..4 {
                queue.insert(i, ms(1 + i));
            }
            queue.next().await.map(|expired| expired.into_inner())
        });
        let rest: Vec<_> = pollster::block_on(queue.map(|expired| expired.into_inner()).collect());
        (first, rest)
    });
    assert_eq!((first, rest), (Some(0), vec![1, 2, 3]));
}

/// In real time, no value is early, and all come in order, while another thread turns the driver.
#[test]
fn a_driver_on_another_thread_wakes_in_order_and_never_early() {
    let taken = watched(|| {
        let timers = DriverThread::new().expect("a thread");
        let _entered = timers.handle().enter();
        let mut queue = DelayQueue::new();
        for i in [3, 1, 4, 1, 5, 9, 2, 6] {
            queue.insert(i, Duration::from_micros(500 * i));
        }
        pollster::block_on(async {
            let mut taken = Vec::new();
            while let Some(expired) = queue.next().await {
                assert!(timers.handle().now() >= expired.deadline());
                taken.push(expired.into_inner());
            }
            taken
        })
    });
    assert_eq!(taken, [1, 1, 2, 3, 4, 5, 6, 9]);
}

/// A poll reads the clock once, whether a value is due or not.
#[test]
fn a_poll_reads_the_clock_once() {
    static READS: AtomicU64 = AtomicU64::new(0);
    let clock =
        reveille::Clock::custom(|| Duration::from_secs(READS.fetch_add(1, Ordering::SeqCst)));
    let driver = Driver::builder().clock(clock).build(ThreadPark::new());
    let _entered = driver.handle().enter();
    let (task, mut queue) = (Task::new(), DelayQueue::new());
    for i in 0..3 {
        queue.insert((), Duration::from_secs(10 + 10 * i));
    }
    let reads = |queue: &mut DelayQueue<()>| {
        let before = READS.load(Ordering::SeqCst);
        let poll = poll(&task, queue);
        (poll.is_ready(), READS.load(Ordering::SeqCst) - before)
    };
    assert_eq!(reads(&mut queue), (false, 1));
    READS.store(100, Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(reads(&mut queue), (true, 1));
    }
}

/// A task that takes value after value must not keep other tasks from running.
#[test]
#[cfg(feature = "tokio")]
fn on_a_tokio_runtime_a_storm_of_due_values_yields() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let (at_once, rest) = runtime.block_on(async {
        let mut queue = DelayQueue::new();
        for _ in 0..1000 {
            queue.insert((), Duration::ZERO);
        }
        let mut at_once = 0;
        std::future::poll_fn(|cx| {
            while let Ready(Some(_)) = queue.poll_expired(cx) {
                at_once += 1;
            }
            Ready(())
        })
        .await;
        (at_once, queue.count().await)
    });
    assert!((1..1000).contains(&at_once), "{at_once}");
    assert_eq!(at_once + rest, 1000);
}

//! Tests of which task a queue wakes, when, and how often.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Context;
use std::task::Poll::{Pending, Ready};

use reveille::time::{DelayQueue, Duration};

use crate::support::{Dial, OnDrop, Task, manual, ms, owning, secs, waker};
use crate::{due, poll};

/// Makes a queue on a manual clock, with one value and a waiting task.
macro_rules! waiting {
    ($clock:ident, $driver:ident, $task:ident, $queue:ident, $key:ident, $after:expr) => {
        let ($clock, $driver) = manual();
        let _entered = $driver.handle().enter();
        let ($task, mut $queue) = (Task::new(), DelayQueue::new());
        let $key = $queue.insert("first", $after);
        assert_eq!(poll(&$task, &mut $queue), Pending);
    };
}

#[test]
fn a_task_is_woken_when_a_value_comes_due_and_not_in_between() {
    waiting!(clock, driver, task, queue, _key, ms(1_000_000));
    queue.insert("later", ms(2_000_000));
    for _ in 0..999 {
        clock.advance(secs(1));
        assert_eq!(task.wakes(), 0, "not woken on the way, as by a timer wheel");
    }
    clock.advance(secs(1));
    assert_eq!(task.wakes(), 1);
    assert_eq!(poll(&task, &mut queue), Ready(Some("first")));
    assert_eq!(poll(&task, &mut queue), Pending);
    clock.advance(secs(1000));
    assert_eq!(task.wakes(), 2);
}

#[test]
fn a_value_that_becomes_the_earliest_wakes_once_and_another_does_not() {
    waiting!(clock, driver, task, queue, _key, ms(200));
    queue.insert("equal", ms(200));
    queue.insert("later", ms(300));
    queue.insert("never", Duration::MAX);
    assert_eq!(task.wakes(), 0);
    queue.insert("earlier", ms(100));
    queue.insert("earlier yet", ms(50));
    assert_eq!(task.wakes(), 1, "it was woken already, and has not polled");
    assert_eq!(poll(&task, &mut queue), Pending);
    clock.advance(ms(50));
    assert_eq!(task.wakes(), 2);
    assert_eq!(due(&mut queue), ["earlier yet"]);
}

#[test]
fn a_value_that_is_past_wakes_at_once() {
    waiting!(clock, driver, task, queue, _key, ms(200));
    clock.advance(ms(80));
    queue.insert_at("past", clock.now() - ms(40));
    assert_eq!(task.wakes(), 1);
    assert_eq!(poll(&task, &mut queue), Ready(Some("past")));
    assert_eq!(poll(&task, &mut queue), Pending);
}

#[test]
fn the_first_value_wakes_a_task_that_found_the_queue_empty() {
    let (_clock, driver) = manual();
    let _entered = driver.handle().enter();
    for timeout in [ms(10), Duration::MAX] {
        let (task, mut queue) = (Task::new(), DelayQueue::new());
        assert_eq!(poll(&task, &mut queue), Ready(None));
        queue.insert((), timeout);
        assert_eq!(task.wakes(), 1, "{timeout:?}");
        assert_eq!(poll(&task, &mut queue), Pending);
    }
}

#[test]
fn removal_of_the_last_value_wakes_and_yields_none() {
    waiting!(clock, driver, task, queue, key, ms(10));
    let never = queue.insert("never", Duration::MAX);
    queue.remove(&key);
    assert_eq!(task.wakes(), 0, "a value is left");
    queue.remove(&never);
    assert_eq!(task.wakes(), 1);
    assert_eq!(poll(&task, &mut queue), Ready(None));
    clock.advance(ms(10));
    assert_eq!(task.wakes(), 1, "nothing is left armed");
}

#[test]
fn clearing_wakes_and_yields_none() {
    waiting!(clock, driver, task, queue, _key, ms(10));
    queue.insert("second", ms(20));
    queue.clear();
    assert_eq!(task.wakes(), 1);
    assert_eq!(driver.handle().armed(), 0);
    assert_eq!(poll(&task, &mut queue), Ready(None));
    queue.clear();
    assert_eq!(task.wakes(), 1, "it was empty already");
    clock.advance(ms(10));
    assert_eq!(task.wakes(), 1);
}

#[test]
fn removal_of_the_first_postpones_the_wake_to_the_second() {
    waiting!(clock, driver, task, queue, key, ms(10));
    let second = queue.insert("second", ms(20));
    queue.insert("third", ms(30));
    queue.remove(&key);
    clock.advance(ms(19));
    assert_eq!(task.wakes(), 0);
    queue.remove(&second);
    clock.advance(ms(10));
    assert_eq!(task.wakes(), 0);
    clock.advance(ms(1));
    assert_eq!(task.wakes(), 1);
    assert_eq!(poll(&task, &mut queue), Ready(Some("third")));
}

#[test]
fn reset_to_later_wakes_at_the_new_deadline_only() {
    waiting!(clock, driver, task, queue, key, ms(100));
    clock.advance(ms(80));
    queue.reset(&key, ms(40));
    clock.advance(ms(39));
    assert_eq!(task.wakes(), 0);
    queue.reset(&key, Duration::MAX);
    clock.advance(secs(60));
    assert_eq!(task.wakes(), 0);
    queue.reset(&key, ms(5));
    assert_eq!(task.wakes(), 1, "a deadline is earlier than never");
}

#[test]
fn reset_to_earlier_or_past_wakes_at_once() {
    waiting!(clock, driver, task, queue, key, ms(1000));
    let second = queue.insert("second", ms(2000));
    queue.reset(&key, ms(500));
    assert_eq!(task.wakes(), 1);
    assert_eq!(poll(&task, &mut queue), Pending);
    queue.reset_at(&second, clock.now() - ms(100));
    assert_eq!(task.wakes(), 2);
    assert_eq!(poll(&task, &mut queue), Ready(Some("second")));
    assert_eq!(poll(&task, &mut queue), Pending);
    clock.advance(ms(500));
    assert_eq!(task.wakes(), 3);
    assert_eq!(poll(&task, &mut queue), Ready(Some("first")));
}

#[test]
fn a_reset_that_does_not_change_the_first_deadline_does_not_wake() {
    waiting!(clock, driver, task, queue, key, ms(10));
    let second = queue.insert("second", ms(10));
    let third = queue.insert("third", ms(20));
    queue.reset(&key, ms(10));
    assert_eq!(queue.peek(), Some(second));
    queue.reset(&third, ms(15));
    assert_eq!(task.wakes(), 0);
    clock.advance(ms(10));
    assert_eq!(task.wakes(), 1);
    assert_eq!(due(&mut queue), ["second", "first"]);
}

#[test]
fn a_change_that_reveals_a_due_value_wakes_without_a_turn() {
    let dial = Dial::default();
    let driver = dial.driver();
    let _entered = driver.handle().enter();
    let (task, mut queue) = (Task::new(), DelayQueue::new());
    let key = queue.insert("first", ms(10));
    queue.insert("second", ms(20));
    assert_eq!(poll(&task, &mut queue), Pending);
    dial.set(ms(30));
    queue.remove(&key);
    assert_eq!(task.wakes(), 1);
    assert_eq!(poll(&task, &mut queue), Ready(Some("second")));

    let key = queue.insert("third", ms(10));
    assert_eq!(poll(&task, &mut queue), Pending);
    dial.set(ms(60));
    queue.reset_at(&key, driver.handle().now() - ms(5));
    assert_eq!(task.wakes(), 2, "later than before, and past");
    assert_eq!(poll(&task, &mut queue), Ready(Some("third")));
}

#[test]
fn the_task_that_polled_last_is_woken() {
    waiting!(clock, driver, first, queue, _key, ms(10));
    let second = Task::new();
    assert_eq!(poll(&second, &mut queue), Pending);
    assert_eq!(first.held(), 0);
    queue.insert("earlier", ms(5));
    assert_eq!((first.wakes(), second.wakes()), (0, 1));
    assert_eq!(poll(&second, &mut queue), Pending);
    clock.advance(ms(5));
    assert_eq!((first.wakes(), second.wakes()), (0, 2));
}

#[test]
fn a_poll_that_returns_a_value_does_not_register_the_task() {
    waiting!(clock, driver, task, queue, _key, ms(10));
    assert!(task.held() > 0);
    clock.advance(ms(10));
    assert_eq!(poll(&task, &mut queue), Ready(Some("first")));
    assert_eq!((task.held(), driver.handle().armed()), (0, 0));
    queue.insert("next", Duration::ZERO);
    assert_eq!(task.wakes(), 1);
}

#[test]
fn drop_of_a_queue_releases_its_task() {
    waiting!(clock, driver, task, queue, _key, ms(10));
    drop(queue);
    assert_eq!((task.held(), driver.handle().armed()), (0, 0));
    clock.advance(ms(10));
    assert_eq!(task.wakes(), 0);
}

#[test]
fn all_values_share_one_timer() {
    waiting!(clock, driver, task, queue, _key, ms(10));
    for i in 0..100 {
        queue.insert("more", ms(i));
        assert!(poll(&task, &mut queue).is_pending() || i == 0);
    }
    assert_eq!(driver.handle().armed(), 1);
    clock.advance(ms(100));
    assert_eq!(due(&mut queue).len(), 100);
    assert_eq!(driver.handle().armed(), 0);
}

#[test]
fn polling_again_changes_nothing() {
    waiting!(clock, driver, task, queue, _key, ms(10));
    let held = task.held();
    for _ in 0..10 {
        assert_eq!(poll(&task, &mut queue), Pending);
    }
    assert_eq!((task.wakes(), task.held()), (0, held));
    clock.advance(ms(10));
    assert_eq!(task.wakes(), 1);
}

#[test]
fn a_waker_that_panics_leaves_the_queue_consistent() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let mut queue = DelayQueue::new();
    let key = queue.insert('a', ms(10));
    let bad = waker(|| panic!("bad waker"));
    let poll_badly = |queue: &mut DelayQueue<char>| {
        assert!(
            queue
                .poll_expired(&mut Context::from_waker(&bad))
                .is_pending()
        );
    };
    poll_badly(&mut queue);
    assert!(catch_unwind(AssertUnwindSafe(|| queue.insert('b', ms(5)))).is_err());
    poll_badly(&mut queue);
    assert!(catch_unwind(AssertUnwindSafe(|| queue.reset(&key, ms(1)))).is_err());
    assert_eq!((queue.len(), queue.peek()), (2, Some(key)));
    poll_badly(&mut queue);
    assert!(catch_unwind(AssertUnwindSafe(|| queue.clear())).is_err());
    clock.advance(ms(5));
    assert_eq!(due(&mut queue), ['a', 'b']);
}

/// A removal wakes the task if the queue is empty then.
#[test]
fn a_waker_that_panics_when_a_value_is_removed_does_not_lose_it() {
    let (_clock, driver) = manual();
    let _entered = driver.handle().enter();
    for wait in [ms(10), Duration::MAX] {
        let mut queue = DelayQueue::new();
        let key = queue.insert('a', wait);
        let bad = waker(|| panic!("a waker's own panic"));
        let mut cx = Context::from_waker(&bad);
        assert!(queue.poll_expired(&mut cx).is_pending());
        assert_eq!(queue.remove(&key).into_inner(), 'a');
        assert!(queue.is_empty());
    }
}

/// It is dropped by the poll that finds the value due, which then was lost.
#[test]
fn a_waker_that_panics_when_it_is_dropped_loses_no_value() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let mut queue = DelayQueue::new();
    queue.insert("first", ms(10));
    let bad = owning(OnDrop(|| panic!("a waker's own panic")));
    let mut cx = Context::from_waker(&bad);
    assert!(queue.poll_expired(&mut cx).is_pending());
    // The timer's clone is gone once it has fired; the queue's is the last one.
    clock.advance(ms(10));
    drop(bad);
    let task = Task::new();
    catch_unwind(AssertUnwindSafe(|| poll(&task, &mut queue))).unwrap_err();
    assert_eq!(poll(&task, &mut queue), Ready(Some("first")));
}

/// What was inserted for a duration waits for all of it once the queue has a driver.
#[test]
#[cfg(feature = "fallback")]
fn a_waker_that_panics_does_not_end_the_wait_of_a_value_without_a_driver() {
    for by_reset in [false, true] {
        let mut queue = DelayQueue::new();
        let key = by_reset.then(|| queue.insert("first", Duration::MAX));
        let bad = waker(|| panic!("a waker's own panic"));
        let mut cx = Context::from_waker(&bad);
        assert_eq!(queue.poll_expired(&mut cx).is_pending(), by_reset);
        let change = catch_unwind(AssertUnwindSafe(|| match &key {
            Some(key) => queue.reset(key, secs(10)),
            None => _ = queue.insert("first", secs(10)),
        }));
        change.unwrap_err();
        let (clock, driver) = manual();
        let _entered = driver.handle().enter();
        let task = Task::new();
        assert_eq!(poll(&task, &mut queue), Pending);
        clock.advance(secs(10) - Duration::from_nanos(1));
        assert_eq!((task.wakes(), poll(&task, &mut queue)), (0, Pending));
        clock.advance(Duration::from_nanos(1));
        assert_eq!(poll(&task, &mut queue), Ready(Some("first")));
    }
}

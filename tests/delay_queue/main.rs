//! Tests of `DelayQueue`.
//!
//! This file tests which values are returned, and keys. Wake-ups are tested in `wakes.rs`, drivers
//! in `drivers.rs`, and random sequences of calls in `model.rs`.

#![cfg(not(loom))]

mod drivers;
mod model;
#[path = "../support/mod.rs"]
mod support;
mod wakes;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::Poll;
use std::task::Poll::{Pending, Ready};

use futures::{FutureExt, StreamExt};
use reveille::time::delay_queue::{Expired, Key};
use reveille::time::{DelayQueue, Duration, Instant};

use support::{Dial, OnDrop, Task, manual, ms, panic_of, secs};

fn poll<T>(task: &Task, queue: &mut DelayQueue<T>) -> Poll<Option<T>> {
    let poll = queue.poll_expired(&mut task.context());
    poll.map(|expired| expired.map(Expired::into_inner))
}

/// Takes out all values that are due.
fn due<T>(queue: &mut DelayQueue<T>) -> Vec<T> {
    let task = Task::new();
    std::iter::from_fn(|| match poll(&task, queue) {
        Ready(expired) => expired,
        Pending => None,
    })
    .collect()
}

#[test]
fn is_send_and_sync_if_its_values_are() {
    fn is_send_and_sync<T: Send + Sync + Unpin + 'static>() {}
    fn is_unpin<T: Unpin>() {}
    is_send_and_sync::<DelayQueue<u8>>();
    is_send_and_sync::<Expired<u8>>();
    is_send_and_sync::<Key>();
    is_unpin::<DelayQueue<std::marker::PhantomPinned>>();
}

#[test]
fn values_are_returned_by_deadline_and_equal_ones_in_insertion_order() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let mut queue = DelayQueue::new();
    for (value, at) in [("d", 20), ("a", 10), ("b", 10), ("e", 30), ("c", 10)] {
        queue.insert(value, ms(at));
    }
    assert!(due(&mut queue).is_empty());
    clock.advance(ms(10));
    assert_eq!(due(&mut queue), ["a", "b", "c"]);
    clock.advance(ms(20));
    assert_eq!(due(&mut queue), ["d", "e"]);
    assert_eq!(poll(&Task::new(), &mut queue), Ready(None));
}

#[test]
fn a_value_is_returned_at_its_nanosecond_and_not_before() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let (task, mut queue) = (Task::new(), DelayQueue::new());
    let deadline = clock.now() + Duration::from_nanos(1_234_567);
    let key = queue.insert_at("value", deadline);
    clock.advance(Duration::from_nanos(1_234_566));
    assert_eq!(poll(&task, &mut queue), Pending);
    clock.advance(Duration::from_nanos(1));
    match queue.poll_expired(&mut task.context()) {
        Ready(Some(expired)) => {
            assert_eq!((expired.key(), expired.deadline()), (key, deadline));
            assert_eq!(expired.get_ref(), &"value");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn zero_and_the_past_are_due_at_once() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    clock.advance(secs(5));
    let mut queue = DelayQueue::new();
    queue.insert("zero", Duration::ZERO);
    queue.insert_at("long ago", clock.now() - Duration::MAX);
    queue.insert_at("a second ago", clock.now() - secs(1));
    assert_eq!(due(&mut queue), ["long ago", "a second ago", "zero"]);
}

#[test]
fn a_value_that_never_comes_due_stays_and_keeps_the_queue_pending() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let (task, mut queue) = (Task::new(), DelayQueue::new());
    let never = queue.insert("never", Duration::MAX);
    let far = queue.insert_at("far", clock.now() + secs(u64::MAX));
    queue.insert("soon", ms(1));
    assert_eq!(queue.deadline(&never), clock.now() + Duration::MAX);
    clock.advance(secs(10_000_000));
    assert_eq!(due(&mut queue), ["soon"]);
    assert_eq!((queue.len(), queue.peek()), (2, None));
    assert_eq!(poll(&task, &mut queue), Pending);
    queue.reset(&never, ms(1));
    clock.advance(ms(1));
    assert_eq!(due(&mut queue), ["never"]);
    assert_eq!(queue.remove(&far).into_inner(), "far");
    assert_eq!(poll(&task, &mut queue), Ready(None));
}

#[test]
fn a_value_whose_deadline_has_passed_is_due_without_a_turn_of_the_driver() {
    let dial = Dial::default();
    let driver = dial.driver();
    let _entered = driver.handle().enter();
    let (task, mut queue) = (Task::new(), DelayQueue::new());
    let first = queue.insert(1, ms(10));
    queue.insert(2, ms(20));
    assert_eq!(poll(&task, &mut queue), Pending);
    dial.set(ms(25));
    // The timer, armed for the first deadline, is moved to the second, which has passed as well.
    queue.remove(&first);
    assert_eq!(poll(&task, &mut queue), Ready(Some(2)));

    // The timer is moved before its deadline, which has passed by the next poll.
    let first = queue.insert(3, ms(10));
    queue.insert(4, ms(20));
    assert_eq!(poll(&task, &mut queue), Pending);
    queue.remove(&first);
    dial.set(ms(50));
    assert_eq!(poll(&task, &mut queue), Ready(Some(4)));

    let last = queue.insert(5, ms(10));
    assert_eq!(poll(&task, &mut queue), Pending);
    dial.set(ms(70));
    queue.reset_at(&last, driver.handle().now() - ms(1));
    assert_eq!(poll(&task, &mut queue), Ready(Some(5)));
}

#[test]
fn an_empty_queue_yields_none_and_goes_on() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let mut queue = DelayQueue::new();
    for round in 0..3 {
        assert!(queue.next().now_or_never().expect("ready").is_none());
        queue.insert(round, ms(1));
        assert!(
            queue.next().now_or_never().is_none(),
            "dropped while pending"
        );
        clock.advance(ms(1));
        let expired = queue.next().now_or_never().expect("due").expect("a value");
        assert_eq!(expired.into_inner(), round);
    }
}

#[test]
fn a_reset_value_is_returned_at_its_new_deadline_after_its_equals() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let mut queue = DelayQueue::new();
    let [a, b, c] = ['a', 'b', 'c'].map(|value| queue.insert(value, ms(10)));
    queue.reset(&a, ms(10));
    queue.reset(&b, ms(30));
    queue.reset_at(&c, clock.now() + ms(5));
    assert_eq!(queue.peek(), Some(c));
    clock.advance(ms(5));
    assert_eq!(due(&mut queue), ['c']);
    queue.insert('d', ms(5));
    clock.advance(ms(5));
    assert_eq!(due(&mut queue), ['a', 'd']);
    clock.advance(ms(20));
    assert_eq!(due(&mut queue), ['b']);
}

#[test]
fn reset_of_a_value_inserted_in_the_past_puts_it_off() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    clock.advance(secs(1));
    let mut queue = DelayQueue::new();
    let key = queue.insert_at((), clock.now() - ms(100));
    queue.reset(&key, ms(100));
    queue.reset(&key, ms(50));
    assert_eq!(due(&mut queue), []);
    clock.advance(ms(50));
    assert_eq!(due(&mut queue), [()]);
}

#[test]
fn deadlines_are_exact_and_returned_with_removed_values() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let mut queue = DelayQueue::new();
    let at = clock.now() + Duration::from_nanos(3);
    let key = queue.insert_at(7, at);
    assert_eq!(queue.deadline(&key), at);
    queue.reset_at(&key, at + ms(1));
    *queue.get_mut(&key).expect("it waits") += 1;
    assert_eq!(queue.get(&key), Some(&8));
    let mut removed = queue.remove(&key);
    *removed.get_mut() += 1;
    assert_eq!((removed.key(), removed.deadline()), (key, at + ms(1)));
    assert_eq!(removed.into_inner(), 9);
}

#[test]
fn peek_names_the_value_that_the_next_poll_returns() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let (task, mut queue) = (Task::new(), DelayQueue::new());
    assert_eq!(queue.peek(), None);
    let keys: Vec<_> = [30, 10, 20, 10].map(|at| queue.insert((), ms(at))).into();
    clock.advance(ms(15));
    let order = [1, 3, 2, 0].map(|at| keys[at]);
    for key in order {
        assert_eq!(queue.peek(), Some(key));
        clock.advance(ms(5));
        match queue.poll_expired(&mut task.context()) {
            Ready(Some(expired)) => assert_eq!(expired.key(), key),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(queue.peek(), None);
}

#[test]
fn a_stale_key_never_names_a_value_again() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let mut queue = DelayQueue::new();
    let removed = queue.insert('r', ms(1));
    queue.remove(&removed);
    let expired = queue.insert('e', ms(1));
    clock.advance(ms(1));
    assert_eq!(due(&mut queue), ['e']);
    let cleared = queue.insert('c', ms(1));
    queue.clear();
    let kept = queue.insert('k', ms(1));
    queue.compact();
    for key in [removed, expired, cleared] {
        assert!(key != kept && queue.get(&key).is_none() && queue.get_mut(&key).is_none());
        assert!(queue.try_remove(&key).is_none());
    }
    assert_eq!(queue.try_remove(&kept).map(Expired::into_inner), Some('k'));
}

#[test]
fn an_unknown_key_panics() {
    fn stale(call: fn(&mut DelayQueue<()>, &Key)) -> (String, String) {
        panic_of(move || {
            let mut queue = DelayQueue::new();
            let key = queue.insert((), ms(1));
            queue.remove(&key);
            call(&mut queue, &key);
        })
    }
    let calls: [fn(&mut DelayQueue<()>, &Key); 4] = [
        |queue, key| queue.remove(key).into_inner(),
        |queue, key| queue.reset(key, ms(1)),
        |queue, key| queue.reset_at(key, Instant::now()),
        |queue, key| assert!(queue.deadline(key) > Instant::now()),
    ];
    for call in calls {
        let (message, file) = stale(call);
        assert!(
            message.starts_with("Key(1) names no value of this queue"),
            "{message}"
        );
        assert!(message.contains("try_remove"), "{message}");
        assert_eq!(file, file!());
    }
    // No value was ever inserted into this queue.
    let key = DelayQueue::new().insert((), ms(1));
    let (message, file) = panic_of(move || DelayQueue::<()>::new().reset(&key, ms(1)));
    assert_eq!((&message[..3], file.as_str()), ("Key", file!()));
}

#[test]
fn a_refused_reset_changes_nothing() {
    let mut queue = DelayQueue::new();
    let stale = queue.insert('a', ms(1));
    queue.remove(&stale);
    let key = queue.insert('b', secs(60));
    let before = queue.deadline(&key);
    assert!(catch_unwind(AssertUnwindSafe(|| queue.reset(&stale, ms(1)))).is_err());
    assert_eq!((queue.peek(), queue.deadline(&key)), (Some(key), before));
}

#[test]
fn capacity_is_what_was_reserved_until_compacted() {
    let mut queue = DelayQueue::with_capacity(10);
    assert_eq!((queue.capacity(), queue.len()), (10, 0));
    let keys: Vec<_> = (0..10).map(|i| queue.insert(i, secs(60 + i))).collect();
    assert_eq!(queue.capacity(), 10);
    queue.reserve(1000);
    assert!(queue.capacity() >= 1010);
    for key in &keys[..7] {
        queue.remove(key);
    }
    queue.compact();
    assert_eq!(
        (queue.capacity(), queue.len(), queue.peek()),
        (3, 3, Some(keys[7]))
    );
    queue.clear();
    assert_eq!((queue.capacity(), queue.len()), (3, 0));
    queue.shrink_to_fit();
    assert_eq!(queue.capacity(), 0);
}

#[test]
fn reserving_more_than_fit_panics() {
    let (message, file) = panic_of(|| DelayQueue::<()>::new().reserve(usize::MAX));
    assert!(message.contains("at most 4294967295"), "{message}");
    assert_eq!(file, file!());
    let (_, file) = panic_of(|| DelayQueue::<()>::with_capacity(usize::MAX));
    assert_eq!(file, file!());
}

#[test]
fn keys_stay_valid_when_the_queue_is_compacted() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let mut queue = DelayQueue::new();
    let keys: Vec<_> = (0..6)
        .map(|i| queue.insert(i, ms(10 * (1 + i / 2))))
        .collect();
    clock.advance(ms(10));
    assert_eq!(due(&mut queue), [0, 1]);
    queue.compact();
    let new = queue.insert(6, ms(10));
    queue.reset(&keys[3], ms(20));
    queue.compact();
    assert_eq!(queue.remove(&keys[4]).into_inner(), 4);
    clock.advance(ms(10));
    assert_eq!(queue.peek(), Some(keys[2]));
    assert_eq!(due(&mut queue), [2, 6]);
    assert!(queue.try_remove(&new).is_none() && queue.try_remove(&keys[4]).is_none());
    clock.advance(ms(10));
    assert_eq!(due(&mut queue), [5, 3]);
}

#[test]
fn values_are_dropped_by_the_call_that_drops_them() {
    let value = Rc::new(());
    let mut queue = DelayQueue::new();
    for _ in 0..3 {
        queue.insert(Rc::clone(&value), secs(60));
    }
    queue.clear();
    assert_eq!(Rc::strong_count(&value), 1);
    queue.insert(Rc::clone(&value), secs(60));
    drop(queue);
    assert_eq!(Rc::strong_count(&value), 1);
}

#[test]
fn a_value_whose_drop_panics_leaves_an_empty_queue() {
    let mut queue = DelayQueue::new();
    let key = queue.insert(OnDrop(|| panic!("loud")), ms(1));
    assert!(catch_unwind(AssertUnwindSafe(|| queue.clear())).is_err());
    assert!(queue.is_empty() && queue.peek().is_none() && queue.get(&key).is_none());
    assert!(matches!(
        queue.poll_expired(&mut Task::new().context()),
        Ready(None)
    ));
}

#[test]
fn a_value_may_use_timers_as_it_is_dropped() {
    let value = || {
        OnDrop(|| {
            DelayQueue::new().insert((), ms(1));
        })
    };
    let mut queue = DelayQueue::new();
    queue.insert(value(), secs(60));
    queue.clear();
    queue.insert(value(), secs(60));
}

#[test]
fn debug_output_says_how_many_values_wait() {
    let mut queue = DelayQueue::default();
    queue.insert((), secs(60));
    assert!(
        format!("{queue:?}").starts_with("DelayQueue { len: 1, first: Some(First { key: Key(1)")
    );
}

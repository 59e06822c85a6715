//! Tests of `TimerQueue`.

use std::collections::{BTreeMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use proptest::prelude::*;
use reveille::time::{Duration, Instant};
use reveille::{Key, TimerQueue};

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Takes out all timers that are due at `now`.
fn due<T>(queue: &mut TimerQueue<T>, now: Instant) -> Vec<T> {
    std::iter::from_fn(|| queue.pop_due(now))
        .map(|due| due.value)
        .collect()
}

#[test]
fn the_textbook_case_100_200_150() {
    let start = Instant::now();
    let mut queue = TimerQueue::new();
    for (name, at) in [('A', 200), ('B', 100), ('C', 150)] {
        queue.insert(start + millis(at), name);
    }
    assert_eq!(queue.next_deadline(), Some(start + millis(100)));
    let first = queue.pop_due(start + millis(100)).expect("B is due");
    assert_eq!((first.value, first.deadline), ('B', start + millis(100)));
    assert_eq!(
        queue.next_deadline(),
        Some(start + millis(150)),
        "C is the root"
    );
    assert_eq!(due(&mut queue, start + millis(200)), ['C', 'A']);
}

#[test]
fn short_timer_behind_a_long_one_comes_first() {
    let start = Instant::now();
    let mut queue = TimerQueue::new();
    queue.insert(start + millis(3_600_000), "long");
    queue.insert(start + millis(1), "short");
    assert_eq!(queue.next_deadline(), Some(start + millis(1)));
    assert_eq!(due(&mut queue, start + millis(1)), ["short"]);
}

#[test]
fn a_deadline_of_exactly_now_is_due() {
    let now = Instant::now();
    let mut queue = TimerQueue::new();
    queue.insert(now, "now");
    queue.insert(now + Duration::from_nanos(1), "later");
    assert_eq!(due(&mut queue, now), ["now"]);
    assert_eq!(due(&mut queue, now + Duration::from_nanos(1)), ["later"]);
}

#[test]
fn a_later_timer_never_hides_an_earlier_one() {
    let start = Instant::now();
    let mut queue = TimerQueue::new();
    for at in (0..2000).rev() {
        queue.insert(start + millis(at), at);
        queue.insert(start + millis(10_000 + at), 10_000 + at);
        assert_eq!(queue.next_deadline(), Some(start + millis(at)));
    }
    assert!(
        due(&mut queue, start + millis(1999))
            .into_iter()
            .eq(0..2000)
    );
}

#[test]
fn equal_deadlines_leave_in_insertion_order() {
    let now = Instant::now();
    let mut queue = TimerQueue::new();
    for i in 0..100_000 {
        queue.insert(now, i);
    }
    assert!(due(&mut queue, now).into_iter().eq(0..100_000));
}

#[test]
fn a_reset_to_the_same_deadline_goes_to_the_end_of_its_equals() {
    let now = Instant::now();
    let mut queue = TimerQueue::new();
    let first = queue.insert(now, 'a');
    queue.insert(now, 'b');
    assert!(queue.reset(first, now));
    queue.insert(now, 'c');
    assert_eq!(due(&mut queue, now), ['b', 'a', 'c']);
}

#[test]
fn a_stale_key_is_refused() {
    let now = Instant::now();
    let mut queue = TimerQueue::new();
    let removed = queue.insert(now, 'r');
    queue.remove(removed);
    let fired = queue.insert(now, 'f');
    assert_eq!(queue.pop_due(now).map(|due| due.key), Some(fired));
    let cleared = queue.insert(now, 'c');
    queue.clear();
    let armed = queue.insert(now, 'x');
    for stale in [removed, fired, cleared] {
        assert_ne!(stale, armed);
        assert_eq!((queue.remove(stale), queue.get(stale)), (None, None));
        assert_eq!(queue.get_mut(stale), None);
        assert!(!queue.reset(stale, now) && !queue.contains(stale));
        assert_eq!(queue.deadline(stale), None);
    }
    assert_eq!(queue.get(armed), Some(&'x'));
}

#[test]
fn a_key_never_names_another_timer() {
    let now = Instant::now();
    let mut queue = TimerQueue::new();
    let mut seen = HashSet::new();
    for i in 0..10_000 {
        let key = queue.insert(now + millis(i % 7), ());
        assert!(seen.insert(key));
        if i % 3 != 0 {
            queue.remove(key);
        }
    }
}

#[test]
fn values_are_dropped_by_the_call_that_removes_them() {
    let now = Instant::now();
    let value = Rc::new(());
    let mut queue = TimerQueue::new();
    let keys: Vec<_> = (0..6)
        .map(|i| queue.insert(now + millis(i), Rc::clone(&value)))
        .collect();
    assert_eq!(Rc::strong_count(&value), 7);
    drop(queue.remove(keys[3]));
    assert_eq!(Rc::strong_count(&value), 6);
    drop(queue.pop_due(now));
    assert_eq!(Rc::strong_count(&value), 5);
    queue.clear();
    assert_eq!(Rc::strong_count(&value), 1);
    queue.insert(now, Rc::clone(&value));
    drop(queue);
    assert_eq!(Rc::strong_count(&value), 1);
}

#[test]
fn a_value_whose_drop_panics_leaves_an_empty_queue() {
    struct Loud(bool);
    impl Drop for Loud {
        fn drop(&mut self) {
            assert!(!self.0, "loud");
        }
    }
    let now = Instant::now();
    let mut queue = TimerQueue::new();
    let keys: Vec<_> = (0..3).map(|i| queue.insert(now, Loud(i == 1))).collect();
    assert!(catch_unwind(AssertUnwindSafe(|| queue.clear())).is_err());
    assert!(queue.is_empty() && queue.iter().next().is_none() && !queue.contains(keys[2]));
    queue.insert(now, Loud(false));
    assert_eq!(due(&mut queue, now).len(), 1);
}

#[test]
#[should_panic(expected = "at most 4294967295 timers at once, not 18446744073709551615")]
fn reserving_more_than_fit_panics() {
    let mut queue = TimerQueue::new();
    queue.insert(Instant::now(), ());
    queue.reserve(usize::MAX);
}

#[test]
fn keys_stay_valid_when_a_queue_shrinks_over_and_over() {
    let now = Instant::now();
    let mut queue = TimerQueue::new();
    let keys: Vec<_> = (0..1000).map(|i| queue.insert(now, i)).collect();
    for stride in [2, 3, 5, 7, 1001] {
        for (value, &key) in (0..).zip(&keys).filter(|&(value, _)| value % stride == 1) {
            queue.remove(key);
            assert!(!queue.contains(key), "{value}");
        }
        queue.shrink_to_fit();
        assert_eq!(queue.capacity(), queue.len());
        // Timers inserted after the shrinking get the indices of removed ones.
        let passing = queue.insert(now, 5000);
        assert_eq!(queue.remove(passing), Some(5000));
    }
    for (value, &key) in (0..).zip(&keys) {
        let gone = [2, 3, 5, 7, 1001].iter().any(|stride| value % stride == 1);
        assert_eq!(queue.get(key), (!gone).then_some(&value));
    }
    let left: Vec<_> = std::iter::from_fn(|| queue.pop_due(now)).collect();
    assert!(
        left.is_sorted_by_key(|due| due.value),
        "equal deadlines keep their order"
    );
    assert!(left.iter().all(|due| due.key == keys[due.value]));
    queue.shrink_to_fit();
    assert_eq!(queue.capacity(), 0);
    assert!(keys.iter().all(|&key| queue.remove(key).is_none()));
}

#[test]
fn a_stale_key_does_not_name_another_timer_of_a_shrunk_queue() {
    let now = Instant::now();
    let mut queue = TimerQueue::new();
    let keys = ['a', 'b', 'c'].map(|value| queue.insert(now, value));
    queue.remove(keys[0]);
    queue.shrink_to_fit();
    // 'b' has the index that 'a' had, and 'd' will get that of 'c' when 'c' is gone.
    assert_eq!(queue.remove(keys[2]), Some('c'));
    let new = queue.insert(now, 'd');
    assert_eq!((queue.get(keys[0]), queue.get(keys[2])), (None, None));
    assert_eq!(
        (queue.get(keys[1]), queue.get(new)),
        (Some(&'b'), Some(&'d'))
    );
    assert_eq!(queue.peek(), Some((keys[1], now, &'b')));
}

#[test]
fn a_timer_that_never_comes_due_is_not_the_earliest() {
    let mut queue = TimerQueue::new();
    queue.insert(Instant::now() + Duration::MAX, ());
    assert_eq!(queue.peek(), None);
    queue.shrink_to_fit();
    assert_eq!(queue.peek(), None);
    assert_eq!((queue.len(), queue.capacity()), (1, 1));
}

#[test]
fn reserved_memory_is_there() {
    let mut queue = TimerQueue::<()>::with_capacity(10);
    assert_eq!(queue.capacity(), 10);
    queue.reserve(2000);
    assert!(queue.capacity() >= 2000);
    queue.clear();
    assert_eq!(queue.capacity(), 0);
}

#[test]
fn instants_before_the_queues_creation_keep_their_order() {
    let before = Instant::now();
    let mut queue = TimerQueue::new();
    let Some(old) = before.checked_sub(millis(5)) else {
        return;
    };
    queue.insert(before, 'b');
    queue.insert(old, 'a');
    assert_eq!(queue.next_deadline(), Some(old));
    assert!(
        queue.pop_due(old - Duration::from_nanos(1)).is_none(),
        "never early"
    );
    assert_eq!(
        queue.pop_due(old).map(|due| (due.value, due.deadline)),
        Some(('a', old))
    );
    assert!(queue.pop_due(old).is_none());
    assert_eq!(due(&mut queue, before), ['b']);
}

#[test]
fn instants_too_far_to_represent_never_come_due() {
    let start = Instant::now();
    let far = start + Duration::MAX;
    let mut queue = TimerQueue::new();
    let key = queue.insert(far, "far");
    assert_eq!((queue.len(), queue.next_deadline()), (1, None));
    assert!(queue.pop_due(far).is_none());
    assert_eq!(queue.deadline(key), Some(far), "its deadline is kept");
    assert!(queue.reset(key, start + millis(1)));
    assert_eq!(due(&mut queue, far), ["far"]);
}

#[test]
fn instants_far_in_the_past_are_due_first() {
    let now = Instant::now();
    let past = now - Duration::MAX;
    let mut queue = TimerQueue::new();
    queue.insert(now, "now");
    queue.insert(past, "past");
    assert_eq!(queue.next_deadline(), Some(past));
    assert_eq!(queue.pop_due(past).map(|due| due.deadline), Some(past));
    assert_eq!(due(&mut queue, now), ["now"]);
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u64),
    Remove(usize),
    Reset(usize, u64),
    Fire(u64),
    Clear,
    Shrink,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        40 => (0..50_u64).prop_map(Op::Insert),
        20 => any::<usize>().prop_map(Op::Remove),
        20 => (any::<usize>(), 0..50_u64).prop_map(|(at, to)| Op::Reset(at, to)),
        20 => (0..50_u64).prop_map(Op::Fire),
        1 => Just(Op::Clear),
        5 => Just(Op::Shrink),
    ];
    prop::collection::vec(op, 0..300)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    /// The model is a map of (deadline, order) to the key; a timer's value is its first order.
    #[test]
    fn agrees_with_a_sorted_map(ops in ops()) {
        // Half of the deadlines are before the queue's creation.
        let start = Instant::now().checked_sub(millis(25)).unwrap_or_else(Instant::now);
        let mut queue = TimerQueue::new();
        let mut model = BTreeMap::<(Instant, usize), (Key, usize)>::new();
        let mut stale = Vec::new();
        for (order, op) in ops.into_iter().enumerate() {
            let nth = |n: usize| model.iter().nth(n.checked_rem(model.len())?).map(|(&o, &k)| (o, k));
            match op {
                Op::Insert(at) => {
                    let at = start + millis(at);
                    model.insert((at, order), (queue.insert(at, order), order));
                }
                Op::Remove(n) => if let Some((place, (key, value))) = nth(n) {
                    prop_assert_eq!(queue.remove(key), Some(value));
                    model.remove(&place);
                    stale.push(key);
                },
                Op::Reset(n, at) => if let Some((place, timer)) = nth(n) {
                    prop_assert!(queue.reset(timer.0, start + millis(at)));
                    model.remove(&place);
                    model.insert((start + millis(at), order), timer);
                },
                Op::Fire(at) => {
                    while let Some(due) = queue.pop_due(start + millis(at)) {
                        let ((deadline, _), timer) = model.pop_first().expect("a timer waits");
                        prop_assert_eq!((due.deadline, due.key, due.value), (deadline, timer.0, timer.1));
                        stale.push(due.key);
                    }
                    prop_assert!(model.keys().all(|&(deadline, _)| deadline > start + millis(at)));
                }
                Op::Clear => {
                    queue.clear();
                    stale.extend(std::mem::take(&mut model).into_values().map(|(key, _)| key));
                }
                Op::Shrink => {
                    queue.shrink_to_fit();
                    prop_assert_eq!(queue.capacity(), model.len());
                }
            }
            prop_assert_eq!(queue.len(), model.len());
            prop_assert_eq!(queue.next_deadline(), model.keys().next().map(|&(at, _)| at));
            let first = model.iter().next().map(|(&(at, _), (key, value))| (*key, at, value));
            prop_assert_eq!(queue.peek(), first);
            prop_assert!(stale.iter().all(|&key| !queue.contains(key)));
            for (&(deadline, _), (key, value)) in &model {
                prop_assert_eq!((queue.deadline(*key), queue.get(*key)), (Some(deadline), Some(value)));
            }
            prop_assert_eq!(queue.iter().count(), model.len());
        }
    }
}

#[test]
fn different_keys_hash_differently_and_equal_keys_alike() {
    use std::hash::{BuildHasher, RandomState};

    let (now, state) = (Instant::now(), RandomState::new());
    let mut queue = TimerQueue::new();
    let first: Vec<_> = (0..100).map(|n| queue.insert(now, n)).collect();
    queue.clear();
    // The new keys have the indices of the old ones, and other numbers.
    let second: Vec<_> = (0..100).map(|n| queue.insert(now, n)).collect();
    let keys = first.iter().chain(&second);
    let hashes: std::collections::HashSet<_> = keys.map(|key| state.hash_one(key)).collect();
    assert_eq!(hashes.len(), 200);
    assert_eq!(state.hash_one(first[0]), state.hash_one(first[0]));
}

#[test]
fn the_iterator_knows_how_many_timers_are_left() {
    let now = Instant::now();
    let mut queue = TimerQueue::new();
    let keys: Vec<_> = (0..5).map(|value| queue.insert(now, value)).collect();
    queue.remove(keys[1]);
    queue.remove(keys[4]);
    let mut iter = queue.iter();
    for left in (0..3).rev() {
        assert!(iter.next().is_some());
        assert_eq!((iter.len(), iter.size_hint()), (left, (left, Some(left))));
    }
    assert!(iter.next().is_none());
    assert_eq!(iter.len(), 0);
}

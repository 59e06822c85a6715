//! Tests that a queue agrees with a sorted map, for random sequences of calls.
//!
//! After each step they also check that the waiting task was woken if something has changed for it,
//! and only then.

use std::collections::BTreeMap;
use std::task::Poll::{Pending, Ready};

use proptest::prelude::*;
use reveille::time::delay_queue::Key;
use reveille::time::{DelayQueue, Duration, Instant};

use crate::support::{Task, manual, ms};

#[derive(Clone, Debug)]
enum Op {
    Insert(Option<u64>),
    InsertPast(u64),
    Remove(usize),
    Reset(usize, Option<u64>),
    Advance(u64),
    Poll,
    PollOther,
    Compact,
    Clear,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let after = || prop_oneof![15 => (0..40_u64).prop_map(Some), 1 => Just(None)];
    let op = prop_oneof![
        30 => after().prop_map(Op::Insert),
        5 => (0..40_u64).prop_map(Op::InsertPast),
        15 => any::<usize>().prop_map(Op::Remove),
        20 => (any::<usize>(), after()).prop_map(|(at, to)| Op::Reset(at, to)),
        15 => (0..20_u64).prop_map(Op::Advance),
        40 => Just(Op::Poll),
        3 => Just(Op::PollOther),
        4 => Just(Op::Compact),
        1 => Just(Op::Clear),
    ];
    prop::collection::vec(op, 0..200)
}

/// Maps the deadline and the order of the last insertion or reset to the key and the first order.
type Model = BTreeMap<(Instant, usize), (Key, usize)>;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn agrees_with_a_sorted_map(ops in ops()) {
        let (clock, driver) = manual();
        let _entered = driver.handle().enter();
        let never = clock.now() + Duration::MAX;
        let at = |after: Option<u64>| after.map_or(never, |after| clock.now() + ms(after));
        let mut queue = DelayQueue::new();
        let mut model = Model::new();
        let mut stale: Vec<Key> = Vec::new();
        let mut task = Task::new();
        // What the waiting task has seen last: the earliest deadline, and whether the queue was
        // empty.
        let mut seen: Option<(Instant, bool)> = None;
        let first = |model: &Model| model.keys().next().map_or(never, |&(deadline, _)| deadline);

        for (order, op) in ops.into_iter().enumerate() {
            let nth = |n: usize| model.iter().nth(n.checked_rem(model.len())?).map(|(&o, &k)| (o, k));
            match op {
                Op::Insert(after) => {
                    let key = queue.insert(order, after.map_or(Duration::MAX, ms));
                    model.insert((at(after), order), (key, order));
                }
                Op::InsertPast(ago) => {
                    let deadline = clock.now() - ms(ago);
                    model.insert((deadline, order), (queue.insert_at(order, deadline), order));
                }
                Op::Remove(n) => if let Some((place, (key, value))) = nth(n) {
                    let removed = queue.remove(&key);
                    prop_assert_eq!((removed.key(), removed.deadline()), (key, place.0));
                    prop_assert_eq!(removed.into_inner(), value);
                    model.remove(&place);
                    stale.push(key);
                },
                Op::Reset(n, after) => if let Some((place, timer)) = nth(n) {
                    queue.reset_at(&timer.0, at(after));
                    model.remove(&place);
                    model.insert((at(after), order), timer);
                },
                Op::Advance(by) => clock.advance(ms(by)),
                Op::Poll | Op::PollOther => {
                    if matches!(op, Op::PollOther) {
                        task = Task::new();
                    }
                    let mut wakes = task.wakes();
                    let due = first(&model) <= clock.now();
                    let mut poll = queue.poll_expired(&mut task.context());
                    if poll.is_pending() && due {
                        // The task has taken many values in a row, and has to let others run.
                        wakes += 1;
                        prop_assert_eq!(task.wakes(), wakes);
                        poll = queue.poll_expired(&mut task.context());
                    }
                    match poll {
                        Ready(Some(expired)) => {
                            prop_assert!(due);
                            let ((deadline, _), (key, value)) = model.pop_first().expect("one waits");
                            prop_assert_eq!((expired.key(), expired.deadline()), (key, deadline));
                            prop_assert_eq!(expired.into_inner(), value);
                            stale.push(key);
                            seen = None;
                        }
                        Ready(None) => {
                            prop_assert!(model.is_empty());
                            seen = Some((never, true));
                        }
                        Pending => {
                            prop_assert!(!due && !model.is_empty());
                            seen = Some((first(&model), false));
                        }
                    }
                    prop_assert_eq!(task.wakes(), wakes);
                    if seen.is_some() {
                        // Changes count from here on.
                        task = {
                            let fresh = Task::new();
                            let _ = queue.poll_expired(&mut fresh.context());
                            fresh
                        };
                    }
                }
                Op::Compact => {
                    queue.compact();
                    prop_assert_eq!(queue.capacity(), model.len());
                }
                Op::Clear => {
                    queue.clear();
                    stale.extend(std::mem::take(&mut model).into_values().map(|(key, _)| key));
                }
            }

            if let Some((deadline, was_empty)) = seen {
                let now = first(&model);
                let due = now <= clock.now() || deadline <= clock.now();
                let told = now < deadline || due || was_empty != model.is_empty();
                prop_assert_eq!(task.wakes() > 0, told, "seen {:?}, now {:?}", deadline, now);
                if told {
                    // The task has to poll; changes before that do not wake it again.
                    seen = None;
                } else {
                    seen = Some((now, was_empty));
                }
            }
            prop_assert_eq!(queue.len(), model.len());
            let earliest = model.iter().next().filter(|((deadline, _), _)| *deadline != never);
            prop_assert_eq!(queue.peek(), earliest.map(|(_, &(key, _))| key));
            for (&(deadline, _), (key, value)) in &model {
                prop_assert_eq!((queue.deadline(key), queue.get(key)), (deadline, Some(value)));
            }
            for key in &stale {
                prop_assert!(queue.get(key).is_none() && queue.try_remove(key).is_none());
            }
        }
    }
}

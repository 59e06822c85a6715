//! Tests of single cases of the store.

use super::*;

fn drain(store: &mut Store<u32, 128>) -> Vec<u32> {
    let mut values = Vec::new();
    while let Some((_, _, value)) = store.pop(NEVER) {
        store.verify();
        values.push(value);
    }
    values
}

#[test]
fn a_new_store_has_allocated_nothing() {
    let store = Store::<u32>::new();
    assert_eq!(
        (store.heap.capacity(), store.len(), store.bound()),
        (0, 0, NEVER)
    );
}

#[test]
fn mass_cancel_keeps_bookkeeping_bounded() {
    for left in [0, 1, 100, 5_000] {
        let mut store = Store::<u32>::new();
        let all: Vec<_> = (0..100_000)
            .map(|i| store.insert(u64::from(i) * 7919 % 100_000, i))
            .collect();
        for &index in &all[left..] {
            store.take(index);
        }
        store.verify();
        let (slots, capacity) = (store.heap.slots(), store.heap.capacity());
        assert!(
            slots <= 8 * left + 4 * RUN_LEN,
            "{slots} slots for {left} timers"
        );
        assert!(
            capacity <= 32 * left + 64 * RUN_LEN,
            "capacity for {capacity} slots for {left} timers"
        );
    }
}

/// When the last run is full, the next one starts after it. If it was split instead, as others are,
/// all runs would stay half full.
#[test]
fn timers_inserted_in_order_fill_their_runs() {
    let mut store = Store::<u32>::new();
    for i in 0..100_000 {
        store.insert(u64::from(i), i);
    }
    store.verify();
    let capacity = store.heap.capacity();
    assert!(capacity < 130_000, "capacity for {capacity} slots");
}

/// A few timers of each of many runs stay. The memory is freed only because small runs are merged.
#[test]
fn a_few_timers_left_of_many_runs_share_runs() {
    let mut store = Store::<u32>::new();
    for batch in 0..2000 {
        let at = |i: u64| batch * 1_000_000 + i * 7919 % 600;
        let all: Vec<_> = (0..600).map(|i| store.insert(at(i), 0)).collect();
        for (i, index) in all.into_iter().enumerate() {
            if i % 200 != 0 {
                store.take(index);
            }
        }
    }
    store.verify();
    let (len, capacity) = (store.len(), store.heap.capacity());
    assert!(
        capacity <= 5 * len,
        "capacity for {capacity} slots for {len} timers"
    );
}

#[test]
fn a_timeout_set_and_removed_over_and_over_files_one_slot() {
    let mut store = Store::<u32>::new();
    for now in 0..100_000 {
        let index = store.insert(now + 30_000, 0);
        assert_eq!(index, 0);
        store.take(index);
    }
    assert_eq!(store.heap.slots(), 1);
    assert_eq!(store.next_deadline(), NEVER);
    assert_eq!(store.heap.slots(), 0);
}

#[test]
fn the_slot_of_a_removed_timer_is_dropped_before_it_is_due() {
    let mut store = Store::<u32>::new();
    let index = store.insert(10, 0);
    store.insert(20, 1);
    store.take(index);
    assert_eq!(store.bound(), 10, "the slot is still there");
    assert_eq!(
        store.next_deadline(),
        20,
        "asking for the next deadline drops it"
    );
    assert_eq!(store.bound(), 20);
}

#[test]
fn a_timer_that_never_comes_due_has_no_slot_and_is_not_popped() {
    let mut store = Store::<u32>::new();
    let index = store.insert(NEVER, 7);
    assert_eq!((store.heap.slots(), store.next_deadline()), (0, NEVER));
    assert_eq!(store.pop(NEVER), None);
    store.reset(index, NEVER - 1);
    assert_eq!(store.next_deadline(), NEVER - 1);
    store.reset(index, NEVER);
    assert_eq!(store.next_deadline(), NEVER);
    store.verify();
    assert_eq!(store.take(index), Some(7));
}

#[test]
fn sequence_numbers_wrap_and_no_timer_is_lost_or_early() {
    for start in [u32::MAX - 300, u32::MAX - 1, u32::MAX] {
        let mut pair = Pair::<128>::starting_at(start);
        // All deadlines differ, because the wrap may change the order among equal ones.
        for i in 0..500 {
            pair.insert(i * 7919 % 500 * 2);
        }
        for i in 0..250 {
            pair.reset(i, 2 * i as u64 + 1001);
            pair.verify();
        }
        for now in 0..1600 {
            while pair.pop(now) {}
            pair.verify();
        }
        assert!(pair.model.is_empty());
    }
}

#[test]
fn equal_deadlines_before_and_after_the_wrap_keep_their_order_separately() {
    let mut store = Store::<u32, 128>::starting_at(u32::MAX - 3);
    for value in 0..6 {
        store.insert(5, value);
    }
    // Numbers 2^32 - 3 to 2^32 - 1 before the wrap, 1 to 3 after it: the later three leave first.
    assert_eq!(drain(&mut store), [3, 4, 5, 0, 1, 2]);
}

#[test]
fn a_fired_timer_is_not_armed_and_leaves_its_index_to_the_next() {
    let mut store = Store::<u32>::new();
    let index = store.insert(1, 7);
    assert_eq!(store.pop(1), Some((index, 1, 7)));
    assert_eq!(
        (store.take(index), store.reset(index, 9), store.get(index)),
        (None, false, None)
    );
    assert_eq!(store.insert(3, 9), index);
    store.verify();
}

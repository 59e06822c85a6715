//! Tests of how many slots there are, and how many of them a call looks at.

use super::*;

/// The most slots that a call with a budget of a run may look at or move: it places all that
/// earlier calls have moved, and splits the runs that those fill.
const LIMIT: usize = 16 * RUN_LEN;

#[test]
fn a_timeout_armed_and_removed_over_and_over_files_one_slot() {
    let mut pair = Pair::new();
    for _ in 0..10_000 {
        pair.now += 1;
        pair.insert(30_000);
        pair.take(0);
    }
    assert_eq!((pair.wakers.heap.slots(), pair.chunks.entries()), (1, 1));
}

/// Each move leaves a slot behind, for which no other call looks.
#[test]
fn timers_that_are_moved_to_earlier_over_and_over_leave_few_slots() {
    for timers in [1, 100, 5_000] {
        let mut pair = Pair::new();
        (0..timers).for_each(|_| pair.insert(1 << 40));
        for i in 0..100_000 {
            let index = i % timers as u32;
            let word = pair.chunks.load(index);
            assert!(
                pair.wakers
                    .reset(&pair.chunks, index, word, (1 << 40) - u64::from(i))
            );
        }
        let slots = pair.wakers.heap.slots();
        assert!(
            slots < 4 * timers + 1024,
            "{slots} slots for {timers} timers"
        );
    }
}

/// A hundred thousand timers that were all put off come to the front of the heap at once. Each call
/// files a bounded number of their slots anew.
#[test]
fn many_timers_that_were_put_off_are_filed_anew_in_small_steps() {
    const N: u64 = 100_000;
    let mut pair = Pair::new();
    for i in 0..N {
        let index = pair.arm(1000 + i % 7, waker());
        assert!(pair.chunks.put_off(index, 1000 + i % 7, 1 << 40 | i));
    }
    pair.wakers.heap.take_effort();
    let (mut calls, mut longest) = (0, 0);
    loop {
        let mut budget = StaleBudget(256);
        let each = |_, _| panic!("early");
        pair.wakers.pop(&pair.chunks, 2000, &mut budget, 64, each);
        longest = longest.max(pair.wakers.heap.take_effort());
        calls += 1;
        if budget.0 > 0 {
            break;
        }
    }
    assert!(longest <= LIMIT, "{longest} slots in a call");
    assert!(calls as u64 <= N / 128, "{calls} calls");
    assert_eq!(pair.chunks.armed(), N as usize);
    pair.wakers.verify(&pair.chunks);
}

#[test]
fn slots_of_removed_timers_are_dropped_in_small_steps() {
    let mut pair = Pair::new();
    for i in 0..100_000 {
        let at = 1000 + i * 7919 % 100_000;
        let index = pair.arm(at, waker());
        let taken = pair.chunks.take(index, at, Removal::Cancelled, || false);
        assert!(taken.is_some());
        let _ = pair.arm(at, waker());
    }
    for index in 0..pair.chunks.entries() as u32 {
        let at = pair.chunks.load(index);
        let taken = pair.chunks.take(index, at, Removal::Cancelled, || false);
        assert!(taken.is_some());
    }
    pair.wakers.heap.take_effort();
    let mut count = 0;
    while pair
        .wakers
        .next_deadline(&pair.chunks, &mut StaleBudget(256))
        .is_none()
    {
        let effort = pair.wakers.heap.take_effort();
        assert!(effort <= LIMIT, "{effort} slots in a call");
        count += 1;
    }
    assert!(count < 1000);
    assert_eq!(pair.wakers.heap.slots(), 0);
    assert_eq!(pair.wakers.bound(&pair.chunks), NEVER);
}

use std::task::Waker;

use super::*;

fn burst(waiters: &mut Waiters) -> Vec<Place> {
    let insert = |_| waiters.futures.insert(Waker::noop().clone());
    (0..1000).map(insert).collect()
}

/// Each later event of the descriptor went through the places of all of them.
#[test]
fn a_burst_of_waiters_leaves_no_places_behind() {
    let mut waiters = Waiters::default();
    burst(&mut waiters);
    let mut wakers = Vec::new();
    waiters.take_wakers(&mut wakers);
    assert_eq!(wakers.len(), 1000);
    assert!(waiters.futures.is_empty());
    assert_eq!(vacant(&waiters), 0, "after an event");

    for place in burst(&mut waiters) {
        assert!(waiters.futures.remove(place).is_some());
    }
    assert!(waiters.futures.is_empty());
    assert_eq!(vacant(&waiters), 0, "after they were cancelled");
}

fn vacant(waiters: &Waiters) -> usize {
    let more = waiters.futures.more.as_ref();
    more.expect("made for the second waker").vacant_key()
}

#[test]
fn the_waiters_of_a_direction_fit_into_a_cache_line() {
    assert!(size_of::<Waiters>() <= 64);
}

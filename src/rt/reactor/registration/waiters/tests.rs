use std::task::Waker;

use super::*;

fn burst(waiters: &mut Waiters) -> Vec<usize> {
    let waiting = || Waiter::Waiting(Waker::noop().clone(), Wait::After(0));
    let insert = |_| waiters.futures.insert(waiting());
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
    assert_eq!(waiters.futures.vacant_key(), 0, "after an event");

    for key in burst(&mut waiters) {
        waiters.remove_future(key);
    }
    assert_eq!(waiters.futures.vacant_key(), 0, "after they were cancelled");
}

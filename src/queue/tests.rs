//! Tests of the mapping between instants and deadlines in the store.

use std::time::Duration;

use super::*;

#[test]
fn instants_keep_their_order_and_convert_back() {
    let zero = Instant::at(0);
    let instants = [
        zero - Duration::MAX,
        zero - Duration::from_nanos(1),
        zero,
        zero + Duration::from_nanos(1),
        zero + Duration::from_secs(9_000_000_000),
        zero + Duration::MAX,
    ];
    let deadlines = instants.map(store_deadline);
    assert!(deadlines.is_sorted() && deadlines[0] == 0 && deadlines[5] == NEVER);
    assert_eq!(deadlines.map(instant), instants);
}

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
    let places = instants.map(place);
    assert!(places.is_sorted() && places[0] == 0 && places[5] == NEVER);
    assert_eq!(places.map(instant), instants);
}

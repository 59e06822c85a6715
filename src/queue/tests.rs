//! What becomes of instants at the ends of the range?

use std::time::Duration;

use super::*;

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

#[test]
fn instants_within_the_range_are_given_back_to_the_nanosecond() {
    let base = Instant::now();
    let span = Span::around(base);
    let nanos = Duration::from_nanos(1);
    for ahead in [
        Duration::ZERO,
        nanos,
        Duration::from_secs(1),
        290 * YEAR,
        290 * YEAR + nanos,
    ] {
        for instant in [base.checked_add(ahead), base.checked_sub(ahead)]
            .into_iter()
            .flatten()
        {
            assert_eq!(span.instant(span.nanos(instant)), instant);
        }
    }
    assert!(span.nanos(base - nanos) < span.nanos(base));
}

#[test]
fn instants_beyond_the_range_are_its_ends() {
    let base = Instant::now();
    let span = Span::around(base);
    let far = [base.checked_add(300 * YEAR), base.checked_sub(300 * YEAR)];
    let ends: Vec<_> = far
        .into_iter()
        .flatten()
        .map(|instant| span.nanos(instant))
        .collect();
    assert!([&[NEVER, 0][..], &[NEVER]].contains(&&ends[..]), "{ends:?}");
}

#[test]
fn what_is_known_of_instants_beyond_the_range_goes_with_their_timers() {
    let start = Instant::now();
    let Some(far) = start.checked_add(300 * YEAR) else {
        return;
    };
    let mut queue = TimerQueue::new();
    let keys: Vec<_> = (0..4).map(|i| queue.insert(far, i)).collect();
    assert_eq!(queue.deadline(keys[0]), Some(far));
    assert_eq!(queue.beyond.len(), 4);
    queue.remove(keys[0]);
    queue.reset(keys[1], start);
    queue.pop_due(start);
    queue.reset(keys[2], far + YEAR);
    assert_eq!(queue.beyond.len(), 2);
    assert_eq!(queue.deadline(keys[2]), Some(far + YEAR));
    queue.clear();
    assert!(queue.beyond.is_empty());
}

//! What does a storm of timers change for the loop?

#![cfg(not(loom))]

mod support;

use std::time::Duration;

use reveille::Driver;

use support::{Count, Dial, Task};

const fn us(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

/// The slack says when a loop in a storm wakes, and no timer, however early, changes that. Each
/// timer that another thread armed used to interrupt the loop all the same, only to be told to
/// block for as long as before.
#[test]
fn timer_armed_in_a_storm_interrupts_nobody() {
    let (dial, unparks) = (Dial::default(), Count::default());
    let counted = unparks.clone();
    let mut driver = Driver::builder()
        .clock(dial.clock())
        .slack(us(100))
        .build_with_unpark(move || counted.add());
    let handle = driver.handle().clone();
    let task = Task::new();

    // Twenty turns with a timer each, 5 µs apart: a storm.
    for turn in 1..=20 {
        let mut sleep = handle.sleep(us(5));
        assert!(task.poll(&mut sleep).is_pending());
        dial.set(us(5 * turn));
        assert_eq!(driver.turn().fired(), 1);
    }
    let before = unparks.get();

    let mut late = handle.sleep(us(50));
    assert!(task.poll(&mut late).is_pending());
    assert_eq!(
        driver.next_timeout(),
        Some(us(100)),
        "kept apart by the slack"
    );
    let mut sleeps: Vec<_> = (1..=10).map(|i| handle.sleep(us(11 - i))).collect();
    for sleep in &mut sleeps {
        assert!(task.poll(sleep).is_pending());
    }
    assert_eq!(driver.next_timeout(), Some(us(100)));
    assert_eq!(unparks.get(), before);

    // All of them have fired when the wait is over.
    dial.set(us(200));
    assert_eq!(driver.turn().fired(), 11);
}

//! Tests of the slack: how a storm of timers changes when the loop wakes.

#![cfg(not(loom))]

mod support;

use std::time::Duration;

use reveille::Driver;

use support::{Count, Dial, Task};

/// Turns the driver twenty times with a timer each, 5 µs apart, which is a storm. It ends at 100
/// µs.
fn storm(driver: &mut Driver<()>, dial: &Dial, task: &Task) {
    for turn in 1..=20 {
        let mut sleep = driver.handle().sleep(us(5));
        assert!(task.poll(&mut sleep).is_pending());
        dial.set(us(5 * turn));
        assert_eq!(driver.turn().fired(), 1);
    }
}

const fn us(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

/// In a storm the slack determines when the loop wakes, and no timer, however early, changes that.
/// Each timer that another thread armed used to interrupt the loop anyway, only for it to block
/// again for as long as before.
#[test]
fn a_timer_armed_in_a_storm_does_not_interrupt_the_loop() {
    let (dial, unparks) = (Dial::default(), Count::default());
    let counted = unparks.clone();
    let mut driver = Driver::builder()
        .clock(dial.clock())
        .slack(us(100))
        .build_with_unpark(move || counted.add());
    let handle = driver.handle().clone();
    let task = Task::new();

    storm(&mut driver, &dial, &task);
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

#[test]
fn a_slack_set_in_a_storm_ends_the_wait_and_applies_to_the_next() {
    let (dial, unparks) = (Dial::default(), Count::default());
    let counted = unparks.clone();
    let mut driver = Driver::builder()
        .clock(dial.clock())
        .slack(us(100))
        .build_with_unpark(move || counted.add());
    let (handle, task) = (driver.handle().clone(), Task::new());
    storm(&mut driver, &dial, &task);
    let mut late = handle.sleep(us(50));
    assert!(task.poll(&mut late).is_pending());

    assert_eq!(driver.next_timeout(), Some(us(100)));
    for (slack, wait) in [(us(1000), us(1000)), (Duration::ZERO, us(50))] {
        let before = unparks.get();
        std::thread::scope(|scope| {
            scope.spawn(|| handle.set_slack(slack));
        });
        assert_eq!(
            unparks.get(),
            before + 1,
            "the loop was waiting with the old slack"
        );
        assert_eq!(driver.next_timeout(), Some(wait));
        assert_eq!(handle.slack(), slack);
    }
}

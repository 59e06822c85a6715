//! What the wake source is set to: for resets, slack, and margins.

use super::*;

/// A reset whose new deadline had passed took the timer out and told nothing: a clock that may be
/// paused moved on to a timer that was gone, and a later one was armed without a call.
#[test]
fn a_source_is_set_anew_when_its_timer_is_reset_to_the_past_on_a_clock_that_may_be_paused() {
    let runtime = TestRuntime::quiet(true, 0);
    let start = runtime.handle(0).now();
    let mut sleep = runtime.armed(0, 10);
    runtime.set_to();
    sleep.reset_at(start);
    assert_eq!(runtime.set_to(), [NEVER]);
    let _later = runtime.armed(1, 20);
    assert_eq!(runtime.set_to(), [20]);
}

/// A source that was set for the right time was left as it was, and a clock that had jumped was not
/// read again.
#[test]
fn unpark_sets_the_source_anew_although_no_timer_has_changed() {
    let runtime = TestRuntime::quiet(false, 0);
    let _sleep = runtime.armed(0, 10);
    assert_eq!(runtime.set_to(), [NEVER, 10]);
    runtime.driver.replan();
    assert_eq!(runtime.set_to(), [], "nothing has changed");
    runtime.handle(1).unpark();
    assert_eq!(runtime.set_to(), [10]);
}

/// The scan that an unpark makes took the jump for a wake-up that had fired nothing, and put the
/// timer that was due off by the slack, each time.
#[test]
fn under_a_slack_that_was_set_an_unpark_after_a_jump_does_not_put_off_what_is_due() {
    let runtime = TestRuntime::quiet(false, 1000);
    let _sleep = runtime.armed(0, 5000);
    runtime.set_to();
    for now in [9000, 10_500, 12_000] {
        runtime.time.store(now, Ordering::Relaxed);
        runtime.handle(1).unpark();
        assert_eq!(runtime.set_to(), [5000], "the source expires at once");
    }
}

#[test]
fn a_slack_that_is_set_in_a_storm_sets_the_source_anew() {
    let runtime = TestRuntime::quiet(false, 100);
    let mut sleeps = Vec::new();
    for turn in 1..=20 {
        sleeps.push(runtime.armed(0, 5));
        runtime.expire_at(5 * turn);
    }
    runtime.set_to();
    sleeps.push(runtime.armed(1, 30));
    assert_eq!(
        runtime.set_to(),
        [200],
        "the slack after the last expiration"
    );
    sleeps.push(runtime.armed(0, 20));
    assert_eq!(runtime.set_to(), [], "and no thread calls");
    runtime.handle(0).set_slack(Duration::from_nanos(1000));
    assert_eq!(runtime.set_to(), [1100]);
    runtime.handle(0).set_slack(Duration::ZERO);
    assert_eq!(runtime.set_to(), [120]);
    // Whose announcement has ended with the storm is told again.
    sleeps.push(runtime.armed(1, 10));
    assert_eq!(runtime.set_to(), [110]);
}

/// Only storms were merged, and a task that sleeps in a loop is none.
#[test]
fn under_a_slack_that_was_set_a_chain_has_the_source_expire_once_per_slack() {
    let runtime = TestRuntime::quiet(false, 100);
    let (mut now, mut expirations) = (0, 0);
    // Each timer is armed on another thread when the one before has fired.
    while now < 10_000 {
        let _sleep = runtime.armed(expirations % 2, 50);
        now = *runtime.set_to().last().unwrap();
        runtime.expire_at(now);
        assert_eq!(runtime.handle(expirations % 2).armed(), 0);
        expirations += 1;
    }
    assert_eq!(expirations, 101, "the first on time, and 100 more");
    let _sleep = runtime.armed(0, 100);
    assert_eq!(runtime.set_to().last(), Some(&(now + 100)), "after a pause");
}

/// Nothing would end a wait for the slack.
#[test]
#[cfg(feature = "test-util")]
fn on_a_clock_that_is_paused_no_slack_delays_the_source() {
    let runtime = TestRuntime::quiet(false, 100);
    let _first = runtime.armed(0, 10);
    runtime.expire_at(10);
    let _second = runtime.armed(0, 10);
    assert_eq!(runtime.set_to().last(), Some(&110), "while it runs");
    runtime.handle(0).clock().freeze();
    assert_eq!(runtime.set_to().last(), Some(&20));
    let _earlier = runtime.armed(1, 5);
    assert_eq!(runtime.set_to().last(), Some(&15), "and other threads call");
    runtime.handle(0).clock().resume();
    runtime.handle(0).unpark();
    assert_eq!(runtime.set_to().last(), Some(&110));
}

/// A worker that looked at its timers just then found none due, and had another margin announced,
/// half as long as before: for an hour, 27 of them.
#[test]
fn a_margin_that_has_come_is_followed_by_the_deadline_itself() {
    let runtime = TestRuntime::quiet(false, 0);
    let deadlines: Vec<u64> = (0..12).map(|n| 1 << (40 - n)).collect();
    let _sleeps: Vec<_> = deadlines.iter().map(|&at| runtime.armed(0, at)).collect();
    let margin = *runtime.set_to().last().unwrap();
    assert!(margin < deadlines[11], "{margin}");
    // The source has not expired yet.
    runtime.time.store(margin, Ordering::Relaxed);
    assert_eq!(runtime.driver.fire(margin, usize::MAX), (0, false));
    runtime.driver.replan();
    assert_eq!(runtime.set_to(), deadlines[11..]);
}

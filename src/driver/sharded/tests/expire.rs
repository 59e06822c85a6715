//! What an expiration of the wake source fires, and when the source expires next.

use super::*;

/// Each call began with the first shard, and if its timers used up the budget each time, those of
/// the others never fired.
#[test]
fn a_shard_whose_timers_use_up_the_budget_does_not_keep_the_others_from_firing() {
    let runtime = TestRuntime::quiet(false, 0);
    let mut sleeps: Vec<_> = (0..500).map(|_| runtime.armed(0, 10)).collect();
    sleeps.push(runtime.armed(1, 20));
    let fires = |now| runtime.driver.fire(now, 64).0;
    assert_eq!(fires(30), 64, "all of the first shard");
    assert_eq!(fires(30), 1 + 64);
    assert_eq!(runtime.handle(1).armed(), 0);
    while fires(30) > 0 {}
    assert_eq!(runtime.handle(0).armed(), 0);
}

/// An expiration fired all that was due, and passed all that was put off, before tasks could run.
#[test]
fn an_expiration_that_leaves_something_due_has_the_source_expire_again_whatever_the_slack() {
    let runtime = TestRuntime::quiet(false, 100);
    // A storm: the slack is used.
    let mut sleeps = Vec::new();
    for turn in 1..=20 {
        sleeps.push(runtime.armed(0, 5));
        runtime.expire_at(5 * turn);
    }
    sleeps.extend((0..200).map(|_| runtime.armed(0, 10)));
    runtime.set_to();
    runtime.time.store(110, Ordering::Relaxed);
    assert_eq!(runtime.driver.expire(64), Liveness::Alive);
    assert_eq!(runtime.handle(0).armed(), 200 - 64);
    assert_eq!(runtime.set_to(), [110], "soon, since that has passed");
    // Another thread has the shards scanned before the source expires.
    let other = runtime.armed(1, 5);
    assert!(
        runtime.set_to().is_empty(),
        "it is set for that time already"
    );
    drop(other);
    while runtime.handle(0).armed() > 0 {
        assert_eq!(runtime.driver.expire(64), Liveness::Alive);
    }
    // The slack counts again.
    sleeps.push(runtime.armed(0, 10));
    assert_eq!(runtime.set_to().last(), Some(&210));
}

/// Tokio's poller tells once that a timerfd has expired. The thread that made the driver took that
/// for nothing, and the source, set for the same time, was not set again.
#[test]
fn a_source_that_has_expired_before_it_is_watched_is_set_again() {
    let runtime = TestRuntime::quiet(false, 0);
    let _sleep = runtime.armed(0, 10);
    runtime.set_to();
    runtime.time.store(10, Ordering::Relaxed);
    assert_eq!(runtime.driver.start(|| Liveness::Alive), Liveness::Alive);
    assert_eq!(runtime.set_to(), [10], "soon, since that has passed");
    assert_eq!(runtime.driver.start(|| Liveness::Gone), Liveness::Gone);
}

/// It counted for nothing on a runtime, and the next wake-up could follow at once.
#[test]
fn under_a_slack_that_was_set_a_wake_up_in_vain_is_one_of_those_that_are_kept_apart() {
    let runtime = TestRuntime::quiet(false, 1000);
    let first = runtime.armed(0, 5000);
    assert_eq!(runtime.set_to().last(), Some(&5000));
    // The source stays set.
    drop(first);
    runtime.expire_at(5000);
    let _next = runtime.armed(0, 10);
    assert_eq!(runtime.set_to().last(), Some(&6000));
}

/// A busy worker polls its own timers between tasks. Each time that it fired some, the wake-up for
/// the timers of the other shards was put off to a slack after that, however long they were due.
#[test]
fn timers_that_one_shard_fires_between_tasks_do_not_put_off_those_of_another() {
    let runtime = TestRuntime::quiet(false, 1000);
    let _first = runtime.armed(0, 5);
    runtime.expire_at(5);
    let _other = runtime.armed(1, 15);
    let mut source = *runtime.set_to().last().unwrap();
    assert_eq!(source, 1005, "a slack after the last wake-up");
    let mut now = 5;
    while runtime.handle(1).armed() > 0 {
        now += 500;
        assert!(now <= 1005, "late by more than the slack");
        let _own = runtime.armed(0, 400);
        runtime.time.store(now, Ordering::Relaxed);
        runtime.driver.fire_shard(0, now, 64);
        runtime.driver.replan();
        source = runtime.set_to().last().copied().unwrap_or(source);
        if source <= now {
            runtime.expire_at(now);
        }
    }
}

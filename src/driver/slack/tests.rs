use super::*;

mod chain;

/// A hundredth of the slack of a driver that has measured nothing yet.
const UNIT: u64 = 1_500;
const SLACK: u64 = 100 * UNIT;

/// A planner whose slack adapts.
fn planner() -> Planner {
    let slack = SharedSlack::adaptive();
    assert_eq!(slack.get(), SLACK);
    Planner::new(slack)
}

/// A planner whose slack was set.
fn promise(slack: u64) -> Planner {
    Planner::new(SharedSlack::new(slack))
}

/// Has one timer fire every five units, `count` times from `start` on. Returns when the last
/// one has.
fn storm(planner: &mut Planner, start: u64, count: u64) -> u64 {
    for turn in 1..=count {
        planner.plan(start + turn * 5 * UNIT);
        planner.note_fired(start + turn * 5 * UNIT, 1);
    }
    start + count * 5 * UNIT
}

#[test]
fn sparse_timers_are_on_time() {
    let mut planner = planner();
    for turn in 1..100 {
        let due = (turn + 1) * 60 * UNIT;
        planner.note_fired(turn * 60 * UNIT, 1);
        assert_eq!(planner.plan(due).wake_at, due);
    }
}

#[test]
fn a_storm_is_batched_and_its_end_is_noticed() {
    let mut planner = planner();
    let now = storm(&mut planner, 0, 19);
    assert_eq!(planner.plan(now + 1).wake_at, now + SLACK);
    for turn in 1..20 {
        planner.note_fired(now + turn * SLACK, 20);
    }
    let now = now + 19 * SLACK;
    assert_eq!(
        planner.plan(now + 1).wake_at,
        now + SLACK,
        "batching does not look like calm"
    );
    for turn in 1..5 {
        planner.note_fired(now + turn * 10 * SLACK, 1);
    }
    let next = now + 41 * SLACK;
    assert_eq!(planner.plan(next).wake_at, next);
}

#[test]
fn a_timer_later_than_the_distance_is_not_delayed() {
    let mut planner = planner();
    let now = storm(&mut planner, 0, 19);
    assert_eq!(planner.plan(now + 5 * SLACK).wake_at, now + 5 * SLACK);
}

#[test]
fn one_timer_over_and_over_is_on_time() {
    let mut planner = planner();
    let (mut now, mut late) = (0, 0);
    for _ in 0..10_000 {
        let due = now + 20 * UNIT;
        let woken = planner.plan(due).wake_at;
        late += usize::from(woken > due);
        now = woken + 5 * UNIT;
        planner.note_fired(now, 1);
    }
    assert!(late < 30, "{late} of 10000 kept waiting");
}

/// What a busy loop fires between its tasks counted as a delay that gains nothing, and the storm
/// after that was not batched.
#[test]
fn what_a_busy_loop_fires_is_no_delay_that_gains_nothing() {
    let mut planner = planner();
    let mut now = storm(&mut planner, 0, 20);
    now += SLACK;
    planner.note_fired(now, 1);
    assert_eq!(planner.plan(now + 1).wake_at, now + SLACK);
}

/// After a delay that gains nothing the next ones are suspended, but only for some turns: a storm
/// that comes afterwards is batched again.
#[test]
fn a_storm_after_a_delay_that_gains_nothing_is_batched() {
    let mut planner = planner();
    let mut now = storm(&mut planner, 0, 20);
    assert_eq!(planner.plan(now + 1).wake_at, now + SLACK);
    // The wait for the slack brings one timer.
    now += SLACK;
    planner.note_fired(now, 1);
    assert_eq!(planner.plan(now + 1).wake_at, now + 1, "not suspended");
    now = storm(&mut planner, now, 20);
    assert_eq!(planner.plan(now + 1).wake_at, now + SLACK);
}

#[test]
fn the_first_waits_are_measured_then_one_of_sixteen_and_none_while_timers_are_sparse() {
    let mut planner = planner();
    for turn in 1..100 {
        planner.note_fired(turn * cost::LONGEST, 1);
        assert!(!planner.slack.is_sample_due(), "sparse");
    }
    let mut now = storm(&mut planner, 100 * cost::LONGEST, 20);
    let mut measured = 0;
    for _ in 0..32 + 160 {
        if planner.slack.is_sample_due() {
            measured += 1;
            // Where the system tells no CPU time, too.
            let _ = planner.slack.begin_sample();
            // Long as the slack, so that it stays.
            planner.slack.note_sample(SLACK / 60);
        }
        planner.plan(now + 1);
        now += SLACK;
        planner.note_fired(now, 20);
    }
    assert_eq!(measured, 32 + 10);
}

/// On two threads most of the first samples may have to be thrown away. If they counted, the slack
/// would stay near the first guess for a second.
#[test]
fn waits_whose_sample_is_thrown_away_are_followed_by_others_that_are_measured() {
    let mut planner = planner();
    let mut now = storm(&mut planner, 0, 20);
    let (mut measured, mut noted, mut at_first) = (0, 0, 0);
    for turn in 0..300 {
        if planner.slack.is_sample_due() {
            measured += 1;
            at_first += u32::from(turn < 130);
            let _ = planner.slack.begin_sample();
            if turn % 4 == 0 && noted < 31 {
                noted += 1;
                planner.slack.note_sample(SLACK / 60);
            }
        }
        planner.plan(now + 1);
        now += SLACK;
        planner.note_fired(now, 20);
    }
    assert_eq!(noted, 31);
    assert!((100..=128).contains(&at_first), "{at_first}");
    let later = measured - at_first;
    assert!((10..=11).contains(&later), "{later} of 170: for ever");
}

#[test]
fn the_slack_follows_what_is_measured_and_a_slack_that_is_set_does_not() {
    let mut planner = planner();
    let now = storm(&mut planner, 0, 19);
    for _ in 0..100 {
        planner.slack.note_sample(13_000);
    }
    let slack = planner.slack.get();
    assert!((740_000..=800_000).contains(&slack), "{slack}");
    assert_eq!(planner.plan(now + 1).wake_at, now + slack);
    planner.slack.set(Some(1_000));
    for _ in 0..100 {
        planner.slack.note_sample(25_000);
    }
    assert_eq!(planner.slack.get(), 1_000);
    planner.slack.set(None);
    assert!(planner.slack.get() > slack, "what was measured meanwhile");
}

#[test]
fn under_a_slack_that_was_set_a_chain_wakes_once_per_slack() {
    let mut planner = promise(100);
    // Each timer is armed when the one before has fired, and is due 50 later.
    let (mut now, mut wakes) = (7, 0);
    while now < 10_007 {
        let due = now + 50;
        now = planner.plan(due).wake_at;
        planner.note_fired(now, 1);
        wakes += 1;
    }
    assert_eq!(wakes, 101, "the first is on time, and 100 in 10 000");
    // After a pause the next one is on time.
    let due = now + 100;
    assert_eq!(planner.plan(due).wake_at, due);
}

#[test]
fn the_longest_slack_is_a_second_and_leaves_the_first_timer_alone() {
    let mut planner = promise(u64::MAX);
    assert_eq!(planner.plan(5).wake_at, 5);
    planner.note_fired(195, 10);
    assert_eq!(planner.plan(200).wake_at, 195 + shared::LONGEST);
    planner.note_fired(u64::MAX, usize::MAX);
}

#[test]
fn no_slack_delays_nothing() {
    let mut planner = promise(0);
    for turn in 1..20 {
        planner.note_fired(turn, 100);
    }
    assert_eq!(planner.plan(20).wake_at, 20);
}

#[test]
fn a_slack_that_is_set_in_a_storm_counts_from_the_next_wait_on() {
    let mut planner = planner();
    let now = storm(&mut planner, 0, 19);
    assert_eq!(planner.plan(now + 1).wake_at, now + SLACK);
    planner.slack.set(Some(10 * SLACK));
    assert_eq!(planner.plan(now + 1).wake_at, now + 10 * SLACK);
    planner.slack.set(Some(0));
    assert_eq!(planner.plan(now + 1).wake_at, now + 1);
}

#[test]
fn a_margin_keeps_the_distance_of_a_slack_that_was_set() {
    let adapts = SharedSlack::adaptive();
    assert_eq!(margin(&adapts, MANY, 1 << 20), 1 << 10);
    assert_eq!(margin(&adapts, MANY + 3, 1 << 20), 1 << 13);
    assert_eq!(margin(&adapts, u64::MAX, 1 << 20), 1 << 19);
    let set = SharedSlack::new(5_000);
    assert_eq!(margin(&set, MANY, 1 << 20), 5_000);
    assert_eq!(margin(&set, MANY + 3, 1 << 20), 1 << 13);
    assert_eq!(margin(&set, MANY, 9_999), 0, "no room for it");
}

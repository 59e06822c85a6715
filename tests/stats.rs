//! What `Handle::stats` counts: each timer once, whatever happens to it, and under every race.

mod support;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use reveille::time::{MissedTickBehavior, Sleep};
use reveille::{Clock, Driver, Handle, Stats, ThreadPark};

use support::{Task, manual, ms, secs};

fn armed(handle: &Handle, wait: Duration, task: &Task) -> Sleep {
    let mut sleep = handle.sleep(wait);
    assert!(task.poll(&mut sleep).is_pending());
    sleep
}

/// Returns how many were armed, have fired, were cancelled, and are pending.
fn flow(stats: &Stats) -> (u64, u64, u64, u64) {
    let ended = (stats.fired(), stats.cancelled());
    (stats.armed(), ended.0, ended.1, stats.pending())
}

fn is_armed(sleep: &Sleep) -> bool {
    format!("{sleep:?}").contains("phase: Armed")
}

/// Returns whether a poll has found the timer due, also if that poll yielded instead of being
/// ready.
fn has_ended(sleep: &Sleep) -> bool {
    format!("{sleep:?}").contains("phase: Ended")
}

/// A driver on a clock that only the test sets, and that fires nothing by itself.
fn set_by_hand() -> (&'static AtomicU64, Driver<()>) {
    let nanos: &AtomicU64 = Box::leak(Box::default());
    let clock = Clock::custom(|| Duration::from_nanos(nanos.load(Ordering::SeqCst)));
    let driver = Driver::builder().clock(clock).build_with_unpark(|| {});
    (nanos, driver)
}

#[test]
fn a_summary_is_one_line_and_tells_how_late_timers_were() {
    let (nanos, mut driver) = set_by_hand();
    let (handle, task) = (driver.handle().clone(), Task::new());
    let timers = [ms(1), ms(2), ms(9)].map(|wait| armed(&handle, wait, &task));
    let counts = "3 timers pending (peak 3), 0 fired, 0 cancelled, 0 rejected";
    assert_eq!(handle.stats().to_string(), counts);
    nanos.store(3_000_000, Ordering::SeqCst);
    driver.turn();
    drop(timers);
    let shown = handle.stats().to_string();
    let (counts, late) = shown.split_once("; late by ").expect(&shown);
    assert_eq!(
        counts,
        "0 timers pending (peak 3), 2 fired, 1 cancelled, 0 rejected"
    );
    assert!(late.ends_with("(p99), 2.0ms (max)"), "{late}");
}

#[test]
fn each_way_in_which_a_timer_ends_is_counted_once() {
    let (nanos, mut driver) = set_by_hand();
    let (handle, task) = (driver.handle().clone(), Task::new());
    let never_polled = handle.sleep(ms(1));
    let mut due = handle.sleep(Duration::ZERO);
    assert!(task.poll(&mut due).is_ready());
    drop((never_polled, due));
    assert_eq!(flow(&handle.stats()), (0, 0, 0, 0), "no driver knew them");

    let dropped = armed(&handle, ms(1), &task);
    let mut fired = armed(&handle, ms(1), &task);
    let mut due_at_poll = armed(&handle, ms(2), &task);
    let mut due_by_reset = armed(&handle, ms(9), &task);
    let late = armed(&handle, ms(9), &task);
    let forever = armed(&handle, Duration::MAX, &task);
    drop((dropped, forever));
    let forever = armed(&handle, Duration::MAX, &task);
    assert_eq!(flow(&handle.stats()), (7, 0, 2, 5));
    nanos.store(1_500_000, Ordering::SeqCst);
    assert_eq!(driver.turn().fired(), 1);
    assert_eq!(flow(&handle.stats()), (7, 1, 2, 4));
    assert!(task.poll(&mut fired).is_ready());
    drop(fired);
    assert_eq!(flow(&handle.stats()), (7, 1, 2, 4), "it had fired");
    due_by_reset.reset_after(Duration::ZERO);
    assert_eq!(flow(&handle.stats()), (7, 2, 2, 3), "by the call");
    nanos.store(2_000_000, Ordering::SeqCst);
    assert!(task.poll(&mut due_at_poll).is_ready());
    assert_eq!(
        flow(&handle.stats()),
        (7, 3, 2, 2),
        "before the driver's turn"
    );
    driver.turn();
    assert_eq!(flow(&handle.stats()), (7, 3, 2, 2));
    assert_eq!(handle.stats().reset(), 1);

    drop(driver);
    assert_eq!(flow(&handle.stats()), (7, 3, 4, 0), "the driver ended");
    drop((late, forever));
    assert_eq!(flow(&handle.stats()), (7, 3, 4, 0));
}

/// The end of a driver takes out all timers, as if all time had passed.
#[test]
fn a_timer_that_the_end_of_its_driver_takes_out_is_not_late() {
    let (nanos, mut driver) = set_by_hand();
    let (handle, task) = (driver.handle().clone(), Task::new());
    let fired = armed(&handle, ms(1), &task);
    nanos.store(3_000_000, Ordering::SeqCst);
    driver.turn();
    let pending = armed(&handle, secs(1), &task);
    let forever = armed(&handle, Duration::MAX, &task);
    drop(driver);
    let stats = handle.stats();
    let late = stats.lateness();
    assert_eq!((late.count(), late.max(), late.sum()), (1, ms(2), ms(2)));
    assert_eq!(flow(&stats), (3, 1, 2, 0));
    drop((fired, pending, forever));
}

#[test]
fn a_timer_that_is_moved_counts_as_reset_alone() {
    // On a clock that runs, and on a frozen one, where a reset takes another way.
    let (running, (_clock, frozen)) = (Driver::with_unpark(|| {}), manual());
    for handle in [running.handle(), frozen.handle()] {
        let task = Task::new();
        let mut sleep = handle.sleep(secs(60));
        sleep.reset_after(secs(50));
        assert_eq!(handle.stats().reset(), 0, "it is not armed");
        assert!(task.poll(&mut sleep).is_pending());
        sleep.reset_after(secs(70));
        sleep.reset_after(secs(40));
        sleep.reset_after(secs(80));
        let stats = handle.stats();
        assert_eq!((stats.reset(), flow(&stats)), (3, (1, 0, 0, 1)));
        drop(sleep);
    }
}

#[test]
fn the_peak_is_the_most_that_were_pending_at_once() {
    let (_clock, driver) = manual();
    let (handle, task) = (driver.handle(), Task::new());
    let arm = |count| -> Vec<Sleep> { (0..count).map(|_| armed(handle, secs(1), &task)).collect() };
    for (count, peak) in [(10, 10), (1000, 1000), (700, 1000), (1001, 1001)] {
        drop(arm(count));
        assert_eq!(handle.stats().peak(), peak);
        assert_eq!(handle.stats().pending(), 0);
    }
}

#[test]
fn lateness_is_counted_from_the_deadline() {
    let (nanos, mut driver) = set_by_hand();
    let (handle, task) = (driver.handle().clone(), Task::new());
    // Late by 0 to 999 ms.
    let sleeps: Vec<_> = (1..=1000).map(|i| armed(&handle, ms(i), &task)).collect();
    nanos.store(1_000_000_000, Ordering::SeqCst);
    while driver.turn().is_unfinished() {}
    let stats = handle.stats();
    let late = stats.lateness();
    assert_eq!((late.count(), late.max()), (1000, ms(999)));
    assert_eq!(late.sum(), ms(999 * 1000 / 2));
    for (share, quantile) in [(0.5, late.p50()), (0.9, late.p90()), (0.99, late.p99())] {
        let exact = ms(1000).mul_f64(share) - ms(1);
        assert!(
            exact <= quantile && quantile <= exact.mul_f64(1.13),
            "{quantile:?}"
        );
    }
    assert_eq!(
        late.quantile(0.0),
        late.buckets().next().unwrap().0,
        "the first is on time"
    );
    assert_eq!(late.quantile(f64::NAN), late.quantile(0.0));
    assert_eq!(stats.batch_sizes().count(), 16, "of at most 64");
    assert_eq!(stats.turn_duration().count(), 1);

    let beyond = armed(&handle, ms(1), &task);
    nanos.store(10_000_000_000, Ordering::SeqCst);
    driver.turn();
    assert_eq!(handle.stats().lateness().max(), ms(8_999));
    assert_eq!(handle.stats().lateness().quantile(1.0), ms(8_999));
    drop((sleeps, beyond));
}

#[test]
fn ticks_that_are_late_or_left_out_are_missed() {
    use MissedTickBehavior::{Burst, Delay, Skip};
    // The tick of 10 ms, at 45 ms. After it, those of 20 and 30 ms come late, that of 40 ms
    // hardly; or all three never.
    for (behavior, missed, later) in [(Burst, 1, 3), (Delay, 4, 4), (Skip, 4, 4)] {
        let (nanos, driver) = set_by_hand();
        let (handle, task) = (driver.handle(), Task::new());
        let mut interval = handle.interval(ms(10));
        interval.set_missed_tick_behavior(behavior);
        assert!(interval.poll_tick(&mut task.context()).is_ready());
        assert_eq!(handle.stats().missed_ticks(), 0);
        nanos.store(45_000_000, Ordering::SeqCst);
        assert!(interval.poll_tick(&mut task.context()).is_ready());
        assert_eq!(handle.stats().missed_ticks(), missed, "{behavior:?}");
        while interval.poll_tick(&mut task.context()).is_ready() {}
        assert_eq!(handle.stats().missed_ticks(), later, "{behavior:?}");
    }
    let (nanos, mut driver) = set_by_hand();
    let every = driver.handle().call_every(ms(10), || {});
    nanos.store(45_000_000, Ordering::SeqCst);
    driver.turn();
    assert_eq!(
        driver.handle().stats().missed_ticks(),
        3,
        "20, 30 and 40 ms"
    );
    every.stop();
}

#[test]
fn turns_parks_and_interruptions_of_a_loop_are_counted() {
    let mut driver = Driver::new(ThreadPark::new());
    let (handle, task) = (driver.handle().clone(), Task::new());
    driver.turn();
    driver.park_timeout(Duration::ZERO);
    handle.unpark();
    driver.park();
    assert!(driver.next_timeout().is_none(), "announces a park");
    let _sleep = armed(&handle, secs(1), &task);
    let _later = armed(&handle, secs(2), &task);
    let stats = handle.stats();
    assert_eq!((stats.turns(), stats.parks(), stats.unparks()), (3, 3, 2));
    let shown = format!("{stats:?}");
    assert!(
        shown.contains("pending: 2") && shown.contains("lateness: 0 (p50"),
        "{shown}"
    );
}

/// What is done to one of eight timers.
#[derive(Clone, Debug)]
enum Op {
    Poll(usize),
    Reset(usize, u64),
    Replace(usize, u64),
    Advance(u64),
    Turn,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (0..8_usize).prop_map(Op::Poll),
        (0..8_usize, 0..50_u64).prop_map(|(n, wait)| Op::Reset(n, wait)),
        (0..8_usize, 0..50_u64).prop_map(|(n, wait)| Op::Replace(n, wait)),
        (0..20_u64).prop_map(Op::Advance),
        Just(Op::Turn),
    ]
}

proptest! {
    /// A second count of everything: what `Debug` of a timer shows tells whether it is armed.
    #[test]
    fn any_sequence_of_calls_is_counted_exactly(ops in prop::collection::vec(op(), 1..200)) {
        let (nanos, mut driver) = set_by_hand();
        let (handle, task) = (driver.handle().clone(), Task::new());
        let mut sleeps: Vec<_> = (0..8).map(|_| handle.sleep(ms(1))).collect();
        let pending = |sleeps: &[Sleep]| sleeps.iter().filter(|sleep| is_armed(sleep)).count();
        let (mut arms, mut cancels, mut resets, mut peak) = (0, 0, 0, 0);
        for op in ops {
            match op {
                Op::Poll(n) => {
                    let was_armed = is_armed(&sleeps[n]);
                    let poll = task.poll(&mut sleeps[n]);
                    arms += u64::from(!was_armed && poll.is_pending() && is_armed(&sleeps[n]));
                }
                Op::Reset(n, wait) => {
                    resets += u64::from(is_armed(&sleeps[n]));
                    sleeps[n].reset_after(Duration::from_nanos(wait));
                }
                Op::Replace(n, wait) => {
                    cancels += u64::from(is_armed(&sleeps[n]));
                    sleeps[n] = handle.sleep(Duration::from_nanos(wait));
                }
                Op::Advance(by) => drop(nanos.fetch_add(by, Ordering::SeqCst)),
                Op::Turn => drop(driver.turn()),
            }
            let stats = handle.stats();
            let left = pending(&sleeps) as u64;
            peak = peak.max(left);
            prop_assert_eq!(stats.pending(), handle.armed() as u64);
            prop_assert_eq!(flow(&stats), (arms, arms - cancels - left, cancels, left));
            prop_assert_eq!((stats.reset(), stats.peak()), (resets, peak));
        }
    }
}

/// Four threads arm, move, poll and drop timers while a fifth turns the driver. Afterwards each
/// timer is known to have fired, because it has woken its task or because a poll was ready, or not.
#[test]
fn the_identity_holds_under_races() {
    const THREADS: u64 = 4;
    let rounds = if cfg!(debug_assertions) {
        3_000
    } else {
        30_000
    };
    let mut driver = Driver::new(ThreadPark::new());
    let handle = driver.handle().clone();
    let (arms, fires, resets) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let done = AtomicBool::new(false);
    let turned = thread::scope(|scope| {
        let turns = scope.spawn(|| {
            let mut fired = 0;
            while !done.load(Ordering::Acquire) {
                fired += driver.park_timeout(ms(1)).fired() as u64;
            }
            fired
        });
        let reader = scope.spawn(|| {
            let mut last = handle.stats();
            while !done.load(Ordering::Acquire) {
                let stats = handle.stats();
                assert!(stats.armed() >= last.armed() && stats.fired() >= last.fired());
                assert!(stats.cancelled() >= last.cancelled() && stats.reset() >= last.reset());
                last = stats;
            }
        });
        let threads = (0..THREADS).map(|thread| {
            let (handle, arms, fires, resets) = (&handle, &arms, &fires, &resets);
            scope.spawn(move || {
                let mut random = thread + 1;
                let mut far = handle.sleep(secs(3600));
                let keeper = Task::new();
                assert!(keeper.poll(&mut far).is_pending());
                let mut own_arms = 1;
                for _ in 0..rounds {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    let bits = random >> 40;
                    far.reset_after(secs(3600 + bits % 60));
                    resets.fetch_add(1, Ordering::Relaxed);
                    let task = Task::new();
                    let mut sleep = handle.sleep(Duration::from_nanos(bits % 200_000));
                    // One that is due already may yield first: that poll is pending, too.
                    if task.poll(&mut sleep).is_ready() || has_ended(&sleep) {
                        continue;
                    }
                    own_arms += 1;
                    let mut ready = false;
                    if bits & 1 << 20 != 0 {
                        let polled = 1 + bits % 100;
                        ready = (0..polled).any(|_| task.poll(&mut sleep) == Poll::Ready(()));
                    }
                    drop(sleep);
                    while task.held() > 0 {
                        std::hint::spin_loop(); // it is being woken just now
                    }
                    fires.fetch_add(u64::from(ready || task.wakes() > 0), Ordering::Relaxed);
                }
                arms.fetch_add(own_arms, Ordering::Relaxed);
            })
        });
        threads
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        done.store(true, Ordering::Release);
        reader.join().unwrap();
        turns.join().unwrap()
    });
    let stats = handle.stats();
    assert_eq!(stats.armed(), arms.into_inner());
    assert_eq!(stats.fired(), fires.into_inner());
    assert_eq!(stats.reset(), resets.into_inner());
    assert_eq!((stats.pending(), handle.armed()), (0, 0));
    assert_eq!(stats.armed(), stats.fired() + stats.cancelled());
    assert_eq!(stats.lateness().count(), turned, "those that a turn fired");
    assert!(turned <= stats.fired());
}

#[cfg(feature = "rt")]
#[test]
fn a_runtime_has_the_sums_of_its_workers() {
    use reveille::{rt, time};
    let runtime = rt::Runtime::builder().worker_threads(2).build().unwrap();
    let tasks: Vec<_> = (0..100)
        .map(|_| runtime.spawn(time::sleep(ms(1))))
        .collect();
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
        time::sleep(ms(10)).await;
        let stats = Handle::current().stats();
        // One whose first poll came late was not armed.
        assert!((1..=101).contains(&stats.armed()), "{stats:?}");
        assert_eq!(flow(&stats), (stats.armed(), stats.armed(), 0, 0));
        assert!(stats.parks() > 0 && stats.turns() > 0);
    });
}

#[cfg(feature = "tokio")]
#[test]
fn a_tokio_runtime_has_the_sums_of_its_workers() {
    use reveille::time;
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..100).map(|_| tokio::spawn(time::sleep(ms(1)))).collect();
        for task in tasks {
            task.await.unwrap();
        }
        let stats = Handle::current().stats();
        assert!((1..=100).contains(&stats.armed()), "{stats:?}");
        assert_eq!(flow(&stats), (stats.armed(), stats.armed(), 0, 0));
        assert!(stats.turns() > 0);
    });
}

//! Tests for the peers' bugs that show only with many timers or many threads.

use std::collections::BTreeSet;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use reveille::rt::{self, Runtime};
use reveille::time::Sleep;

use crate::support::{Dial, Log, Random, Task, manual, ms, poll_with, secs, watched};

/// 5: glommio #44: the wheel checked only its first level, so a later timer there hid an earlier
/// one that had not been moved down yet.
#[test]
fn next_deadline_is_the_earliest_whatever_happened_before() {
    let (clock, driver) = manual();
    let start = clock.now();
    let mut random = Random::new(5);
    let task = Task::new();
    let mut sleeps: Vec<Sleep> = Vec::new();
    let mut model = BTreeSet::new();
    for step in 0..20_000u64 {
        // From nanoseconds to weeks.
        let far = 1 << random.below(50);
        let deadline = clock.now() + Duration::from_nanos(1 + random.below(far));
        let at = random.below(sleeps.len().max(1) as u64) as usize;
        match random.below(8) {
            0..=2 => {
                let mut sleep = driver.handle().sleep_until(deadline);
                assert!(task.poll(&mut sleep).is_pending());
                model.insert((deadline, sleeps.len()));
                sleeps.push(sleep);
            }
            3 | 4 if !sleeps.is_empty() => {
                model.remove(&(sleeps[at].deadline(), at));
                sleeps[at].reset_at(deadline);
                assert!(task.poll(&mut sleeps[at]).is_pending());
                model.insert((deadline, at));
            }
            5 | 6 if !sleeps.is_empty() => {
                let last = sleeps.len() - 1;
                model.remove(&(sleeps[at].deadline(), at));
                if model.remove(&(sleeps[last].deadline(), last)) && at != last {
                    model.insert((sleeps[last].deadline(), at));
                }
                drop(sleeps.swap_remove(at));
            }
            _ => {
                clock.advance(Duration::from_nanos(random.below(far / 8 + 1)));
                model.retain(|(deadline, _)| *deadline > clock.now());
            }
        }
        let earliest = model.first().map(|(deadline, _)| *deadline);
        assert_eq!(driver.next_deadline(), earliest, "step {step}");
        assert_eq!(driver.handle().armed(), model.len(), "step {step}");
    }
    assert!(clock.now() > start + secs(3600));
}

/// 8: tokio #8252 leaked the entry of a timer that was cancelled while it was being inserted.
#[test]
fn timer_dropped_while_another_thread_fires_it_is_gone() {
    watched(|| {
        for _ in 0..300 {
            let (clock, driver) = manual();
            let tasks: Vec<_> = (0..64).map(|_| Task::new()).collect();
            let mut sleeps: Vec<_> = (0..64)
                .map(|i| driver.handle().sleep(ms(i / 8 + 1)))
                .collect();
            for (task, sleep) in tasks.iter().zip(&mut sleeps) {
                assert!(task.poll(sleep).is_pending());
            }
            let start = Arc::new(Barrier::new(2));
            let together = start.clone();
            let thread = thread::spawn(move || {
                together.wait();
                drop(sleeps);
            });
            start.wait();
            clock.advance(ms(10));
            thread.join().unwrap();
            assert_eq!(driver.handle().armed(), 0);
            assert!(
                tasks
                    .iter()
                    .all(|task| task.wakes() <= 1 && task.held() == 0)
            );
        }
    });
}

/// 10: pingora never removed a cancelled timer, and the JDK keeps cancelled tasks until they are
/// due, so the timeouts of requests long answered filled the memory. Two million of them would take
/// 32 MB here, if no more than 16 bytes of each stayed.
#[test]
#[cfg(target_os = "linux")]
fn cancelled_timers_do_not_pile_up() {
    let pages = || {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap()
    };
    let (clock, driver) = manual();
    let task = Task::new();
    let mut random = Random::new(10);
    let mut before = None;
    for round in 0..2_000 {
        let mut batch: Vec<_> = (0..1000)
            .map(|_| driver.handle().sleep(secs(60 + random.below(10_000))))
            .collect();
        for sleep in &mut batch {
            assert!(task.poll(sleep).is_pending());
        }
        clock.advance(ms(1));
        drop(batch);
        assert_eq!((driver.handle().armed(), task.held()), (0, 0));
        if round == 100 {
            before = Some(pages());
        }
    }
    let grown = pages().saturating_sub(before.unwrap()) * 4096;
    assert!(grown < 16 << 20, "{grown} bytes more");
}

/// 12: a storm: async-io wakes in the order of a map's keys, all in one go. Here the order is that
/// of arming, and a task that is ready runs after at most a thousand.
#[test]
fn a_storm_of_equal_deadlines_is_in_order_and_starves_no_task() {
    const TIMERS: usize = 100_000;

    watched(|| {
        let dial = Dial::default();
        let builder = Runtime::builder().worker_threads(1).clock(dial.clock());
        let runtime = builder.build().unwrap();
        let timers = runtime.handle().timers();
        let log = Log::new();
        let mut sleeps: Vec<_> = (0..TIMERS).map(|_| timers.sleep(ms(5))).collect();
        for (i, sleep) in sleeps.iter_mut().enumerate() {
            assert!(poll_with(sleep, &log.waker(i)).is_pending());
        }
        dial.set(ms(5));
        let seen = log.clone();
        let order = runtime.block_on(async move {
            let mut order = Vec::new();
            let mut turns = 0;
            while order.len() < TIMERS {
                let fired = seen.take();
                assert!(fired.len() <= 2048, "{} fired at one go", fired.len());
                order.extend(fired);
                turns += 1;
                assert!(turns <= TIMERS, "time does not advance");
                rt::yield_now().await;
            }
            order
        });
        assert!(order.into_iter().eq(0..TIMERS));
    });
}

/// 13: calloop's counter of ties was compared as if it could not wrap. Ours is a `u32`, whose wrap
/// takes more steps than a test has (`store`'s own tests start near it), but this test would show a
/// wrap of 16 bits.
#[test]
fn order_of_equals_survives_many_insertions() {
    let (clock, driver) = manual();
    let log = Log::new();
    let at = clock.now() + secs(5);
    let mut kept = Vec::new();
    for i in 0..200_000 {
        let mut sleep = driver.handle().sleep_until(at);
        assert!(poll_with(&mut sleep, &log.waker(i)).is_pending());
        if i % 1000 == 0 {
            kept.push(sleep);
        }
    }
    clock.advance(secs(5));
    assert!(log.take().into_iter().eq((0..200_000).step_by(1000)));
}

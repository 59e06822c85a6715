//! Tests of races between two threads: every timer fires once, and not early.
//!
//! They use real threads and real time, for about a second in all. A lost wake leaves a thread
//! parked, which the watchdog detects. Random mixes of operations are in `stress`.

#![cfg(all(not(loom), feature = "fallback"))]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use reveille::{Driver, DriverThread, ManualClock, Park, ThreadPark, Unpark};

use support::timer::{Dropped, Timer};
use support::{Random, Task, ms, secs, watched};

/// The other thread arms the timer sometimes before and sometimes after the driver computes its
/// timeout. A lost interruption would leave the driver parked for an hour.
#[test]
fn a_timer_armed_while_the_driver_parks_interrupts_it() {
    watched(|| {
        let timers = DriverThread::new().unwrap();
        let handle = timers.handle();
        let mut far = handle.sleep(secs(3600));
        assert!(Task::new().poll(&mut far).is_pending());
        let mut random = Random::new(1);
        for _ in 0..2_000 {
            let limit = Duration::from_nanos(random.below(100_000));
            Timer::new(handle, limit).wait(handle);
        }
    });
}

#[test]
fn timers_whose_driver_is_dropped_end_on_another_and_not_early() {
    watched(|| {
        for round in 0..20 {
            let timers = DriverThread::new().unwrap();
            let start = Arc::new(Barrier::new(4));
            let threads: Vec<_> = (0..3)
                .map(|seed| {
                    let (handle, start) = (timers.handle().clone(), start.clone());
                    thread::spawn(move || {
                        let mut random = Random::new(round * 3 + seed);
                        start.wait();
                        for _ in 0..50 {
                            let limit = Duration::from_nanos(random.below(200_000));
                            let deadline = handle.now() + limit;
                            pollster::block_on(handle.sleep(limit));
                            assert!(handle.now() >= deadline);
                        }
                    })
                })
                .collect();
            start.wait();
            pollster::block_on(timers.handle().sleep(ms(1)));
            drop(timers);
            for thread in threads {
                thread.join().unwrap();
            }
        }
    });
}

#[test]
fn reset_and_drop_race_with_a_driver_that_fires() {
    watched(|| {
        let mut driver = Driver::new(ThreadPark::new());
        let unpark = driver.get_ref().unparker();
        let handle = driver.handle().clone();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let racer = thread::spawn(move || {
            let mut gone = Vec::new();
            for round in 0..3_000 {
                let mut timer = Timer::new(&handle, Duration::from_micros(20));
                timer.is_over(&handle);
                for _ in 0..round % 50 {
                    std::hint::spin_loop();
                }
                if round % 2 == 0 {
                    timer.armed += 1;
                    timer
                        .sleep
                        .reset_at(handle.now() + Duration::from_micros(20));
                    gone.push(timer.wait(&handle));
                } else {
                    gone.push(timer.drop_timer());
                }
            }
            stopped.store(true, Ordering::SeqCst);
            unpark.unpark();
            gone
        });
        while !stop.load(Ordering::SeqCst) {
            driver.park();
        }
        assert_eq!(driver.handle().armed(), 0);
        racer.join().unwrap().iter().for_each(Dropped::check);
    });
}

#[test]
fn several_threads_move_one_clock_forward_only() {
    watched(|| {
        let clock = ManualClock::new();
        let start = clock.now();
        let threads: Vec<_> = (0..3)
            .map(|seed| {
                let clock = clock.clone();
                thread::spawn(move || {
                    let driver = Driver::builder().clock(&clock).build_with_unpark(|| {});
                    let mut random = Random::new(seed);
                    let mut before = clock.now();
                    let task = Task::new();
                    for _ in 0..2_000 {
                        let mut sleep = driver.handle().sleep(ms(random.below(10)));
                        let due = sleep.deadline();
                        let pending = task.poll(&mut sleep).is_pending();
                        clock.advance(ms(random.below(10)));
                        let now = clock.now();
                        assert!(now >= before);
                        assert!(pending || now >= due);
                        match task.poll(&mut sleep) {
                            Poll::Ready(()) => assert!(clock.now() >= due),
                            Poll::Pending if now < due => {}
                            // A poll yields now and then, because so many of its timers are due.
                            Poll::Pending => assert!(task.poll(&mut sleep).is_ready()),
                        }
                        before = now;
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(clock.now() > start);
    });
}

//! Does every timer fire, once and not early, while threads arm, move and drop them at random?
//!
//! Real threads and real time, for about two seconds in all. A wake that is lost leaves a thread
//! parked, which is what the watchdog is for.

#![cfg(all(not(loom), feature = "fallback"))]

mod support;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use reveille::time::Sleep;
use reveille::{Driver, DriverThread, Handle, ManualClock, Park, ThreadPark, Unpark};

use support::{Random, Task, ms, poll_with, secs, watched};

/// Counts the wakes of one timer and unparks the thread that waits for it.
struct Notify {
    wakes: AtomicUsize,
    thread: thread::Thread,
}

impl Wake for Notify {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::SeqCst);
        self.thread.unpark();
    }
}

/// A timer under way, and what may be said of it.
struct Timer {
    sleep: Sleep,
    notify: Arc<Notify>,
    waker: Waker,
    /// How often it was armed: it may have been woken that often, and no more.
    armed: usize,
}

impl Timer {
    fn new(handle: &Handle, limit: Duration) -> Self {
        let notify = Arc::new(Notify {
            wakes: AtomicUsize::new(0),
            thread: thread::current(),
        });
        Self {
            sleep: handle.sleep(limit),
            waker: Waker::from(notify.clone()),
            notify,
            armed: 1,
        }
    }

    fn wakes(&self) -> usize {
        self.notify.wakes.load(Ordering::SeqCst)
    }

    fn is_over(&mut self, handle: &Handle) -> bool {
        let wakes = self.wakes();
        assert!(wakes <= self.armed, "woken {wakes} times of {}", self.armed);
        let deadline = self.sleep.deadline();
        if wakes == self.armed {
            assert!(handle.now() >= deadline, "woken early");
        }
        let over = poll_with(&mut self.sleep, &self.waker) == Poll::Ready(());
        assert!(!over || handle.now() >= deadline, "ready early");
        over
    }

    /// Waits for the timer's own wake: a poll alone would find it over without.
    fn wait(mut self, handle: &Handle) -> Dropped {
        loop {
            let seen = self.wakes();
            if self.is_over(handle) {
                return self.drop_timer();
            }
            while self.wakes() == seen {
                thread::park();
            }
        }
    }

    fn drop_timer(self) -> Dropped {
        Dropped {
            notify: self.notify,
            armed: self.armed,
        }
    }
}

/// What is left of a timer that is gone; a wake may have been under way.
struct Dropped {
    notify: Arc<Notify>,
    armed: usize,
}

impl Dropped {
    /// For when nothing is under way any more.
    fn check(&self) {
        assert!(self.notify.wakes.load(Ordering::SeqCst) <= self.armed);
        assert_eq!(Arc::strong_count(&self.notify), 1, "a waker is left");
    }
}

/// Arms, moves and drops timers until told to stop, then waits for all that are left.
fn churn(handle: &Handle, seed: u64, stop: &AtomicBool) -> Vec<Dropped> {
    let mut random = Random::new(seed);
    let mut timers: Vec<Timer> = Vec::new();
    let mut gone = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let limit = Duration::from_nanos(random.below(3_000_000));
        let at = random.below(timers.len().max(1) as u64) as usize;
        match random.below(8) {
            0..=2 if timers.len() < 200 => {
                let mut timer = Timer::new(handle, limit);
                if !timer.is_over(handle) {
                    timers.push(timer);
                }
            }
            3 | 4 if !timers.is_empty() => {
                let timer = &mut timers[at];
                // Fired or not, which nobody knows: it may wake for the new deadline once more.
                timer.armed += 1;
                timer.sleep.reset_at(handle.now() + limit);
            }
            5 if !timers.is_empty() => gone.push(timers.swap_remove(at).drop_timer()),
            6 if !timers.is_empty() => gone.push(timers.swap_remove(at).wait(handle)),
            _ => {
                for at in (0..timers.len()).rev() {
                    if timers[at].is_over(handle) {
                        gone.push(timers.swap_remove(at).drop_timer());
                    }
                }
            }
        }
    }
    gone.extend(timers.into_iter().map(|timer| timer.wait(handle)));
    gone
}

#[test]
fn threads_that_arm_move_and_drop_lose_no_wake() {
    watched(|| {
        let timers = DriverThread::new().unwrap();
        let handle = timers.handle().clone();
        let stop = Arc::new(AtomicBool::new(false));
        let threads: Vec<_> = (0..4)
            .map(|seed| {
                let (handle, stop) = (handle.clone(), stop.clone());
                thread::spawn(move || churn(&handle, seed, &stop))
            })
            .collect();
        pollster::block_on(handle.sleep(secs(1)));
        stop.store(true, Ordering::Relaxed);
        let gone: Vec<_> = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect();
        assert_eq!(handle.armed(), 0);
        // Joined, the driver has no wake under way.
        drop(timers);
        assert!(gone.len() > 100, "{} timers", gone.len());
        gone.iter().for_each(Dropped::check);
    });
}

/// The arming thread comes now before, now after the driver computes its sleep; an interruption
/// that is lost would leave it parked for an hour.
#[test]
fn timer_armed_while_the_driver_falls_asleep_interrupts_it() {
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
fn timers_whose_driver_is_dropped_under_them_end_elsewhere_and_not_early() {
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
fn hands_on_several_threads_move_one_clock_forward_only() {
    watched(|| {
        let clock = ManualClock::new();
        let start = clock.now();
        let hands: Vec<_> = (0..3)
            .map(|seed| {
                let clock = clock.clone();
                thread::spawn(move || {
                    let driver = Driver::builder().clock(&clock).build_with_unpark(|| {});
                    let mut random = Random::new(seed);
                    let task = Task::new();
                    let mut before = clock.now();
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
                            Poll::Pending => assert!(now < due),
                        }
                        before = now;
                    }
                })
            })
            .collect();
        for hand in hands {
            hand.join().unwrap();
        }
        assert!(clock.now() > start);
    });
}

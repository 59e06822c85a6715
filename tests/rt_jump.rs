//! Tests of a waiting runtime when something changes without a timer being armed: a clock jumps, or
//! a timer is reset to the past.

#![cfg(all(not(loom), feature = "rt"))]

mod support;

use std::sync::mpsc;
use std::thread;

use futures::channel::oneshot;
use reveille::rt::Runtime;
use reveille::time::{Instant, sleep};
use reveille::{Clock, Handle, ManualClock};

use support::{Count, Dial, Task, secs, watched};

/// Returns a runtime, and a function that tells whether a number of its workers are parked.
fn watched_runtime(
    workers: usize,
    clock: impl Into<Clock>,
) -> (Runtime, impl Fn(usize) + Send + Clone + 'static) {
    let (parks, unparks) = (Count::default(), Count::default());
    let (park, unpark) = (parks.clone(), unparks.clone());
    let runtime = Runtime::builder()
        .worker_threads(workers)
        .clock(clock)
        .on_thread_park(move || park.add())
        .on_thread_unpark(move || unpark.add())
        .build()
        .unwrap();
    let wait_until_parked = move |count| {
        // In this order, so that a worker that unparks in between counts as running.
        while {
            let up = unparks.get();
            parks.get().saturating_sub(up) < count
        } {
            thread::yield_now();
        }
    };
    (runtime, wait_until_parked)
}

/// The runtime checked only whether a timer had changed, and waited for an hour on a clock that had
/// jumped.
#[test]
fn unpark_after_a_clock_has_jumped_fires_the_timers_due_by_then() {
    watched(|| {
        for workers in [1, 2] {
            let dial = Dial::default();
            let (runtime, wait_until_parked) = watched_runtime(workers, dial.clock());
            let (given, taken) = mpsc::channel::<Handle>();
            let jump = thread::spawn(move || {
                let handle = taken.recv().unwrap();
                wait_until_parked(workers);
                dial.set(secs(3600));
                handle.unpark();
            });
            runtime.block_on(async move {
                let start = Instant::now();
                given.send(Handle::current()).unwrap();
                sleep(secs(3600)).await;
                assert_eq!(start.elapsed(), secs(3600));
            });
            jump.join().unwrap();
        }
    });
}

/// The runtime waited for the timer's old deadline, so a thread that armed a later timer did not
/// notify it, and time never advanced to that one.
#[test]
fn a_timer_armed_after_another_was_reset_to_the_past_fires() {
    watched(|| {
        for workers in [1, 2] {
            let clock = ManualClock::new();
            let (runtime, wait_until_parked) = watched_runtime(workers, &clock);
            let (asked, asks) = mpsc::channel::<(Handle, oneshot::Sender<()>)>();
            let wait = wait_until_parked.clone();
            let external = thread::spawn(move || {
                for (handle, sender) in asks {
                    wait(workers);
                    pollster::block_on(handle.sleep(secs(20)));
                    sender.send(()).unwrap();
                }
            });
            runtime.block_on(async move {
                // Repeated, because the other worker has to stay parked through all of it.
                for _ in 0..200 {
                    let start = Instant::now();
                    let task = Task::new();
                    let mut reset = sleep(secs(10));
                    assert!(task.poll(&mut reset).is_pending());
                    wait_until_parked(workers - 1);
                    reset.reset_at(start);
                    assert_eq!(task.wakes(), 1, "at once");
                    let (sender, receiver) = oneshot::channel();
                    asked.send((Handle::current(), sender)).unwrap();
                    receiver.await.unwrap();
                    assert_eq!(start.elapsed(), secs(20));
                }
            });
            external.join().unwrap();
        }
    });
}

//! An hour of retries in no time, as in a test with a manual clock.
//!
//! ```sh
//! cargo run --release --features rt --example manual_clock
//! ```
//!
//! First the program moves the clock itself, as a test of a scheduler would:
//! [`ManualClock::advance`] fires every timer that comes due, in order, before it returns. Then
//! inside [`rt`](reveille::rt), time advances automatically as soon as no task is left to run.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use reveille::rt::{self, Runtime};
use reveille::time::{self, Instant, Sleep};
use reveille::{Driver, ManualClock, ThreadPark};

fn main() {
    with_advance();
    in_a_runtime();
}

/// A waker that logs when it was woken, and its name.
struct Note {
    name: &'static str,
    clock: ManualClock,
    log: Arc<Mutex<Vec<(&'static str, Instant)>>>,
}

impl Wake for Note {
    fn wake(self: Arc<Self>) {
        let entry = (self.name, self.clock.now());
        self.log.lock().expect("no entry panics").push(entry);
    }
}

fn with_advance() {
    println!("By hand: three timers, armed in no order, and one advance.\n");
    let clock = ManualClock::new();
    let driver = Driver::builder().clock(&clock).build(ThreadPark::new());
    let start = clock.now();
    let log = Arc::default();

    let arm = |name, seconds| {
        let mut sleep = driver.handle().sleep(Duration::from_secs(seconds));
        let note = Note {
            name,
            clock: clock.clone(),
            log: Arc::clone(&log),
        };
        let waker = Waker::from(Arc::new(note));
        let poll = Pin::new(&mut sleep).poll(&mut Context::from_waker(&waker));
        assert!(poll.is_pending(), "time does not advance by itself");
        sleep
    };
    let lease = arm("lease", 1800);
    let mut heartbeat = arm("heartbeat", 30);
    let token = arm("token", 600);
    // A heartbeat has arrived: its timer is moved in place, behind the token.
    heartbeat.reset_at(start + Duration::from_secs(900));

    clock.advance(Duration::from_secs(3600));

    let log = log.lock().expect("no entry panics");
    for (name, at) in log.iter() {
        println!("  at {:>6?}  {name}", *at - start);
    }
    let names: Vec<_> = log.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["token", "heartbeat", "lease"]);
    let elapsed = |sleep: &Sleep| sleep.is_elapsed();
    assert!([&lease, &heartbeat, &token].into_iter().all(elapsed));
    assert_eq!(clock.now() - start, Duration::from_secs(3600));
}

/// A service that is down for its first 55 minutes.
async fn call(service_up: Instant) -> Result<&'static str, &'static str> {
    time::sleep(Duration::from_millis(80)).await; // the network
    if Instant::now() < service_up {
        Err("refused")
    } else {
        Ok("welcome")
    }
}

fn in_a_runtime() {
    println!("\nBy itself: retries, 1 s apart, then 2 s, 4 s, … up to 5 minutes.\n");
    let wall = std::time::Instant::now();
    let clock = ManualClock::new();
    let runtime = Runtime::builder().worker_threads(1).clock(&clock).build();
    let start = clock.now();
    let beats = Rc::new(RefCell::new(0));

    let attempts = runtime.unwrap().block_on(async {
        let counted = beats.clone();
        rt::spawn_local(async move {
            let mut beat = time::interval(Duration::from_secs(1));
            loop {
                beat.tick().await;
                *counted.borrow_mut() += 1;
            }
        });

        let service_up = start + Duration::from_secs(55 * 60);
        let mut pause = Duration::from_secs(1);
        let mut attempts = 0;
        loop {
            attempts += 1;
            let answer = time::timeout(Duration::from_secs(2), call(service_up)).await;
            let answer = answer.expect("80 ms are less than two seconds");
            println!(
                "  at {:>10.2?}  attempt {attempts:2}: {answer:?}",
                start.elapsed()
            );
            if answer.is_ok() {
                return attempts;
            }
            time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(300));
        }
    });

    // A test may rely on each of these, because nothing here depends on how fast the machine is.
    assert_eq!(attempts, 20);
    assert_eq!(clock.now() - start, Duration::from_millis(3_512_600));
    assert_eq!(*beats.borrow(), 3513); // at 0 s, and after each second
    println!(
        "\n  {:?} and {} heartbeats later; on the wall {:?} have passed.",
        clock.now() - start,
        beats.borrow(),
        wall.elapsed(),
    );
}

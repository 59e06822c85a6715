//! Threads that arm, move and drop timers of a driver whose slack changes and which may end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use reveille::{Driver, DriverThread, Handle, ThreadPark};

use crate::support::timer::{Dropped, Timer};
use crate::support::{Count, Random};
use crate::{Report, micros, wait_until};

/// A driver that is turned until it is dropped.
enum Turned {
    Thread(DriverThread),
    /// A loop that parks, parks with timeouts, and turns, at random.
    Loop(Handle, Arc<AtomicBool>, thread::JoinHandle<()>),
}

impl Turned {
    fn new(random: &mut Random) -> Self {
        if random.below(2) == 0 {
            return Self::Thread(DriverThread::new().unwrap());
        }
        let mut driver = Driver::new(ThreadPark::new());
        let (handle, stop) = (driver.handle().clone(), Arc::new(AtomicBool::new(false)));
        let (stopped, mut random) = (stop.clone(), Random::new(random.below(u64::MAX)));
        let turns = move || {
            while !stopped.load(Ordering::SeqCst) {
                match random.below(4) {
                    0 => drop(driver.turn()),
                    1 => drop(driver.park_timeout(micros(&mut random, 200))),
                    _ => drop(driver.park()),
                }
            }
        };
        Self::Loop(handle, stop, thread::spawn(turns))
    }

    fn handle(&self) -> &Handle {
        match self {
            Self::Thread(thread) => thread.handle(),
            Self::Loop(handle, ..) => handle,
        }
    }

    fn end(self) {
        if let Self::Loop(handle, stop, thread) = self {
            stop.store(true, Ordering::SeqCst);
            handle.unpark();
            thread.join().unwrap();
        }
    }
}

/// The state of one thread.
struct Churn {
    handle: Handle,
    random: Random,
    timers: Vec<Timer>,
    gone: Vec<Dropped>,
    under_way: Arc<AtomicUsize>,
}

impl Churn {
    /// Arms, moves and drops timers until told to stop, then waits for all that are left.
    fn run(mut self, stop: &AtomicBool) -> Vec<Dropped> {
        while !stop.load(Ordering::Relaxed) {
            self.step();
            self.under_way.store(self.timers.len(), Ordering::Relaxed);
        }
        while let Some(timer) = self.timers.pop() {
            self.gone.push(timer.wait(&self.handle));
            self.under_way.store(self.timers.len(), Ordering::Relaxed);
        }
        self.gone
    }

    fn step(&mut self) {
        let (handle, timers) = (&self.handle, &mut self.timers);
        let limit = micros(&mut self.random, 3_000);
        let at = self.random.below(timers.len().max(1) as u64) as usize;
        match self.random.below(40) {
            0..15 if timers.len() < 200 => {
                let mut timer = Timer::new(handle, limit);
                if !timer.is_over(handle) {
                    timers.push(timer);
                }
            }
            15..25 if !timers.is_empty() => timers[at].reset(handle, limit),
            25..30 if !timers.is_empty() => self.gone.push(timers.swap_remove(at).drop_timer()),
            30..35 if !timers.is_empty() => self.gone.push(timers.swap_remove(at).wait(handle)),
            35 => handle.set_slack(micros(&mut self.random, 300)),
            36 => handle.unpark(),
            _ => {
                for at in (0..timers.len()).rev() {
                    if timers[at].is_over(handle) {
                        self.gone.push(timers.swap_remove(at).drop_timer());
                    }
                }
            }
        }
    }
}

pub(crate) fn round(random: &mut Random, report: &Report) {
    let driver = Turned::new(random);
    let handle = driver.handle().clone();
    let (seen, ended) = (handle.clone(), Count::default());
    report.add_state("driver", move || format!("{seen:?}"));
    let stop = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..2 + random.below(4))
        .map(|n| {
            let churn = Churn {
                handle: handle.clone(),
                random: Random::new(random.below(u64::MAX)),
                timers: Vec::new(),
                gone: Vec::new(),
                under_way: Arc::default(),
            };
            let under_way = churn.under_way.clone();
            report.add_state(format!("thread {n}"), move || {
                format!("{under_way:?} timers left")
            });
            let (stop, ended) = (stop.clone(), ended.clone());
            thread::spawn(move || {
                let gone = churn.run(&stop);
                ended.add();
                gone
            })
        })
        .collect();
    thread::sleep(Duration::from_millis(20 + random.below(100)));
    // Before or after the threads have finished waiting.
    let early_end = random.below(2) == 0;
    let mut driver = Some(driver);
    if let Some(driver) = driver.take_if(|_| early_end) {
        driver.end();
    }
    stop.store(true, Ordering::Relaxed);
    let gone: Vec<_> = threads
        .into_iter()
        .flat_map(|thread| thread.join().unwrap())
        .collect();
    if let Some(driver) = driver {
        assert_eq!(handle.armed(), 0);
        driver.end();
        // Its thread was joined, so the driver has no wake under way.
        gone.iter().for_each(Dropped::check);
    }
    assert!(handle.is_closed());
    wait_until(|| gone.iter().all(Dropped::is_released));
}

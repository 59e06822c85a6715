//! What the models are made of: time, a loop to park in, tasks.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::runtime::Runtime;
use crate::time::Sleep;
use crate::{Clock, Driver, Handle, Park, Unpark};
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::sync::{Condvar, Mutex};
use loom::thread::{JoinHandle, ThreadId};

/// Longer than any model lasts: a park for as long ends by an unpark, or is a deadlock.
pub(crate) const LONG: Duration = Duration::from_secs(3600);

/// Runs `model` in every order, or in those with at most `preemptions` where all would take long.
pub(crate) fn check(preemptions: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(preemptions);
    // Loom's default of a thousand is for models without a storm.
    builder.max_branches = 1500;
    builder.check(model);
}

/// The threads of a model, each of which is the first one in some order.
///
/// Loom looks for the other order of two steps only if they touch one object and no later step on
/// it came in between. A thread that reads a word before it writes it hides the write from threads
/// that have read it before. With all threads starting by a step on one object, each is first once.
#[derive(Clone)]
pub(crate) struct Race(Arc<AtomicU64>);

impl Race {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(0)))
    }

    /// The calling thread's first step. A spawned thread takes it by itself.
    pub(crate) fn enter(&self) {
        // Relaxed: an order of steps, but nothing that one thread may learn from another.
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn spawn<T: 'static>(&self, run: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
        let race = self.clone();
        loom::thread::spawn(move || {
            race.enter();
            run()
        })
    }
}

/// Runs `there` on another thread and `here` on this one, each of which is the first one in some
/// order. Returns both results when both have ended.
pub(crate) fn at_once<T: 'static, U>(
    there: impl FnOnce() -> T + 'static,
    here: impl FnOnce() -> U,
) -> (T, U) {
    let race = Race::new();
    let other = race.spawn(there);
    race.enter();
    let result = here();
    (other.join().unwrap(), result)
}

pub(crate) const fn ns(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

/// The time in nanoseconds. Read without synchronization, as a counter of frames or ticks may be:
/// nothing may rely on it to be new.
#[derive(Clone)]
pub(crate) struct Time(Arc<AtomicU64>);

impl Time {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(0)))
    }

    pub(crate) fn set(&self, nanos: u64) {
        self.0.store(nanos, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn clock(&self) -> Clock {
        let time = self.0.clone();
        Clock::custom(move || ns(time.load(Ordering::Relaxed)))
    }

    /// A driver on this time that parks in a [`Room`].
    pub(crate) fn driver(&self) -> Driver<Room> {
        Driver::builder()
            .clock(self.clock())
            .slack(Duration::ZERO)
            .build(Room::new(self))
    }

    /// A driver on this time that does not park.
    pub(crate) fn turner(&self) -> Driver<()> {
        Driver::builder()
            .clock(self.clock())
            .slack(Duration::ZERO)
            .build_with_unpark(|| {})
    }
}

/// A park: one token, by the contract of [`Park`]. A short wait passes at once, and time with it.
pub(crate) struct Room {
    token: Arc<Token>,
    time: Time,
}

#[derive(Clone)]
pub(crate) struct Door(Arc<Token>);

struct Token {
    present: Mutex<bool>,
    changed: Condvar,
}

impl Room {
    pub(crate) fn new(time: &Time) -> Self {
        let token = Arc::new(Token {
            present: Mutex::new(false),
            changed: Condvar::new(),
        });
        let time = time.clone();
        Self { token, time }
    }
}

impl Park for Room {
    type Unpark = Door;

    fn unparker(&self) -> Door {
        Door(self.token.clone())
    }

    fn park(&mut self, timeout: Option<Duration>) {
        let mut present = self.token.present.lock().unwrap();
        match timeout.filter(|timeout| *timeout < LONG / 2) {
            Some(_) if *present => {}
            Some(timeout) => {
                let now = self.time.0.load(Ordering::Relaxed);
                self.time.set(now + timeout.as_nanos() as u64);
            }
            None => {
                while !*present {
                    present = self.token.changed.wait(present).unwrap();
                }
            }
        }
        *present = false;
    }
}

impl Unpark for Door {
    fn unpark(&self) {
        *self.0.present.lock().unwrap() = true;
        self.0.changed.notify_one();
    }
}

pub(crate) const NEVER: u64 = u64::MAX;

/// The loop of a runtime: knows when it is to wake.
#[derive(Clone)]
pub(crate) struct Loop {
    pub(crate) time: Time,
    /// Not an atomic: loom keeps the last seven stores of an atomic, and after more a swap may read
    /// an old one.
    at: Arc<Mutex<u64>>,
    pub(crate) runtime: Runtime,
}

impl Loop {
    pub(crate) fn new(threads: usize, notify_on_cancel: bool) -> Self {
        Self::calling(threads, notify_on_cancel, Duration::ZERO, || {})
    }

    /// `slack`: that of the runtime; `inside` is called each time that its wake source is set.
    pub(crate) fn calling(
        threads: usize,
        notify_on_cancel: bool,
        slack: Duration,
        mut inside: impl FnMut() + Send + 'static,
    ) -> Self {
        let time = Time::new();
        let at = Arc::new(Mutex::new(NEVER));
        let set = at.clone();
        let runtime = Runtime::with_slack(
            time.clock(),
            threads,
            notify_on_cancel,
            slack,
            move |until| {
                *set.lock().unwrap() = until;
                inside();
                true
            },
        );
        runtime.expire();
        Self { time, at, runtime }
    }

    /// Lets time pass until the loop is to wake. Returns `false` if it is not to.
    pub(crate) fn turn(&self) -> bool {
        let at = std::mem::replace(&mut *self.at.lock().unwrap(), NEVER);
        if at == NEVER {
            return false;
        }
        self.time.set(at.max(self.time.get()));
        self.runtime.expire();
        true
    }

    /// Returns when the loop is to wake.
    pub(crate) fn at(&self) -> u64 {
        *self.at.lock().unwrap()
    }
}

/// A task: counts how often it is woken, and knows how many wakers of it there are.
pub(crate) struct Task {
    counter: Arc<Counter>,
    waker: Waker,
}

struct Counter {
    wakes: AtomicUsize,
    /// Of the loop that the task belongs to, if it sleeps in one.
    door: Option<Door>,
}

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
        if let Some(door) = &self.door {
            door.unpark();
        }
    }
}

impl Task {
    pub(crate) fn new() -> Self {
        Self::make(None)
    }

    /// A task of the loop that `door` leads to.
    pub(crate) fn behind(door: Door) -> Self {
        Self::make(Some(door))
    }

    fn make(door: Option<Door>) -> Self {
        let wakes = AtomicUsize::new(0);
        let counter = Arc::new(Counter { wakes, door });
        let waker = Waker::from(counter.clone());
        Self { counter, waker }
    }

    pub(crate) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    pub(crate) fn wakes(&self) -> usize {
        self.counter.wakes.load(Ordering::Relaxed)
    }

    /// Returns whether no waker is left but the task's own.
    pub(crate) fn is_released(&self) -> bool {
        Arc::strong_count(&self.counter) == 2
    }

    /// Polls `sleep` as this task. Returns whether it is ready.
    pub(crate) fn poll(&self, sleep: &mut Sleep) -> bool {
        poll(sleep, &self.waker)
    }

    /// A sleep of this task, armed.
    pub(crate) fn sleep(&self, handle: &Handle, duration: Duration) -> Sleep {
        let mut sleep = handle.sleep(duration);
        assert!(!self.poll(&mut sleep));
        sleep
    }
}

/// Returns whether `sleep` is ready when polled with `waker`.
pub(crate) fn poll(sleep: &mut Sleep, waker: &Waker) -> bool {
    let mut cx = Context::from_waker(waker);
    Pin::new(sleep).poll(&mut cx) == Poll::Ready(())
}

/// Records on which thread it was woken, in order with the others of its log.
pub(crate) struct Recorder {
    name: u64,
    log: Log,
}

pub(crate) type Log = Arc<std::sync::Mutex<Vec<(ThreadId, u64)>>>;

impl Recorder {
    pub(crate) fn log() -> Log {
        Log::default()
    }

    pub(crate) fn waker(name: u64, log: &Log) -> Waker {
        let log = log.clone();
        Waker::from(Arc::new(Self { name, log }))
    }
}

impl Wake for Recorder {
    fn wake(self: Arc<Self>) {
        let here = loom::thread::current().id();
        self.log.lock().unwrap().push((here, self.name));
    }
}

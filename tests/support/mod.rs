//! What the tests share.
//!
//! Tasks that count their wakes, wakers made from closures, clocks that are set without firing any
//! timer, and a watchdog for tests that could hang.

#![allow(dead_code, reason = "every test file uses another part of it")]

pub(crate) mod timer;

use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::process::Command;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

#[cfg(feature = "rt")]
use reveille::rt::{Handle, JoinHandle, Runtime};
use reveille::{Clock, Driver, ManualClock};

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Returns a manual clock, and a driver on it for a loop that never blocks.
pub(crate) fn manual() -> (ManualClock, Driver<()>) {
    let clock = ManualClock::new();
    let driver = Driver::builder().clock(&clock).build_with_unpark(|| {});
    (clock, driver)
}

/// Does the same as [`manual`], and counts how often the loop is interrupted.
pub(crate) fn manual_counting_unparks() -> (ManualClock, Driver<()>, Count) {
    let clock = ManualClock::new();
    let unparks = Count::default();
    let counted = unparks.clone();
    let driver = Driver::builder()
        .clock(&clock)
        .build_with_unpark(move || counted.add());
    (clock, driver, unparks)
}

/// A number that threads and wakers count up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Count(Arc<AtomicUsize>);

impl Count {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// A list of what happened, in order.
#[derive(Debug)]
pub(crate) struct Log<T>(Arc<Mutex<Vec<T>>>);

impl<T> Clone for Log<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Send + 'static> Log<T> {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    pub(crate) fn push(&self, entry: T) {
        self.0.lock().unwrap().push(entry);
    }

    /// Takes out the entries that were logged so far.
    pub(crate) fn take(&self) -> Vec<T> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// Returns a waker that logs `entry` each time.
    pub(crate) fn waker(&self, entry: T) -> Waker
    where
        T: Clone + Sync,
    {
        let log = self.clone();
        waker(move || log.push(entry.clone()))
    }
}

/// A task that counts how often it was woken and how many of its wakers exist.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    wakes: Arc<Wakes>,
    waker: Waker,
}

#[derive(Debug)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Task {
    pub(crate) fn new() -> Self {
        let wakes = Arc::new(Wakes(AtomicUsize::new(0)));
        let waker = Waker::from(wakes.clone());
        Self { wakes, waker }
    }

    pub(crate) fn poll<F: Future + Unpin>(&self, future: &mut F) -> Poll<F::Output> {
        Pin::new(future).poll(&mut self.context())
    }

    pub(crate) fn context(&self) -> Context<'_> {
        Context::from_waker(&self.waker)
    }

    pub(crate) fn waker(&self) -> &Waker {
        &self.waker
    }

    pub(crate) fn wakes(&self) -> usize {
        self.wakes.0.load(Ordering::SeqCst)
    }

    /// Returns how many wakers exist besides the task's own.
    pub(crate) fn held(&self) -> usize {
        Arc::strong_count(&self.wakes) - 2
    }
}

/// Returns a waker that calls `wake`.
pub(crate) fn waker(wake: impl Fn() + Send + Sync + 'static) -> Waker {
    struct Call<F>(F);

    impl<F: Fn() + Send + Sync + 'static> Wake for Call<F> {
        fn wake(self: Arc<Self>) {
            (self.0)();
        }
    }

    Waker::from(Arc::new(Call(wake)))
}

/// Returns a waker that does nothing but own a value.
pub(crate) fn owning(owned: impl Send + Sync + 'static) -> Waker {
    waker(move || {
        let _owned = &owned;
    })
}

/// Polls `future` with a waker that the caller need not keep.
pub(crate) fn poll_with<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// Runs `call` when dropped.
pub(crate) struct OnDrop<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A clock that shows the time that was set last. Setting it fires no timer; a turn does that.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dial(Arc<AtomicU64>);

impl Dial {
    pub(crate) fn set(&self, since_epoch: Duration) {
        let nanos = u64::try_from(since_epoch.as_nanos()).unwrap();
        self.0.store(nanos, Ordering::SeqCst);
    }

    pub(crate) fn clock(&self) -> Clock {
        let dial = self.clone();
        Clock::custom(move || Duration::from_nanos(dial.0.load(Ordering::SeqCst)))
    }

    /// Returns a driver on this clock, for a loop that never blocks.
    pub(crate) fn driver(&self) -> Driver<()> {
        Driver::builder()
            .clock(self.clock())
            .build_with_unpark(|| {})
    }

    /// Returns such a driver, whose clock panics at as many readings as the number says, which it
    /// counts down.
    pub(crate) fn driver_that_may_panic(&self) -> (Driver<()>, Arc<AtomicUsize>) {
        let (dial, panics) = (self.clone(), Arc::new(AtomicUsize::new(0)));
        let left = panics.clone();
        let clock = Clock::custom(move || {
            let count_down = |left: usize| left.checked_sub(1);
            let panics = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, count_down);
            assert!(panics.is_err(), "the clock's own panic");
            Duration::from_nanos(dial.0.load(Ordering::SeqCst))
        });
        let driver = Driver::builder().clock(clock);
        (driver.build_with_unpark(|| {}), panics)
    }
}

/// Pseudo-random numbers, the same in each run.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15))
    }

    /// Returns a number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Returns a runtime with so many workers.
#[cfg(feature = "rt")]
pub(crate) fn runtime(workers: usize) -> Runtime {
    Runtime::builder().worker_threads(workers).build().unwrap()
}

/// Does the same on a given clock.
#[cfg(feature = "rt")]
pub(crate) fn runtime_on(workers: usize, clock: impl Into<Clock>) -> Runtime {
    let builder = Runtime::builder().worker_threads(workers);
    builder.clock(clock).build().unwrap()
}

/// Runs `future` in `block_on` on another thread. Returns when it has begun there.
#[cfg(feature = "rt")]
pub(crate) fn block_on_elsewhere<F>(handle: &Handle, future: F) -> thread::JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let handle = handle.clone();
    let (inside, is_inside) = mpsc::channel();
    let thread = thread::spawn(move || {
        handle.block_on(async move {
            inside.send(()).unwrap();
            future.await
        })
    });
    is_inside.recv().unwrap();
    thread
}

/// Returns a future that is never ready, and calls `destructor` when it is dropped, polled or not.
pub(crate) fn pending_with(destructor: impl FnMut()) -> impl Future<Output = ()> {
    let guard = OnDrop(destructor);
    async move {
        let _guard = guard;
        std::future::pending().await
    }
}

/// Aborts a task that has run, as a rule, and waits for its end.
#[cfg(feature = "rt")]
pub(crate) async fn abort(task: JoinHandle<()>) {
    reveille::rt::yield_now().await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
}

/// Runs `test` on a thread of its own and panics if it hangs.
pub(crate) fn watched<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, finished) = mpsc::channel();
    let thread = thread::spawn(move || {
        let _ = done.send(test());
    });
    match finished.recv_timeout(secs(60)) {
        Ok(value) => value,
        Err(RecvTimeoutError::Timeout) => panic!("still running after a minute"),
        Err(RecvTimeoutError::Disconnected) => {
            resume_unwind(thread.join().expect_err("the test has panicked"))
        }
    }
}

/// Runs `test`, a closure in a test function, in a process of its own, for which the shell has set
/// `limits`.
#[track_caller]
pub(crate) fn alone_with<F: FnOnce() + Send + 'static>(limits: &str, test: F) {
    const INSIDE: &str = "REVEILLE_ALONE";
    if std::env::var_os(INSIDE).is_some() {
        return watched(test);
    }
    // The name of the closure's type: the test binary, the path of the function, and `{{closure}}`.
    let name = std::any::type_name::<F>();
    let name = name.split_once("::").unwrap().1;
    let name = name.rsplit_once("::").unwrap().0;
    let output = Command::new("sh")
        .args(["-c", &format!("{limits} exec \"$0\" --exact \"$1\"")])
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stdout}{stderr}");
    assert!(stdout.contains("1 passed"), "{stdout}{stderr}");
}

/// Runs `test`, a closure in a test function, in a process of its own.
#[track_caller]
pub(crate) fn alone<F: FnOnce() + Send + 'static>(test: F) {
    alone_with("", test);
}

/// Returns how many file descriptors this process has. Linux only.
pub(crate) fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Runs `use_and_keep`, and asserts that what it returns keeps no descriptors open but its `own`.
///
/// Other tests open and close some meanwhile, so call this in a process of its [own](alone).
#[track_caller]
pub(crate) fn keeps_only<T>(own: usize, use_and_keep: impl FnOnce() -> T) {
    let before = descriptors();
    let kept = use_and_keep();
    assert_eq!(descriptors() - before, own, "descriptors were left open");
    drop(kept);
}

/// Returns the message and the file of the panic in `call`.
pub(crate) fn panic_of<T>(call: impl FnOnce() -> T + Send + 'static) -> (String, String) {
    use std::panic::{PanicHookInfo, set_hook, take_hook};

    static HOOK: Mutex<()> = Mutex::new(());
    let _only = HOOK
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);

    let seen = Log::new();
    let log = seen.clone();
    let previous = Arc::new(take_hook());
    let others = previous.clone();
    // The name of its thread tells the panic apart from those of other tests.
    let thread = Arc::new(Mutex::new(None));
    let ours = thread.clone();
    set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
        if *ours.lock().unwrap() == Some(thread::current().id()) {
            let file = info.location().map_or("", |location| location.file());
            let text = info.payload().downcast_ref::<&str>().copied();
            let formatted = info.payload().downcast_ref::<String>().cloned();
            let message = text.map(str::to_owned).or(formatted).unwrap_or_default();
            log.push((message, file.to_owned()));
        } else {
            others(info);
        }
    }));
    let result = thread::spawn(move || {
        *thread.lock().unwrap() = Some(thread::current().id());
        drop(call());
    })
    .join();
    set_hook(Box::new(move |info| previous(info)));
    assert!(result.is_err(), "it did not panic");
    seen.take().pop().expect("the hook has seen the panic")
}

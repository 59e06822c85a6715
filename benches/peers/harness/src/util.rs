//! RNG, counting waker, external (timer-free) sleeps, pinned slab.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::*};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// splitmix64: the same generator, with the same seeds, in Rust, C and Go.
#[derive(Clone)]
pub struct Rng(pub u64);

impl Rng {
    #[inline]
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E3779B97F4A7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58476D1CE4E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D049BB133111EB);
        z ^ (z >> 31)
    }
    /// Uniform in 0..n (multiply-shift on the high half).
    #[inline]
    pub fn below(&mut self, n: u64) -> u64 {
        ((self.draw() as u128 * n as u128) >> 64) as u64
    }
    /// Shuffles `items` (Fisher-Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
    #[inline]
    pub fn dur(&mut self, lo: Duration, span: Duration) -> Duration {
        lo + Duration::from_nanos(self.below(span.as_nanos() as u64))
    }
}

/// Pending once, waking itself: one trip through the executor's queue.
pub async fn yield_now() {
    let mut done = false;
    poll_fn(|cx| {
        if done {
            return Poll::Ready(());
        }
        done = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// Polls `future` on the calling thread until it is ready, and parks in between.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(output) = poll_with(future.as_mut(), &waker) {
            return output;
        }
        std::thread::park();
    }
}

/// Pending once, without a wake: for futures that are polled by hand.
pub struct ReadySecond(pub bool);
impl Future for ReadySecond {
    type Output = u32;
    fn poll(mut self: Pin<&mut Self>, _: &mut std::task::Context<'_>) -> Poll<u32> {
        if self.0 {
            return Poll::Ready(7);
        }
        self.0 = true;
        Poll::Pending
    }
}

/// A one-shot flag a task can await and any thread can set.
#[derive(Default)]
pub struct Flag {
    set: std::sync::atomic::AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Flag {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }
    pub fn set(&self) {
        self.set.store(true, SeqCst);
        if let Some(w) = self.waker.lock().unwrap().take() {
            w.wake();
        }
    }
    pub fn is_set(&self) -> bool {
        self.set.load(SeqCst)
    }
    pub async fn wait(&self) {
        poll_fn(|cx| {
            if self.is_set() {
                return Poll::Ready(());
            }
            *self.waker.lock().unwrap() = Some(cx.waker().clone());
            if self.is_set() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await
    }
}

/// Waits in the task without any timer of the contender (a plain thread
/// sleeps and wakes us).
pub async fn ext_sleep(dur: Duration) {
    let f = Flag::new();
    let g = f.clone();
    std::thread::spawn(move || {
        std::thread::sleep(dur);
        g.set();
    });
    f.wait().await;
}

/// Counts hits; remembers when the last expected one came, and says so.
pub struct Countdown {
    pub epoch: Instant,
    pub count: AtomicUsize,
    pub target: usize,
    pub last_ns: AtomicU64,
    /// The sum of the times of all hits since `epoch`, if it is to be counted.
    pub sum_ns: Option<AtomicU64>,
    pub done: Arc<Flag>,
}

impl Countdown {
    pub fn new(target: usize) -> Arc<Self> {
        Self::make(target, false)
    }
    /// One that also adds up when the hits come, which takes a reading of the clock each.
    pub fn timed(target: usize) -> Arc<Self> {
        Self::make(target, true)
    }
    fn make(target: usize, timed: bool) -> Arc<Self> {
        Arc::new(Self {
            epoch: Instant::now(),
            sum_ns: timed.then(|| AtomicU64::new(0)),
            count: AtomicUsize::new(0),
            target,
            last_ns: AtomicU64::new(0),
            done: Flag::new(),
        })
    }
    #[inline]
    pub fn hit(&self) {
        if let Some(sum) = &self.sum_ns {
            sum.fetch_add(self.epoch.elapsed().as_nanos() as u64, Relaxed);
        }
        if self.count.fetch_add(1, AcqRel) + 1 == self.target {
            self.last_ns
                .store(self.epoch.elapsed().as_nanos() as u64, SeqCst);
            self.done.set();
        }
    }
    pub fn last(&self) -> Instant {
        self.epoch + Duration::from_nanos(self.last_ns.load(SeqCst))
    }
}

/// A waker that only counts: the cost of firing without an executor.
impl Wake for Countdown {
    fn wake(self: Arc<Self>) {
        self.hit();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.hit();
    }
}

/// Timers stored back to back and never moved.
pub struct Slab<T>(Vec<T>);

impl<T> Slab<T> {
    pub fn new(cap: usize) -> Self {
        Self(Vec::with_capacity(cap))
    }
    pub fn push(&mut self, t: T) -> Pin<&mut T> {
        assert!(self.0.len() < self.0.capacity(), "slab would move");
        self.0.push(t);
        // SAFETY: the vector never reallocates and elements are dropped in place.
        unsafe { Pin::new_unchecked(self.0.last_mut().unwrap()) }
    }
    #[inline]
    pub fn get(&mut self, i: usize) -> Pin<&mut T> {
        // SAFETY: as above.
        unsafe { Pin::new_unchecked(&mut self.0[i]) }
    }
    pub fn len(&self) -> usize {
        self.0.len()
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Polls with `waker`, keeping the (`!Send`) context out of async blocks.
#[inline]
pub fn poll_with<T: Future>(t: Pin<&mut T>, waker: &Waker) -> Poll<T::Output> {
    t.poll(&mut std::task::Context::from_waker(waker))
}

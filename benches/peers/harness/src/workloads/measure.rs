//! What the measured loops share: their budget, the timers beside them, and the measurement.

use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::*;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::stats::{emit, median, ns};
use crate::util::{Countdown, Rng, Slab, ext_sleep, poll_with, yield_now};
use crate::{Args, Contender, sys};

/// Operations per poll of the measuring task; after each batch it yields once
/// so that the runtime gets to do its own (deferred) work.
pub const BATCH: u64 = 32;

/// "30 s, +- random up to 1 s".
#[inline]
pub fn timeout_30s(rng: &mut Rng) -> Duration {
    rng.dur(Duration::from_secs(29), Duration::from_secs(2))
}

/// Armed timers that no task waits for, due in 25 .. 60 s, so that the timers of the
/// measured loop land inside their range. None may fire.
pub struct Residents<C: Contender> {
    slabs: Vec<Slab<C::Timer>>,
    len: usize,
    woken: Arc<Countdown>,
    rng: Rng,
}

impl<C: Contender> Residents<C> {
    pub fn new(seed: u64) -> Self {
        Self {
            slabs: Vec::new(),
            len: 0,
            woken: Countdown::new(usize::MAX),
            rng: Rng(seed),
        }
    }

    pub async fn grow(&mut self, c: &C, n: usize) {
        if n <= self.len {
            return;
        }
        let waker = Waker::from(self.woken.clone());
        let mut slab = Slab::new(n - self.len);
        while self.len < n {
            for _ in 0..256.min(n - self.len) {
                let d = self
                    .rng
                    .dur(Duration::from_secs(25), Duration::from_secs(35));
                assert!(poll_with(slab.push(c.sleep(d)), &waker).is_pending());
                self.len += 1;
            }
            yield_now().await;
        }
        self.slabs.push(slab);
        ext_sleep(Duration::from_millis(if n > 10_000 { 150 } else { 20 })).await;
    }

    pub fn check(&self) {
        assert_eq!(self.woken.count.load(SeqCst), 0, "a resident timer fired");
    }
}

/// How long [`measure`] runs, or how many operations callgrind counts.
#[derive(Clone, Copy)]
pub struct Budget {
    pub total: Duration,
    pub icount_ops: u64,
}

impl Budget {
    pub fn new(a: &Args) -> Self {
        Self {
            total: a.ms("ms", 150),
            icount_ops: a.num("icount", 0),
        }
    }
}

/// Runs `batch` (which does [`BATCH`] operations) over and over and reports
/// the median and the best 10 ms chunk, and CPU time of the whole process per
/// operation including what helper threads still do afterwards.
pub async fn measure(
    name: &str,
    workload: &str,
    params: &str,
    suffix: &str,
    bud: Budget,
    mut batch: impl FnMut(&mut Context<'_>) + Send,
) {
    let mut once = async |n: u64| {
        for _ in 0..n {
            poll_fn(|cx| {
                batch(cx);
                Poll::Ready(())
            })
            .await;
            yield_now().await;
        }
    };
    if bud.icount_ops > 0 {
        once(200).await; // warm up
        let n = bud.icount_ops / BATCH;
        sys::icount_start();
        once(n).await;
        ext_sleep(Duration::from_millis(50)).await;
        sys::icount_stop();
        println!(
            "#icount workload={workload} params={params} suffix={suffix} ops={}",
            n * BATCH
        );
        return;
    }
    const CHUNK: Duration = Duration::from_millis(10);
    let mut warm = Instant::now() + CHUNK;
    let mut chunks = Vec::new();
    let (mut ops, mut cpu0) = (0, sys::cpu());
    let mut start = Instant::now();
    while start.elapsed() < bud.total {
        let t = Instant::now();
        let mut n = 0;
        while t.elapsed() < CHUNK {
            once(16).await;
            n += 16 * BATCH;
        }
        chunks.push(ns(t.elapsed()) / n as f64);
        ops += n;
        if t < warm {
            // discard the first chunk(s)
            warm = t;
            chunks.clear();
            ops = 0;
            start = Instant::now();
            cpu0 = sys::cpu();
        }
    }
    ext_sleep(Duration::from_millis(20)).await;
    let cpu = sys::cpu() - cpu0;
    let min = chunks.iter().copied().fold(f64::INFINITY, f64::min);
    let med = median(&mut chunks);
    emit(
        name,
        workload,
        params,
        &format!("ns_per_op{suffix}"),
        med,
        "ns",
    );
    emit(
        name,
        workload,
        params,
        &format!("min_ns_per_op{suffix}"),
        min,
        "ns",
    );
    emit(
        name,
        workload,
        params,
        &format!("cpu_ns_per_op{suffix}"),
        ns(cpu) / ops as f64,
        "ns",
    );
}

/// One operation of W1 and W5: makes a 30 s timer, polls it once, and drops it.
#[inline]
pub fn arm_cancel<C: Contender>(c: &C, rng: &mut Rng, cx: &mut Context<'_>) {
    let mut t = pin!(c.sleep(timeout_30s(rng)));
    assert!(t.as_mut().poll(cx).is_pending());
    black_box(&mut t);
}

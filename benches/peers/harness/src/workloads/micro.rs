//! W1 arm + cancel, W2 timeouts, W3 resets, W5 contention.

use std::future::{Future, poll_fn, ready};
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::*};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::stats::{emit, median, ns};
use crate::util::{Countdown, Flag, ReadySecond, Rng, Slab, ext_sleep, poll_with, yield_now};
use crate::{Args, Contender, sys};

/// Operations per poll of the measuring task; after each batch it yields once
/// so that the runtime gets to do its own (deferred) work.
const BATCH: u64 = 32;

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

#[derive(Clone, Copy)]
struct Budget {
    total: Duration,
    icount_ops: u64,
}

impl Budget {
    fn new(a: &Args) -> Self {
        Self {
            total: a.ms("ms", 150),
            icount_ops: a.num("icount", 0),
        }
    }
}

/// Runs `batch` (which does [`BATCH`] operations) over and over and reports
/// the median and the best 10 ms chunk, and CPU time of the whole process per
/// operation including what helper threads still do afterwards.
async fn measure(
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

#[inline]
fn arm_cancel<C: Contender>(c: &C, rng: &mut Rng, cx: &mut Context<'_>) {
    let mut t = pin!(c.sleep(timeout_30s(rng)));
    assert!(t.as_mut().poll(cx).is_pending());
    black_box(&mut t);
}

/// Create a 30 s timer, poll it once, drop it; R other timers armed.
pub fn w1<C: Contender>(a: Args) {
    let bud = Budget::new(&a);
    C::run(C::THREADS, move |c: C| async move {
        let mut res = Residents::<C>::new(1);
        for r in a.list("r", "0,1000,100000") {
            res.grow(&c, r as usize).await;
            let (c, mut rng) = (c.clone(), Rng(2));
            measure(C::NAME, "w1", &format!("R={r}"), "", bud, move |cx| {
                for _ in 0..BATCH {
                    arm_cancel(&c, &mut rng, cx);
                }
            })
            .await;
            res.check();
        }
    })
}

/// Polls a timeout that ends with its future, again if it was pending only to let
/// other tasks run.
fn until_ready<T>(mut f: Pin<&mut impl Future<Output = Option<T>>>, cx: &mut Context<'_>) -> T {
    loop {
        if let Poll::Ready(output) = f.as_mut().poll(cx) {
            return output.expect("no timeout in less than 30 s");
        }
    }
}

/// A 30 s timeout around a future that is ready on its first / second poll
/// (polled by hand: no executor), and around one that yields (through the
/// executor; `base` is the same without a timeout).
pub fn w2<C: Contender>(a: Args) {
    let bud = Budget::new(&a);
    C::run(C::THREADS, move |c: C| async move {
        let r = a.num("r", 1000);
        let mut res = Residents::<C>::new(1);
        res.grow(&c, r as usize).await;
        let params = format!("R={r}");

        let only = a.str("only", "ready1,ready2,yield");
        if only.contains("ready1") {
            let (c, mut rng) = (c.clone(), Rng(2));
            measure(C::NAME, "w2", &params, "_ready1", bud, move |cx| {
                for _ in 0..BATCH {
                    let f = pin!(c.timeout(timeout_30s(&mut rng), ready(black_box(7u32))));
                    black_box(until_ready(f, cx));
                }
            })
            .await;
        }
        if only.contains("ready2") {
            let (c, mut rng) = (c.clone(), Rng(2));
            measure(C::NAME, "w2", &params, "_ready2", bud, move |cx| {
                for _ in 0..BATCH {
                    let mut f = pin!(c.timeout(timeout_30s(&mut rng), ReadySecond(false)));
                    assert!(f.as_mut().poll(cx).is_pending());
                    black_box(until_ready(f, cx));
                }
            })
            .await;
        }
        if only.contains("yield") {
            for (timed, metric) in [(true, "ns_per_op_yield"), (false, "ns_per_op_yield_base")] {
                let mut rng = Rng(2);
                let mut chunks = Vec::new();
                let start = Instant::now();
                while start.elapsed() < bud.total {
                    let (t, mut n) = (Instant::now(), 0);
                    while t.elapsed() < Duration::from_millis(10) {
                        for _ in 0..64 {
                            if timed {
                                let d = timeout_30s(&mut rng);
                                assert!(c.timeout(d, yield_now()).await.is_some());
                            } else {
                                yield_now().await;
                            }
                        }
                        n += 64;
                    }
                    chunks.push(ns(t.elapsed()) / n as f64);
                }
                emit(C::NAME, "w2", &params, metric, median(&mut chunks), "ns");
            }
        }
        res.check();
    })
}

/// One armed timer reset to now + 30 s again and again (R others armed), with
/// and without a poll after each reset; and N armed timers reset in random
/// order.
pub fn w3<C: Contender>(a: Args) {
    let bud = Budget::new(&a);
    let d30 = Duration::from_secs(30);
    C::run(C::THREADS, move |c: C| async move {
        let mut res = Residents::<C>::new(1);
        for r in a.list("r", "0,1000,100000") {
            res.grow(&c, r as usize).await;
            let params = format!("idle R={r}");
            for (poll, suffix) in [(true, ""), (false, "_nopoll")] {
                if bud.icount_ops > 0 && !poll {
                    continue;
                }
                let mut t = Box::pin(c.sleep(d30));
                assert!(
                    poll_fn(|cx| Poll::Ready(t.as_mut().poll(cx)))
                        .await
                        .is_pending()
                );
                let c = c.clone();
                measure(C::NAME, "w3", &params, suffix, bud, move |cx| {
                    for _ in 0..BATCH {
                        c.reset(t.as_mut(), d30);
                        if poll {
                            assert!(t.as_mut().poll(cx).is_pending());
                        }
                    }
                    black_box(&mut t);
                })
                .await;
            }
            res.check();
        }
        drop(res);
        let n = a.num("conns", 100_000) as usize;
        if n > 0 {
            let woken = Countdown::new(usize::MAX);
            let waker = Waker::from(woken.clone());
            let mut slab = Slab::<C::Timer>::new(n);
            for i in 0..n {
                assert!(poll_with(slab.push(c.sleep(d30)), &waker).is_pending());
                if i % 256 == 0 {
                    yield_now().await;
                }
            }
            ext_sleep(Duration::from_millis(100)).await;
            let mut rng = Rng(3);
            let params = format!("conns N={n}");
            measure(C::NAME, "w3", &params, "", bud, move |_| {
                let mut cx = Context::from_waker(&waker);
                for _ in 0..BATCH {
                    let i = rng.below(n as u64) as usize;
                    let mut t = slab.get(i);
                    c.reset(t.as_mut(), d30);
                    assert!(t.poll(&mut cx).is_pending());
                }
            })
            .await;
            assert_eq!(woken.count.load(SeqCst), 0);
        }
    })
}

/// W1 on two worker threads of one runtime at the same time.
pub fn w5<C: Contender>(a: Args) {
    const THREADS: usize = 2;
    let total = a.ms("ms", 150);
    let r = a.num("r", 1000) as usize;
    C::run(THREADS, move |c: C| async move {
        let results = Arc::new(std::sync::Mutex::new(Vec::new()));
        let started = Arc::new(AtomicUsize::new(0));
        let done = Arc::new((AtomicUsize::new(0), Flag::new()));
        for k in 0..THREADS as u64 {
            let (c2, results, started, done) =
                (c.clone(), results.clone(), started.clone(), done.clone());
            c.spawn(async move {
                let c = c2;
                let mut res = Residents::<C>::new(10 + k);
                res.grow(&c, r).await;
                // Spin without yielding: only two tasks on two different
                // threads get past this.
                started.fetch_add(1, SeqCst);
                while started.load(SeqCst) < THREADS {
                    std::hint::spin_loop();
                }
                let tid0 = sys::tid();
                let mut rng = Rng(20 + k);
                let (mut ops, start) = (0u64, Instant::now());
                while start.elapsed() < total {
                    for _ in 0..16 {
                        poll_fn(|cx| {
                            for _ in 0..BATCH {
                                arm_cancel(&c, &mut rng, cx);
                            }
                            Poll::Ready(())
                        })
                        .await;
                        yield_now().await;
                    }
                    ops += 16 * BATCH;
                }
                let per_op = ns(start.elapsed()) / ops as f64;
                results
                    .lock()
                    .unwrap()
                    .push((per_op, ops, tid0, sys::tid()));
                // Stay on the thread until the other one is done as well.
                started.fetch_add(1, SeqCst);
                while started.load(SeqCst) < 2 * THREADS {
                    std::hint::spin_loop();
                }
                res.check();
                if done.0.fetch_add(1, SeqCst) + 1 == THREADS {
                    done.1.set();
                }
            });
        }
        let cpu0 = sys::cpu();
        done.1.wait().await;
        ext_sleep(Duration::from_millis(20)).await;
        let cpu = sys::cpu() - cpu0;
        let v = results.lock().unwrap();
        let ops: u64 = v.iter().map(|x| x.1).sum();
        let mean = v.iter().map(|x| x.0).sum::<f64>() / THREADS as f64;
        let params = format!("R={r}");
        emit(C::NAME, "w5", &params, "ns_per_op", mean, "ns");
        emit(
            C::NAME,
            "w5",
            &params,
            "cpu_ns_per_op",
            ns(cpu) / ops as f64,
            "ns",
        );
        let distinct = if v[0].2 != v[1].2 && v[0].3 != v[1].3 {
            1.0
        } else {
            0.0
        };
        emit(C::NAME, "w5", &params, "two_threads", distinct, "bool");
    })
}

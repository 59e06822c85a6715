//! W5 arm + cancel, W10 connections: on several threads at once.

use std::collections::HashSet;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering::*};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::measure::{BATCH, Residents, arm_cancel};
use super::threads::{Origin, Start};
use crate::stats::{emit, ns};
use crate::util::{Countdown, Flag, Rng, Slab, ext_sleep, poll_with, yield_now};
use crate::{Args, Contender, sys};

/// W1 on two worker threads of one runtime at the same time.
pub fn w5<C: Contender>(a: Args) {
    const THREADS: usize = 2;
    if !C::MANY_WORKERS {
        crate::cannot::<C>("two workers");
    }
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

/// The connections of one thread of W10, all armed to time out after `timeout`.
struct Connections<C: Contender> {
    timers: Slab<C::Timer>,
    waker: Waker,
}

impl<C: Contender> Connections<C> {
    async fn new(c: &C, n: usize, timeout: Duration, woken: &Arc<Countdown>) -> Self {
        let waker = Waker::from(woken.clone());
        let mut timers = Slab::new(n);
        for i in 0..n {
            assert!(poll_with(timers.push(c.sleep(timeout)), &waker).is_pending());
            if i % 256 == 255 {
                yield_now().await;
            }
        }
        Self { timers, waker }
    }

    #[inline]
    fn put_off(&mut self, c: &C, rng: &mut Rng, (lo, span): (Duration, Duration)) {
        let i = rng.below(self.timers.len() as u64) as usize;
        let to = if span.is_zero() {
            lo
        } else {
            rng.dur(lo, span)
        };
        let mut timer = self.timers.get(i);
        c.reset(timer.as_mut(), to);
        assert!(poll_with(timer, &self.waker).is_pending());
    }
}

/// W3's connections on `threads` threads at once, each with its share of `conns` timers, which it
/// resets (and polls) in random order: to `lo` ms from now, or at random up to `hi` ms.
pub fn w10<C: Contender>(a: Args) {
    let threads = a.num("threads", 4) as usize;
    let from = Origin::new::<C>(&a, threads);
    let n = a.num("conns", 100_000) as usize;
    let total = a.ms("ms", 300);
    let lo = a.num("lo", 30_000);
    let hi = a.num("hi", lo);
    let to = (Duration::from_millis(lo), Duration::from_millis(hi - lo));
    C::run(from.workers::<C>(threads), move |c: C| async move {
        let woken = Countdown::new(usize::MAX);
        let start = Start::new(&a, threads);
        let done = Countdown::new(threads);
        let results = Arc::new(Mutex::new(Vec::new()));
        for k in 0..threads {
            let (c2, woken) = (c.clone(), woken.clone());
            let (start, done, results) = (start.clone(), done.clone(), results.clone());
            let work = async move {
                let c = c2;
                let mut conns = Connections::new(&c, n / threads, to.0, &woken).await;
                ext_sleep(Duration::from_millis(100)).await;
                start.wait(k);
                let mut rng = Rng(30 + k as u64);
                let (mut ops, begin) = (0, Instant::now());
                while begin.elapsed() < total {
                    for _ in 0..16 {
                        for _ in 0..BATCH {
                            conns.put_off(&c, &mut rng, to);
                        }
                        yield_now().await;
                    }
                    ops += 16 * BATCH;
                }
                let per_op = ns(begin.elapsed()) / ops as f64;
                results.lock().unwrap().push((per_op, ops, sys::tid()));
                done.hit();
                // Its timers are dropped when they are no longer measured.
                std::mem::forget(conns);
            };
            from.start(&c, work);
        }
        done.done.wait().await;
        ext_sleep(Duration::from_millis(20)).await;
        let cpu = sys::cpu() - *start.cpu.lock().unwrap();
        assert_eq!(woken.count.load(SeqCst), 0, "a connection timed out");
        let v = results.lock().unwrap();
        let ops: u64 = v.iter().map(|x| x.1).sum();
        let wall = v.iter().map(|x| x.0).sum::<f64>() / threads as f64;
        let distinct = v.iter().map(|x| x.2).collect::<HashSet<_>>().len();
        let params = match hi == lo {
            true => format!("{threads} {} N={n}", from.name()),
            false => format!("{threads} {} N={n} to {lo}..{hi}ms", from.name()),
        };
        let emit = |metric, value, unit| emit(C::NAME, "w10", &params, metric, value, unit);
        emit("ns_per_op", wall, "ns");
        emit("cpu_ns_per_op", ns(cpu) / ops as f64, "ns");
        emit("threads", distinct as f64, "count");
    })
}

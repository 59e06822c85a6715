//! Checks that the contender fires, cancels and resets timers correctly, before measuring it.

use std::future::{pending, ready};
use std::sync::atomic::{AtomicUsize, Ordering::*};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use crate::stats::emit;
use crate::util::{Countdown, Rng, Slab, ext_sleep, poll_with, yield_now};
use crate::{Args, Contender};

#[derive(Default)]
struct Count(AtomicUsize);
impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

struct Set {
    counts: Vec<Arc<Count>>,
}

impl Set {
    /// `n` timers, each with its own counting waker.
    fn arm<C: Contender>(
        c: &C,
        n: usize,
        slab: &mut Vec<Option<std::pin::Pin<Box<C::Timer>>>>,
        mut d: impl FnMut(usize) -> Duration,
    ) -> Self {
        let mut counts = Vec::new();
        for i in 0..n {
            let k = Arc::new(Count::default());
            let w = Waker::from(k.clone());
            let mut t = Box::pin(c.sleep(d(i)));
            assert!(poll_with(t.as_mut(), &w).is_pending());
            slab.push(Some(t));
            counts.push(k);
        }
        Self { counts }
    }
    fn woken(&self) -> Vec<usize> {
        self.counts.iter().map(|c| c.0.load(SeqCst)).collect()
    }
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub fn run<C: Contender>(a: &Args) {
    let n = a.num("n", 2000) as usize;
    let early = C::run(C::THREADS, move |c: C| async move {
        // 1. Every timer wakes its own waker, exactly once, and is then ready.
        let mut v = Vec::new();
        let mut rng = Rng(1);
        let s = Set::arm(&c, n, &mut v, |_| rng.dur(ms(60), ms(200)));
        ext_sleep(ms(500)).await;
        assert!(s.woken().iter().all(|&k| k == 1), "each fired exactly once");
        for (i, t) in v.iter_mut().enumerate() {
            if i % 64 == 0 {
                yield_now().await; // tokio's cooperative budget
            }
            assert!(poll_with(t.as_mut().unwrap().as_mut(), Waker::noop()).is_ready());
        }

        // 2. Dropped timers do not wake, their neighbours do.
        let mut v = Vec::new();
        let s = Set::arm(&c, n, &mut v, |_| rng.dur(ms(250), ms(50)));
        let mut dropped = vec![false; n];
        for _ in 0..n {
            let i = rng.below(n as u64) as usize;
            v[i] = None;
            dropped[i] = true;
        }
        ext_sleep(ms(600)).await;
        for (i, k) in s.woken().into_iter().enumerate() {
            assert_eq!(k, if dropped[i] { 0 } else { 1 }, "cancelled timer {i}");
        }

        // 3. Later resets (twice) and earlier resets.
        let mut v = Vec::new();
        let s = Set::arm(
            &c,
            n,
            &mut v,
            |i| if i % 2 == 0 { ms(200) } else { ms(10_000) },
        );
        for t in v.iter_mut() {
            c.reset(t.as_mut().unwrap().as_mut(), ms(5_000));
        }
        for (i, t) in v.iter_mut().enumerate() {
            c.reset(
                t.as_mut().unwrap().as_mut(),
                if i % 2 == 0 { ms(600) } else { ms(50) },
            );
            let w = Waker::from(s.counts[i].clone());
            assert!(poll_with(t.as_mut().unwrap().as_mut(), &w).is_pending());
        }
        ext_sleep(ms(350)).await;
        for (i, k) in s.woken().into_iter().enumerate() {
            assert_eq!(k, (i % 2 == 1) as usize, "reset timer {i} at 350 ms");
        }
        ext_sleep(ms(600)).await;
        assert!(
            s.woken().iter().all(|&k| k == 1),
            "reset timers, at the end"
        );

        // 4. Timeouts.
        assert_eq!(c.timeout(ms(50), ready(5)).await, Some(5));
        let t0 = Instant::now();
        assert_eq!(c.timeout(ms(20), pending::<u32>()).await, None);
        assert!(t0.elapsed() > ms(18) && t0.elapsed() < ms(200));
        assert_eq!(
            c.timeout(ms(500), async {
                yield_now().await;
                6
            })
            .await,
            Some(6)
        );

        // 5. Tickers tick, and no sleep ends early.
        let start = Instant::now() + ms(20);
        let mut t = c.ticker(start, ms(10));
        for _ in 0..10 {
            C::tick(&mut t).await;
        }
        assert!(
            start.elapsed() >= ms(89) && start.elapsed() < ms(300),
            "{:?}",
            start.elapsed()
        );
        let early = Arc::new(Mutex::new(0));
        let done = Countdown::new(1000);
        for k in 0..1000 {
            let (c2, early, done) = (c.clone(), early.clone(), done.clone());
            c.spawn(async move {
                let d = Rng(k).dur(Duration::ZERO, ms(50));
                let t0 = Instant::now();
                c2.sleep(d).await;
                if t0.elapsed() < d {
                    *early.lock().unwrap() += 1;
                }
                done.hit();
            });
        }
        done.done.wait().await;
        let n = *early.lock().unwrap();

        // 6. Slab storage (used by the workloads) behaves the same.
        let woken = Countdown::new(100);
        let w = Waker::from(woken.clone());
        let mut slab = Slab::<C::Timer>::new(100);
        for _ in 0..100 {
            let t = slab.push(c.sleep(ms(30)));
            assert!(poll_with(t, &w).is_pending());
        }
        woken.done.wait().await;
        n
    });
    emit(C::NAME, "verify", "", "ok", 1.0, "bool");
    emit(
        C::NAME,
        "verify",
        "",
        "early_sleeps_of_1000",
        early as f64,
        "count",
    );
}

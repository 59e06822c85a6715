//! W1 arm + cancel, W2 timeouts, W3 resets.

use std::future::{Future, poll_fn, ready};
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering::*;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::measure::{BATCH, Budget, Residents, arm_cancel, measure, timeout_30s};
use crate::stats::{emit, median, ns};
use crate::util::{Countdown, ReadySecond, Rng, Slab, ext_sleep, poll_with, yield_now};
use crate::{Args, Contender};

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

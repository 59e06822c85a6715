//! W7 memory per armed timer, W9 an idle runtime full of timers.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::*};
use std::task::Waker;
use std::time::Duration;

use crate::stats::{emit, ns};
use crate::util::{Countdown, Flag, Rng, Slab, ext_sleep, poll_with, yield_now};
use crate::{Args, Contender, sys};

fn far(rng: &mut Rng) -> Duration {
    rng.dur(Duration::from_secs(3600), Duration::from_secs(3600))
}

async fn fill<C: Contender>(c: &C, n: usize, mut put: impl FnMut(&C, Duration, &Waker)) {
    let waker = Waker::from(Countdown::new(usize::MAX));
    let mut rng = Rng(7);
    for i in 0..n {
        put(c, far(&mut rng), &waker);
        if i % 256 == 255 {
            yield_now().await;
        }
    }
    ext_sleep(Duration::from_millis(300)).await;
}

/// RSS growth per armed timer: `kind=slab` (timers back to back in a Vec),
/// `box` (Vec of boxes), `task` (one spawned task sleeping each).
pub fn w7<C: Contender>(a: Args) {
    let n = a.num("n", 1_000_000) as usize;
    C::run(C::THREADS, move |c: C| async move {
        let kind = a.str("kind", "slab").to_owned();
        let params = format!("N={n}");
        // Start whatever threads and buffers the first timer starts.
        fill(&c, 1, |c, d, w| {
            assert!(poll_with(pin!(c.sleep(d)), w).is_pending());
        })
        .await;
        let before = sys::rss();
        let done = match kind.as_str() {
            "slab" => {
                let mut slab = Slab::<C::Timer>::new(n);
                fill(&c, n, |c, d, w| {
                    assert!(poll_with(slab.push(c.sleep(d)), w).is_pending())
                })
                .await;
                let r = sys::rss();
                std::mem::forget(slab);
                r
            }
            "box" => {
                let mut boxes = Vec::<Pin<Box<C::Timer>>>::with_capacity(n);
                fill(&c, n, |c, d, w| {
                    boxes.push(Box::pin(c.sleep(d)));
                    assert!(poll_with(boxes.last_mut().unwrap().as_mut(), w).is_pending());
                })
                .await;
                let r = sys::rss();
                std::mem::forget(boxes);
                r
            }
            "task" => {
                let armed = Arc::new(AtomicUsize::new(0));
                let mut rng = Rng(7);
                for i in 0..n {
                    let (c2, armed, d) = (c.clone(), armed.clone(), far(&mut rng));
                    c.spawn(async move {
                        let t = pin!(c2.sleep(d));
                        armed.fetch_add(1, Relaxed);
                        t.await;
                    });
                    if i % 256 == 255 {
                        yield_now().await;
                    }
                }
                while armed.load(Relaxed) < n {
                    yield_now().await;
                }
                ext_sleep(Duration::from_millis(300)).await;
                sys::rss()
            }
            k => panic!("kind={k}"),
        };
        let per = (done as f64 - before as f64) / n as f64;
        emit(
            C::NAME,
            "w7",
            &params,
            &format!("rss_per_timer_{kind}"),
            per,
            "B",
        );
        if kind == "slab" {
            let size = std::mem::size_of::<C::Timer>() as f64;
            emit(C::NAME, "w7", &params, "size_of_timer", size, "B");
        }
        // Skip the (long) teardown.
        std::process::exit(0);
    })
}

/// 1M armed timers, none due for an hour: CPU time and context switches of an
/// idle process over `ms`.
pub fn w9<C: Contender>(a: Args) {
    let n = a.num("n", 1_000_000) as usize;
    let window = a.ms("ms", 5000);
    C::run(C::THREADS, move |c: C| async move {
        let mut slab = Slab::<C::Timer>::new(n);
        fill(&c, n, |c, d, w| {
            assert!(poll_with(slab.push(c.sleep(d)), w).is_pending())
        })
        .await;
        let over = Flag::new();
        let over2 = over.clone();
        std::thread::spawn(move || {
            let me = sys::tid();
            std::thread::sleep(Duration::from_millis(500));
            eprintln!("#idle pid={} helper={me}", std::process::id());
            let own0 = sys::thread_cpu();
            let (cpu0, sw0) = (sys::cpu(), sys::switches(me));
            std::thread::sleep(window);
            let (cpu1, sw1) = (sys::cpu(), sys::switches(me));
            let cpu = (cpu1 - cpu0).saturating_sub(sys::thread_cpu() - own0);
            let params = format!("N={n}");
            let secs = window.as_secs_f64();
            emit(
                C::NAME,
                "w9",
                &params,
                "cpu_us_per_s",
                ns(cpu) / 1e3 / secs,
                "us/s",
            );
            emit(
                C::NAME,
                "w9",
                &params,
                "switches_per_s",
                (sw1 - sw0) as f64 / secs,
                "1/s",
            );
            over2.set();
        });
        over.wait().await;
        std::process::exit(0);
    })
}

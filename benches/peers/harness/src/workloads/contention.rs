//! W5: contention of two workers.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::*};
use std::task::Poll;
use std::time::{Duration, Instant};

use super::measure::{BATCH, Residents, arm_cancel};
use crate::stats::{emit, ns};
use crate::util::{Flag, Rng, ext_sleep, yield_now};
use crate::{Args, Contender, sys};

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

//! W4: firing many timers.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::*};
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::stats::{emit, emit_switches, ns};
use crate::util::{Countdown, Rng, Slab, ext_sleep, poll_with, yield_now};
use crate::{Args, Contender, sys};

/// `mode=wake`: timers polled once with a waker that only counts.
/// `mode=task`: one spawned task per timer, through the executor.
/// `win=0` puts all timers on one deadline. `late=1` also measures the mean lateness, which takes a
/// reading of the clock for each timer.
pub fn w4<C: Contender>(a: Args) {
    let win = a.ms("win", 1000);
    let icount = a.num("icount", 0) > 0;
    let late = a.num("late", 0) > 0;
    C::run(C::THREADS, move |c: C| async move {
        for mode in a.str("mode", "wake,task").split(',') {
            for n in a.list("n", "10000,100000") {
                let n = n as usize;
                // Arming takes an unknown time; double the lead until it fits.
                let mut lead = Duration::from_nanos(n as u64 * 600) + Duration::from_millis(150);
                if icount {
                    lead *= 6;
                }
                while !point(&c, mode, n, win, lead, icount, late).await {
                    lead *= 2;
                    if lead > Duration::from_secs(20) {
                        eprintln!("{}: w4 {mode} N={n}: cannot arm in time", C::NAME);
                        break;
                    }
                }
            }
        }
    })
}

async fn point<C: Contender>(
    c: &C,
    mode: &str,
    n: usize,
    win: Duration,
    lead: Duration,
    icount: bool,
    late: bool,
) -> bool {
    let hits = match late {
        true => Countdown::timed(n),
        false => Countdown::new(n),
    };
    let mut rng = Rng(4);
    let mut slab = Slab::<C::Timer>::new(if mode == "wake" { n } else { 0 });
    let base = Instant::now() + lead;
    let mut due = 0.0;
    let mut at = |rng: &mut Rng| {
        let at = match win {
            Duration::ZERO => base,
            w => base + rng.dur(Duration::ZERO, w),
        };
        due += ns(at.saturating_duration_since(hits.epoch));
        at
    };
    if mode == "wake" {
        let waker = Waker::from(hits.clone());
        for i in 0..n {
            let _ = poll_with(slab.push(c.sleep_until(at(&mut rng))), &waker);
            if i % 256 == 255 {
                yield_now().await;
            }
        }
    } else {
        let armed = Arc::new(AtomicUsize::new(0));
        for i in 0..n {
            let (at, c2, hits, armed) = (at(&mut rng), c.clone(), hits.clone(), armed.clone());
            c.spawn(async move {
                let t = pin!(c2.sleep_until(at));
                armed.fetch_add(1, Relaxed);
                t.await;
                hits.hit();
            });
            if i % 256 == 255 {
                yield_now().await;
            }
        }
        while armed.load(Relaxed) < n {
            yield_now().await;
        }
    }
    let quiet = base.checked_sub(Duration::from_millis(25)).unwrap();
    let now = Instant::now();
    if now > quiet {
        // Too late: let everything that is armed run out, then try again.
        if mode == "task" {
            hits.done.wait().await;
        }
        return false;
    }
    let arm_ns = ns(now - (base - lead)) / n as f64;
    ext_sleep(quiet - now).await;
    assert_eq!(hits.count.load(SeqCst), 0, "fired before the window");
    let (cpu0, switches0) = (sys::cpu(), sys::switches(0));
    if icount {
        sys::icount_start();
    }
    hits.done.wait().await;
    if icount {
        sys::icount_stop();
        let params = format!("{mode} N={n}");
        println!("#icount workload=w4 params={params} suffix= ops={n}");
        return true;
    }
    let last = hits.last();
    let cpu = sys::cpu() - cpu0;
    let params = format!(
        "{mode} N={n}{}",
        if win.is_zero() {
            " same deadline".into()
        } else {
            format!(" win={}ms", win.as_millis())
        }
    );
    let over = last.saturating_duration_since(base + win);
    emit(
        C::NAME,
        "w4",
        &params,
        "cpu_ns_per_fire",
        ns(cpu) / n as f64,
        "ns",
    );
    if let Some(sum) = &hits.sum_ns {
        let late = (sum.load(SeqCst) as f64 - due) / n as f64;
        emit(C::NAME, "w4", &params, "late_mean", late / 1000.0, "us");
        emit_switches(C::NAME, "w4", &params, switches0, last - quiet);
    }
    emit(C::NAME, "w4", &params, "overrun", ns(over) / 1000.0, "us");
    emit(C::NAME, "w4", &params, "arm_ns", arm_ns, "ns");
    // Every single one must be done, not just N wakes seen.
    for i in 0..slab.len() {
        if i % 64 == 0 {
            yield_now().await; // tokio's cooperative budget
        }
        assert!(
            poll_with(slab.get(i), Waker::noop()).is_ready(),
            "woken but not ready"
        );
    }
    true
}

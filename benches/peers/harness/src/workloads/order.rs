//! W11 drops in random order, W13 ever earlier deadlines.

use std::pin::Pin;
use std::sync::atomic::Ordering::*;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::measure::BATCH;
use super::threads::Origin;
use crate::stats::{emit, median, ns};
use crate::util::{Countdown, Flag, Rng, Slab, ext_sleep, poll_with, yield_now};
use crate::{Args, Contender, sys};

/// The order in which W11 drops its timers.
fn drop_order(order: &str, n: usize, rng: &mut Rng) -> Vec<u32> {
    let mut v: Vec<u32> = (0..n as u32).collect();
    match order {
        "random" => rng.shuffle(&mut v),
        "armed" => {}
        "reverse" => v.reverse(),
        other => panic!("order={other}"),
    }
    v
}

/// `n` timers in boxes, due in 30 .. 90 s, dropped in random order; `short` percent of them are due
/// within the `win` ms after the first drop instead, and fire meanwhile. An operation is the end of
/// a timer, by either.
pub fn w11<C: Contender>(a: Args) {
    let short = a.num("short", 5);
    if short > 0 && !C::FIRES {
        crate::cannot::<C>("timers that fire");
    }
    C::run(C::THREADS, move |c: C| async move {
        for n in a.list("n", "1000000") {
            // Arming takes an unknown time; double the lead until it fits.
            let mut lead = Duration::from_nanos(n * 1000) + Duration::from_millis(200);
            while !drop_all(&c, &a, n as usize, short, lead).await {
                lead *= 2;
                assert!(lead < Duration::from_secs(20), "cannot arm in time");
            }
        }
    })
}

async fn drop_all<C: Contender>(c: &C, a: &Args, n: usize, short: u64, lead: Duration) -> bool {
    let order = a.str("order", "random");
    let win = a.ms("win", 200);
    let mut rng = Rng(11);
    let base = Instant::now() + lead;
    let woken = Countdown::new(usize::MAX);
    let is_short: Vec<bool> = (0..n).map(|_| rng.below(100) < short).collect();
    let shorts = is_short.iter().filter(|&&s| s).count();
    let fired = Countdown::new(shorts);
    let (long, brief) = (Waker::from(woken.clone()), Waker::from(fired.clone()));
    let mut timers: Vec<Option<Pin<Box<C::Timer>>>> = Vec::with_capacity(n);
    for (i, &is_short) in is_short.iter().enumerate() {
        let (after, span) = match is_short {
            true => (Duration::ZERO, win),
            false => (Duration::from_secs(30), Duration::from_secs(60)),
        };
        let mut timer = Box::pin(c.sleep_until(base + rng.dur(after, span)));
        let _ = poll_with(timer.as_mut(), if is_short { &brief } else { &long });
        timers.push(Some(timer));
        if i as u64 % BATCH == BATCH - 1 {
            yield_now().await;
        }
    }
    let mut doomed = drop_order(order, n, &mut rng);
    doomed.retain(|&i| !is_short[i as usize]);
    let now = Instant::now();
    if now + Duration::from_millis(50) > base {
        return false;
    }
    ext_sleep(base - Duration::from_millis(10) - now).await;
    assert_eq!(fired.count.load(SeqCst), 0, "fired before the window");
    // Spins, so that the drops begin when the short ones begin to fire.
    while Instant::now() < base {
        yield_now().await;
    }
    let mut chunks = Vec::with_capacity(n / 4096 + 1);
    let (cpu0, start) = (sys::cpu(), Instant::now());
    for chunk in doomed.chunks(4096) {
        let t = Instant::now();
        for few in chunk.chunks(BATCH as usize) {
            for &i in few {
                timers[i as usize] = None;
            }
            yield_now().await;
        }
        chunks.push(ns(t.elapsed()) / chunk.len() as f64);
    }
    let dropping = start.elapsed();
    if shorts > 0 {
        fired.done.wait().await;
    }
    ext_sleep(Duration::from_millis(20)).await;
    let cpu = sys::cpu() - cpu0;
    assert_eq!(woken.count.load(SeqCst), 0, "a dropped timer fired");
    assert_eq!(
        fired.count.load(SeqCst),
        shorts,
        "each short one fires once"
    );
    let params = format!("N={n} {order} short={short}%");
    let emit = |metric, value, unit| emit(C::NAME, "w11", &params, metric, value, unit);
    emit("ns_per_op", median(&mut chunks), "ns");
    emit("cpu_ns_per_op", ns(cpu) / n as f64, "ns");
    emit("dropping", ns(dropping) / 1e6, "ms");
    true
}

const HOUR: Duration = Duration::from_secs(3600);
/// W13 arms no timer that is due sooner.
const SOONEST: Duration = Duration::from_secs(300);

/// What one run of W13 arms.
#[derive(Clone, Copy)]
struct Earlier {
    n: u64,
    step: Duration,
    batch: u64,
    total: Duration,
}

/// `n` timers, each due `step_us` earlier than the one armed before, the first in an hour; then
/// others that are earlier still, until `ms` have gone into arming. A worker arms them, whose task
/// yields after each `batch` of them, or (`from=threads`) a thread that is not the runtime's.
/// Dropping them is not measured.
pub fn w13<C: Contender>(a: Args) {
    let from = Origin::new::<C>(&a, 1);
    C::run(C::THREADS, move |c: C| async move {
        for n in a.list("n", "100000") {
            let earlier = Earlier {
                n,
                step: Duration::from_micros(a.num("step_us", 1000)),
                batch: a.num("batch", BATCH),
                total: a.ms("ms", 150),
            };
            let done = Flag::new();
            let (c2, done2) = (c.clone(), done.clone());
            from.start(&c, async move {
                ever_earlier(&c2, from, earlier).await;
                done2.set();
            });
            done.wait().await;
        }
    })
}

async fn ever_earlier<C: Contender>(c: &C, from: Origin, set: Earlier) {
    let woken = Countdown::new(usize::MAX);
    let waker = Waker::from(woken.clone());
    let (mut cpu, mut wall, mut ops) = (Duration::ZERO, Duration::ZERO, 0);
    let mut chunks = Vec::new();
    assert!(
        set.step * 2 * set.n as u32 + SOONEST < HOUR,
        "within the hour"
    );
    // The first pass only warms up. Each pass goes on where the one before ended, because a driver
    // that is set to wake for a timer which is gone need not be told of one that is due later.
    let mut warm = false;
    let mut due = Instant::now() + HOUR;
    let pass = set.step * set.n as u32;
    while ops == 0 || wall < set.total && due > Instant::now() + pass + SOONEST {
        let mut slab = Slab::<C::Timer>::new(set.n as usize);
        let (cpu0, start) = (sys::cpu(), Instant::now());
        let mut t = start;
        for k in 1..=set.n {
            assert!(poll_with(slab.push(c.sleep_until(due)), &waker).is_pending());
            due -= set.step;
            if k % set.batch == 0 {
                yield_now().await;
            }
            if warm && k % 1024 == 0 {
                let now = Instant::now();
                chunks.push(ns(now - t) / 1024.0);
                t = now;
            }
        }
        let took = start.elapsed();
        ext_sleep(Duration::from_millis(20)).await;
        if warm {
            cpu += sys::cpu() - cpu0;
            wall += took;
            ops += set.n;
        }
        warm = true;
        drop(slab);
        ext_sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(woken.count.load(SeqCst), 0, "a timer fired");
    let step = set.step.as_micros();
    let params = match from {
        Origin::Workers => format!("N={} step={step}us, {} a poll", set.n, set.batch),
        Origin::Threads => format!("N={} step={step}us, from outside", set.n),
    };
    let emit = |metric, value, unit| emit(C::NAME, "w13", &params, metric, value, unit);
    emit("ns_per_op", median(&mut chunks), "ns");
    emit("cpu_ns_per_op", ns(cpu) / ops as f64, "ns");
}

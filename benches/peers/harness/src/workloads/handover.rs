//! W12: timers that are armed on one thread and dropped on another.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicI32, Ordering::*};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::measure::{BATCH, timeout_30s};
use super::threads::{Origin, Start};
use crate::stats::{emit, ns};
use crate::util::{Countdown, Flag, Rng, ext_sleep, poll_with, yield_now};
use crate::{Args, Contender, sys};

/// Where one thread leaves batches for the other. It does not spin, unlike a channel of `std`, which
/// on a busy machine takes more CPU time than the timers.
struct Lane<T> {
    batches: Mutex<VecDeque<T>>,
    filled: Condvar,
}

impl<T> Lane<T> {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            batches: Mutex::default(),
            filled: Condvar::new(),
        })
    }

    fn send(&self, batch: T) {
        self.batches.lock().unwrap().push_back(batch);
        self.filled.notify_one();
    }

    fn recv(&self) -> T {
        let batches = self.batches.lock().unwrap();
        let mut batches = self
            .filled
            .wait_while(batches, |batches| batches.is_empty())
            .unwrap();
        batches.pop_front().unwrap()
    }
}

/// A place for a timer. Places go to and fro, so that no memory is allocated in the loop.
type Place<C> = Pin<Box<Option<<C as Contender>::Timer>>>;

/// Arms the timers of the batches that come back empty, and sends them off, until `None` comes.
async fn arm_here<C: Contender>(
    c: C,
    woken: Arc<Countdown>,
    empty: Arc<Lane<Option<Vec<Place<C>>>>>,
    full: Arc<Lane<Vec<Place<C>>>>,
) {
    let waker = Waker::from(woken);
    let mut rng = Rng(12);
    while let Some(mut batch) = empty.recv() {
        for places in batch.chunks_mut(BATCH as usize) {
            poll_fn(|_| {
                let mut cx = Context::from_waker(&waker);
                for place in places.iter_mut() {
                    place.set(Some(c.sleep(timeout_30s(&mut rng))));
                    let timer = place.as_mut().as_pin_mut().unwrap();
                    assert!(timer.poll(&mut cx).is_pending());
                }
                Poll::Ready(())
            })
            .await;
            yield_now().await;
        }
        full.send(batch);
    }
}

/// Timers armed on one thread and dropped on another. That one keeps `live` of them, and for each
/// that arrives it drops one: at random, or the oldest (`order=fifo`).
pub fn w12<C: Contender>(a: Args) {
    let from = Origin::new::<C>(&a, 2);
    let live = a.num("live", 10_000) as usize;
    let batch = a.num("batch", 1024) as usize;
    let total = a.ms("ms", 300);
    let fifo = a.str("order", "random") == "fifo";
    let params = format!(
        "{} {} of {live}",
        from.name(),
        if fifo { "oldest" } else { "random" }
    );
    C::run(from.workers::<C>(2), move |c: C| async move {
        // Starts whatever threads the first timer starts, before a thread is kept on a CPU.
        assert!(poll_with(pin!(c.sleep(Duration::from_secs(30))), Waker::noop()).is_pending());
        let woken = Countdown::new(usize::MAX);
        let start = Start::new(&a, 2);
        let done = Flag::new();
        let result = Arc::new(Mutex::new(None));
        let (empty, full) = (Lane::new(), Lane::<Vec<Place<C>>>::new());
        let (to_arm, to_drop) = (empty.clone(), full.clone());
        let (start2, done2, result2) = (start.clone(), done.clone(), result.clone());
        let dropper = async move {
            let places = |n| (0..n).map(|_| Box::pin(None)).collect::<Vec<_>>();
            to_arm.send(Some(places(live)));
            start2.wait(1);
            let tid = sys::tid();
            let mut kept = to_drop.recv();
            for _ in 0..4 {
                to_arm.send(Some(places(batch)));
            }
            let mut rng = Rng(13);
            let mut next = 0;
            // The first batches only warm up.
            let (mut ops, mut begin, mut cpu0) = (0, Instant::now(), sys::cpu());
            for k in 0u64.. {
                let mut batch = to_drop.recv();
                for places in batch.chunks_mut(BATCH as usize) {
                    for place in places {
                        if live > 0 {
                            next = match fifo {
                                true => (next + 1) % live,
                                false => rng.below(live as u64) as usize,
                            };
                            std::mem::swap(place, &mut kept[next]);
                        }
                        place.set(None);
                        ops += 1;
                    }
                    yield_now().await;
                }
                to_arm.send(Some(batch));
                if k < 8 {
                    (ops, begin, cpu0) = (0, Instant::now(), sys::cpu());
                } else if begin.elapsed() >= total {
                    break;
                }
            }
            let wall = begin.elapsed();
            *result2.lock().unwrap() = Some((ops, wall, cpu0, tid));
            to_arm.send(None);
            done2.set();
            std::mem::forget(kept);
        };
        from.start(&c, dropper);
        // Where threads are not workers, it is still one of the runtime's tasks that arms. It is
        // not this one, which would keep the worker that the dropper was spawned on.
        let (armed, armer) = (Flag::new(), Arc::new(AtomicI32::new(0)));
        let (c2, armed2, armer2) = (c.clone(), armed.clone(), armer.clone());
        c.spawn(async move {
            start.wait(0);
            armer2.store(sys::tid(), SeqCst);
            arm_here(c2, woken.clone(), empty, full).await;
            assert_eq!(woken.count.load(SeqCst), 0, "a timer fired");
            armed2.set();
        });
        done.wait().await;
        armed.wait().await;
        ext_sleep(Duration::from_millis(20)).await;
        let (ops, wall, cpu0, dropper) = result.lock().unwrap().take().unwrap();
        let cpu = sys::cpu() - cpu0;
        let emit = |metric, value, unit| emit(C::NAME, "w12", &params, metric, value, unit);
        emit("ns_per_op", ns(wall) / ops as f64, "ns");
        emit("cpu_ns_per_op", ns(cpu) / ops as f64, "ns");
        emit(
            "two_threads",
            (armer.load(SeqCst) != dropper) as u64 as f64,
            "bool",
        );
    })
}

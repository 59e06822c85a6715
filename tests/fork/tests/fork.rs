//! Tests of timers in a child process.
//!
//! After a fork the child has a copy of the process-wide thread's timers, but not the thread. Its
//! timers used to hang: one that was armed for later than the parent's next one unparked no thread,
//! and one that was armed for earlier unparked a thread that did not exist.

#![cfg(unix)]

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use futures::StreamExt;
use reveille::time::{DelayQueue, Instant, Sleep, interval, sleep, timeout};
use reveille::{DriverThread, Handle, Limits, go, rt};
use reveille_fork::{End, in_child};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Arms a timer, unless it is due already.
fn arm(sleep: &mut Sleep) {
    let _ = Pin::new(sleep).poll(&mut Context::from_waker(Waker::noop()));
}

/// Waits for the process-wide thread.
fn wait(limit: Duration) {
    let start = Instant::now();
    pollster::block_on(sleep(limit));
    assert!(start.elapsed() >= limit);
}

/// Uses timers as a program does.
fn use_timers() {
    wait(ms(1));
    pollster::block_on(async {
        assert!(timeout(ms(1), pending::<()>()).await.is_err());
        let mut ticks = interval(ms(1));
        ticks.tick().await;
        ticks.tick().await;
        let mut queue = DelayQueue::new();
        queue.insert("due", ms(1));
        assert_eq!(queue.next().await.unwrap().into_inner(), "due");
    });
    thread::spawn(|| wait(ms(1))).join().unwrap();
}

/// Threads of this process that take its locks again and again.
struct Busy {
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Busy {
    fn new(count: usize, work: impl Fn(&AtomicBool) + Clone + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let spawn = |_| {
            let (stop, work) = (stop.clone(), work.clone());
            thread::spawn(move || work(&stop))
        };
        let threads = (0..count).map(spawn).collect();
        Self { stop, threads }
    }

    /// Three threads that arm and drop timers.
    fn with_timers() -> Self {
        Self::new(3, |stop| {
            while !stop.load(Ordering::Relaxed) {
                let timers = (0..32).map(|at| sleep(ms(1_000 + at)));
                let mut timers: Vec<_> = timers.collect();
                timers.iter_mut().for_each(arm);
            }
        })
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    }
}

#[test]
fn a_child_of_a_process_that_has_used_timers_has_its_own() {
    use_timers();
    assert_eq!(in_child(use_timers), End::Well);
    use_timers();
}

/// The parent's thread waits for a deadline; a later timer in the child does not unpark any thread.
#[test]
fn timers_earlier_and_later_than_the_parents_next_one_fire() {
    let mut next = sleep(ms(20));
    arm(&mut next);
    for limit in [1, 19, 21, 60] {
        assert_eq!(in_child(|| wait(ms(limit))), End::Well, "{limit}");
    }
    let mut far = sleep(Duration::from_secs(3600));
    arm(&mut far);
    assert_eq!(in_child(|| wait(ms(1))), End::Well);
}

/// A thread reads the id of its process only now and then; a fork takes longer than that.
#[test]
fn a_child_that_is_made_right_after_a_timer_notices() {
    for _ in 0..100 {
        let mut timer = sleep(ms(50));
        arm(&mut timer);
        assert_eq!(in_child(|| wait(Duration::from_micros(60_000))), End::Well);
    }
}

/// When the parent forks, another thread may hold the lock of its timers; the child has no such
/// thread.
#[test]
fn a_lock_held_at_the_fork_does_not_block_the_child() {
    let busy = Busy::with_timers();
    for _ in 0..100 {
        // An armed timer, of which the child has a copy.
        let mut timer = sleep(ms(5));
        arm(&mut timer);
        let ends = in_child(|| {
            wait(ms(1));
            // Its index belongs to the parent's driver; here it moves to another, without taking
            // the lock of that.
            pollster::block_on(&mut timer);
            drop(timer);
            wait(ms(1));
        });
        assert_eq!(ends, End::Well);
    }
    busy.stop();
}

/// The first timer that the child uses is not armed, and was made on the parent's driver.
#[test]
fn a_lock_held_at_the_fork_does_not_block_a_timer_that_is_armed_first_in_the_child() {
    let busy = Busy::with_timers();
    wait(ms(1));
    let parents = Handle::current();
    let tenant = parents.limited(Limits::new().timers(10));
    for round in 0..200 {
        let mut timer = Some(sleep(ms(5)));
        let ends = in_child(|| {
            let mut timer = match round % 2 {
                0 => timer.take().unwrap(),
                _ => tenant.try_sleep(ms(5)).unwrap(),
            };
            pollster::block_on(&mut timer);
            drop(timer);
            assert_eq!(parents.armed(), 0, "in the child, where its driver is gone");
        });
        assert_eq!(ends, End::Well);
    }
    busy.stop();
}

#[test]
fn a_child_of_a_child_has_its_own_timers() {
    fn descend(depth: usize) {
        wait(ms(1));
        if depth > 0 {
            assert_eq!(in_child(|| descend(depth - 1)), End::Well);
        }
        wait(ms(1));
    }
    descend(5);
}

#[test]
fn a_timer_that_was_not_polled_before_the_fork_is_the_childs() {
    wait(ms(1));
    let timer = sleep(ms(5));
    let limited = timeout(ms(5), pending::<()>());
    let ends = in_child(|| {
        pollster::block_on(timer);
        assert!(pollster::block_on(limited).is_err());
    });
    assert_eq!(ends, End::Well);
}

#[test]
fn a_child_forked_before_any_timer_starts_like_its_parent() {
    let ends = in_child(|| {
        use_timers();
        assert_eq!(in_child(use_timers), End::Well);
    });
    assert_eq!(ends, End::Well);
}

/// Its contents belong to the parent; joining its thread would be undefined.
#[test]
fn a_copy_of_a_driver_thread_is_dropped_without_joining() {
    let timers = DriverThread::new().unwrap();
    pollster::block_on(timers.handle().sleep(ms(1)));
    let mut timer = timers.handle().sleep(ms(5));
    arm(&mut timer);
    let kept = timers.handle().clone();
    let mut copy = Some(timers);
    let ends = in_child(|| {
        drop(copy.take());
        assert!(kept.is_closed());
        // The timer is orphaned, and goes on in the child.
        pollster::block_on(&mut timer);
        let own = DriverThread::new().unwrap();
        pollster::block_on(own.handle().sleep(ms(1)));
    });
    assert_eq!(ends, End::Well);
    let timers = copy.unwrap();
    assert!(!timers.handle().is_closed());
    pollster::block_on(timers.handle().sleep(ms(1)));
}

#[test]
fn block_on_works_in_a_child_and_so_does_a_runtime_made_there() {
    rt::block_on(async { sleep(ms(1)).await });
    let ends = in_child(|| {
        rt::block_on(async { sleep(ms(1)).await });
        let runtime = rt::Runtime::builder().worker_threads(2).build().unwrap();
        runtime
            .block_on(rt::Handle::spawn(runtime.handle(), async {
                sleep(ms(1)).await;
            }))
            .unwrap();
    });
    assert_eq!(ends, End::Well);
}

#[test]
fn the_current_driver_of_a_child_is_its_own_threads() {
    let parents = Handle::current();
    let ends = in_child(|| {
        let own = Handle::current();
        assert!(parents.is_closed() && !own.is_closed());
        pollster::block_on(own.sleep(ms(1)));
        // Also through the parent's driver, which is closed in the child.
        pollster::block_on(parents.sleep(ms(1)));
    });
    assert_eq!(ends, End::Well);
    assert!(!parents.is_closed());
}

/// It is the first timer that the child uses. Another waker polls it than before the fork.
#[test]
fn an_armed_timer_that_is_polled_first_in_the_child_is_the_childs() {
    let mut timer = sleep(ms(5));
    arm(&mut timer);
    let ends = in_child(|| pollster::block_on(&mut timer));
    assert_eq!(ends, End::Well);
}

/// The first tick was at once, so the interval was not armed before the fork.
#[test]
fn an_interval_that_is_polled_first_in_the_child_ticks_there() {
    let mut ticks = interval(ms(5));
    pollster::block_on(ticks.tick());
    let ends = in_child(|| {
        pollster::block_on(async {
            ticks.tick().await;
            ticks.tick().await;
        });
    });
    assert_eq!(ends, End::Well);
}

#[test]
fn a_timer_made_on_the_parents_driver_and_polled_first_in_the_child_fires_there() {
    let timer = Handle::current().sleep(ms(5));
    let ends = in_child(|| pollster::block_on(timer));
    assert_eq!(ends, End::Well);
}

/// The driver of its timer is gone in the child, as if it had been dropped: a reset ends it there.
#[test]
fn a_function_of_the_parents_ends_in_the_child_that_resets_it() {
    wait(ms(1));
    let owned = Arc::new(());
    let held = owned.clone();
    let timer = go::after_func(Duration::from_secs(3600), move || drop(held));
    let ends = in_child(|| {
        timer.reset(ms(1));
        assert_eq!(Arc::strong_count(&owned), 1, "the function is dropped");
        assert!(!timer.stop() && !timer.reset(ms(1)));
        // One that is made here is the child's.
        let (sender, called) = mpsc::channel();
        go::after_func(ms(1), move || sender.send(()).unwrap());
        called.recv().unwrap();
    });
    assert_eq!(ends, End::Well);
    assert!(timer.reset(ms(1)));
    while Arc::strong_count(&owned) > 1 {
        wait(ms(1));
    }
}

/// Other threads of the parent hold the lock of its driver when it forks.
#[test]
fn a_function_is_stopped_and_reset_in_a_child_whatever_the_parent_held() {
    let busy = Busy::with_timers();
    for round in 0..100 {
        let timer = go::after_func(Duration::from_secs(3600), || {});
        let ends = in_child(|| {
            assert!(if round % 2 == 0 {
                timer.reset(ms(1))
            } else {
                timer.stop()
            });
            assert!(!timer.stop());
        });
        assert_eq!(ends, End::Well);
        assert!(timer.stop());
    }
    busy.stop();
}

/// The child's copy is a descriptor of the same open file and a copy of the parent's registration. If
/// its drop removed that, no event would end the wait of the parent.
#[cfg(target_os = "linux")]
#[test]
fn child_that_drops_its_copy_of_a_descriptor_takes_nothing_from_the_parent() {
    use std::cell::RefCell;
    use std::future::poll_fn;
    use std::io::{Read, Write, pipe};
    use std::os::fd::AsRawFd;
    use std::task::Poll;

    use reveille::FutureExt;
    use reveille::rt::io::AsyncFd;

    let (reader, mut writer) = pipe().unwrap();
    rt::block_on(async {
        for takes_out in [false, true] {
            let again = reader.try_clone().unwrap();
            let slot = RefCell::new(Some(AsyncFd::new(again).unwrap()));
            let poll = |cx: &mut Context<'_>| slot.borrow().as_ref().unwrap().poll_readable(cx);
            poll_fn(|cx| {
                assert!(poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            let end = in_child(|| {
                let copy = slot.take().unwrap();
                match takes_out {
                    true => drop(copy.into_inner()),
                    false => drop(copy),
                }
            });
            assert_eq!(end, End::Well);
            // SAFETY: the descriptor is open, and no memory is touched.
            let flags = unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_GETFL) };
            assert_ne!(flags & libc::O_NONBLOCK, 0, "an operation would block");
            writer.write_all(b"x").unwrap();
            let told = poll_fn(poll).timeout(Duration::from_secs(60)).await;
            told.expect("no event came").unwrap();
            (&reader).read_exact(&mut [0]).unwrap();
        }
    });
}

/// When the parent forks, another thread may hold the lock of the modes of descriptors.
#[cfg(target_os = "linux")]
#[test]
fn a_child_registers_descriptors_while_threads_of_the_parent_do() {
    use std::io::{PipeReader, pipe};

    fn register(reader: &PipeReader) -> rt::io::AsyncFd<PipeReader> {
        rt::io::AsyncFd::new(reader.try_clone().unwrap()).unwrap()
    }

    let (reader, _writer) = pipe().unwrap();
    let shared = Arc::new(reader.try_clone().unwrap());
    let busy = Busy::new(2, move |stop| {
        rt::block_on(async {
            while !stop.load(Ordering::Relaxed) {
                drop(register(&shared));
            }
        });
    });
    for _ in 0..100 {
        let ends = in_child(|| {
            let runtime = rt::Runtime::builder().worker_threads(1).build().unwrap();
            runtime.block_on(async { drop(register(&reader)) });
        });
        assert_eq!(ends, End::Well);
    }
    busy.stop();
}

//! One thread scans the shards at a time, and leaves after some scans: the next one misses nothing.
//!
//! What goes wrong when one of these fails: a timer fires late or never, because each of two
//! threads left it to the other; or two threads set the wake source at once.

use std::sync::atomic::AtomicUsize as StdUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex as StdMutex, OnceLock};
use std::task::Waker;

use super::runtime::Runtime;
use crate::Handle;
use crate::time::Sleep;
use loom::sync::Mutex;
use loom::sync::atomic::{AtomicU64, Ordering};

use super::support::{LONG, Loop, NEVER, Race, Task, Time, check, ns, poll};

/// A timer that is armed, or has woken its task because its time had come.
fn armed(handle: &Handle, nanos: u64, waker: &Waker) -> Sleep {
    let mut sleep = handle.sleep(ns(nanos));
    if poll(&mut sleep, waker) {
        waker.wake_by_ref();
    }
    sleep
}

/// A runtime with three threads. Each of the first two times that its source is set, an earlier
/// timer of `task` is armed meanwhile: then the thread that sets it has scanned often enough.
fn called_often(task: &Task) -> (Loop, Arc<StdMutex<Vec<Sleep>>>) {
    let runtime = Arc::<OnceLock<Runtime>>::default();
    let sleeps = Arc::<StdMutex<Vec<Sleep>>>::default();
    let (inside, kept) = (runtime.clone(), sleeps.clone());
    let (more, waker) = (StdUsize::new(2), task.waker());
    let made = Loop::calling(3, false, ns(0), move || {
        let left = more.load(SeqCst);
        if let Some(runtime) = inside.get()
            && left > 0
        {
            more.store(left - 1, SeqCst);
            let sleep = armed(&runtime.handle(1), 10 + left as u64, &waker);
            kept.lock().unwrap().push(sleep);
        }
    });
    assert!(runtime.set(made.runtime.clone()).is_ok());
    (made, sleeps)
}

/// A thread has scanned often enough and leaves, and meanwhile the source expires that is to bring
/// the next one.
///
/// If it left no mark, or did not see that the source had expired before the mark, no thread would
/// scan again.
#[test]
fn a_thread_that_leaves_is_succeeded_when_the_source_expires() {
    check(Some(3), || {
        let (inner, task) = (Task::new(), Task::new());
        let (event_loop, _sleeps) = called_often(&inner);
        let race = Race::new();
        let arming = {
            let (event_loop, waker) = (event_loop.clone(), task.waker());
            race.spawn(move || armed(&event_loop.runtime.handle(0), 20, &waker))
        };
        race.enter();
        event_loop.turn();
        event_loop.turn();
        let _sleep = arming.join().unwrap();
        while event_loop.turn() {}
        assert_eq!((inner.wakes(), task.wakes()), (2, 1));
    });
}

/// A thread has scanned often enough and leaves, and meanwhile another arms an earlier timer.
///
/// Either its request is seen, or it scans itself, or the source expires soon.
#[test]
fn a_thread_that_leaves_is_succeeded_by_the_next_that_arms() {
    static SOON: StdUsize = StdUsize::new(0);
    check(Some(3), || {
        let (inner, task, early) = (Task::new(), Task::new(), Task::new());
        let (event_loop, _sleeps) = called_often(&inner);
        let race = Race::new();
        let arming = {
            let (event_loop, waker) = (event_loop.clone(), task.waker());
            race.spawn(move || armed(&event_loop.runtime.handle(0), 20, &waker))
        };
        race.enter();
        let _early = armed(&event_loop.runtime.handle(2), 5, &early.waker());
        let _sleep = arming.join().unwrap();
        SOON.fetch_add(usize::from(event_loop.at() == 1), SeqCst);
        while early.wakes() == 0 {
            assert!(event_loop.turn(), "lost");
        }
        assert_eq!(
            (event_loop.time.get(), inner.wakes(), task.wakes()),
            (5, 0, 0)
        );
        while event_loop.turn() {}
        assert_eq!((inner.wakes(), task.wakes()), (2, 1));
    });
    assert!(
        SOON.load(SeqCst) > 0,
        "no thread has left a scan to the next"
    );
}

/// The runtime ends while a thread leaves: no task is left waiting.
#[test]
fn a_runtime_that_ends_while_a_thread_leaves_tells_all_tasks() {
    check(Some(2), || {
        let runtime = Arc::<OnceLock<Runtime>>::default();
        let (inside, inner) = (runtime.clone(), Task::new());
        let (sets, waker) = (StdUsize::new(0), inner.waker());
        let kept = Arc::<StdMutex<Vec<Sleep>>>::default();
        let sleeps = kept.clone();
        let time = Time::new();
        let made = Runtime::new(time.clock(), 2, false, move |_| {
            // The third setting is the one after which the thread would leave.
            let sets = sets.fetch_add(1, SeqCst);
            if let Some(runtime) = inside.get()
                && sets < 3
            {
                let sleep = armed(&runtime.handle(1), 13 - sets as u64, &waker);
                kept.lock().unwrap().push(sleep);
            }
            sets < 3
        });
        made.expire();
        assert!(runtime.set(made.clone()).is_ok());
        let race = Race::new();
        let other = Task::new();
        let arming = {
            let (made, waker) = (made.clone(), other.waker());
            race.spawn(move || armed(&made.handle(0), 20, &waker))
        };
        race.enter();
        made.expire();
        let sleep = arming.join().unwrap();
        made.expire();
        made.end_if_found_gone();
        assert!(sleep.is_orphaned() && other.is_released());
        assert!(sleeps.lock().unwrap().iter().all(Sleep::is_orphaned));
        assert!(inner.is_released());
    });
}

/// The clock jumps and a thread says so, while another sets the source for a wait by the clock as
/// it was.
#[test]
fn a_source_is_set_anew_after_a_jump_that_is_told_while_it_is_set() {
    check(None, || {
        let time = Time::new();
        let seen = Arc::new(AtomicU64::new(0));
        let (shown, set) = (time.clone(), seen.clone());
        let runtime = Runtime::new(time.clock(), 2, false, move |_| {
            set.store(shown.get(), Ordering::Relaxed);
            true
        });
        runtime.expire();
        let race = Race::new();
        let task = Task::new();
        let arming = {
            let (runtime, waker) = (runtime.clone(), task.waker());
            race.spawn(move || armed(&runtime.handle(0), LONG.as_nanos() as u64, &waker))
        };
        race.enter();
        time.set(50);
        runtime.handle(1).unpark();
        let _sleep = arming.join().unwrap();
        assert_eq!(seen.load(Ordering::Relaxed), 50);
    });
}

/// A wake source as tokio's poller has it: that it has expired is told once, and nothing is called
/// for it unless it is watched by then.
#[derive(Clone)]
struct Watched {
    time: Time,
    source: Arc<Mutex<WatchedSource>>,
    runtime: Runtime,
}

struct WatchedSource {
    at: u64,
    was_ended_by_timers: bool,
    is_watched: bool,
}

impl Watched {
    fn new(threads: usize) -> Self {
        let time = Time::new();
        let source = Arc::new(Mutex::new(WatchedSource {
            at: NEVER,
            was_ended_by_timers: false,
            is_watched: false,
        }));
        let set = source.clone();
        let runtime = Runtime::new(time.clock(), threads, false, move |at| {
            set.lock().unwrap().at = at;
            true
        });
        Self {
            time,
            source,
            runtime,
        }
    }

    /// What expired before is taken, and nothing is called for it.
    fn watch(&self) {
        let mut source = self.source.lock().unwrap();
        source.was_ended_by_timers = false;
        source.is_watched = true;
    }

    /// What the poller does. Returns `false` if the source has not expired.
    fn poll(&self) -> bool {
        let mut source = self.source.lock().unwrap();
        if source.at > self.time.get() {
            return false;
        }
        source.at = NEVER;
        source.was_ended_by_timers = true;
        let calls = std::mem::take(&mut source.is_watched);
        drop(source);
        if calls {
            self.watch();
            self.runtime.expire();
        }
        true
    }
}

/// A thread has made the driver of a runtime, but the runtime does not wait for the source yet. A
/// worker arms a timer meanwhile, the source is set for it, and expires.
///
/// If the first thread only took the expiration, the source would count as set for ever, and no
/// timer of the runtime would fire any more.
#[test]
fn a_source_that_expires_before_the_runtime_waits_for_it_is_set_again() {
    static EARLY: StdUsize = StdUsize::new(0);
    check(Some(3), || {
        let watched = Watched::new(2);
        let task = Task::new();
        let race = Race::new();
        let worker = {
            let (watched, waker) = (watched.clone(), task.waker());
            race.spawn(move || {
                // The first scan, as after a slack that is set.
                watched.runtime.handle(1).unpark();
                let sleep = armed(&watched.runtime.handle(0), 10, &waker);
                watched.time.set(20);
                watched.poll();
                sleep
            })
        };
        race.enter();
        watched.runtime.start(|| {
            let was_ended_by_timers = watched.source.lock().unwrap().was_ended_by_timers;
            EARLY.fetch_add(usize::from(was_ended_by_timers), SeqCst);
            watched.watch();
        });
        let _sleep = worker.join().unwrap();
        while watched.poll() {}
        assert_eq!(task.wakes(), 1);
    });
    assert!(EARLY.load(SeqCst) > 0, "no source has expired that early");
}

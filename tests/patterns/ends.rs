//! Ends, and what comes later: `graceful_shutdown/drain.rs`, `delayed_work.rs`.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use reveille::ManualClock;
use reveille::rt::{self, Runtime};
use reveille::time::{Instant, sleep, timeout};

use crate::delayed_work::Delayed;
use crate::drain::{Drain, Drained};
use crate::support::{Count, watched};
use crate::{Key, ms, simulated};

/// Begins work of so many milliseconds each, stops, and drains for 100 ms at most.
fn drained(work: &'static [u64]) -> (Drained, u128) {
    simulated(async move {
        let start = Instant::now();
        let drain = Drain::new();
        for &millis in work {
            rt::spawn(drain.track(sleep(ms(millis))).unwrap());
        }
        drain.stop("test");
        let drained = drain.drain(ms(100)).await;
        (drained, start.elapsed().as_millis())
    })
}

#[test]
fn a_shutdown_waits_for_what_runs_and_no_longer() {
    let (done, given_up) = (3, 0);
    assert_eq!(drained(&[10, 80, 50]), (Drained { done, given_up }, 80));
    let (done, given_up) = (0, 0);
    assert_eq!(drained(&[]), (Drained { done, given_up }, 0));
}

#[test]
fn a_shutdown_gives_up_what_takes_longer_than_the_time_to_drain() {
    let (done, given_up) = (1, 2);
    let work = &[50, 101, 3_600_000];
    assert_eq!(drained(work), (Drained { done, given_up }, 100));
}

/// As work that blocks a thread of its own, which nobody polls to its end.
#[test]
fn a_shutdown_does_not_wait_for_ever_for_what_cannot_be_ended() {
    let (drained, took) = simulated(async {
        let start = Instant::now();
        let drain = Drain::new();
        let _blocked = drain.track(pending::<()>()).unwrap();
        (drain.drain(ms(100)).await, start.elapsed())
    });
    let (done, given_up) = (0, 0);
    assert_eq!((drained, took), (Drained { done, given_up }, ms(200)));
}

#[test]
fn nothing_begins_once_a_shutdown_has_begun() {
    simulated(async {
        let drain = Arc::new(Drain::new());
        assert_eq!(drain.why(), None);
        let stopped = drain.clone();
        rt::spawn(async move {
            sleep(ms(30)).await;
            stopped.stop("a signal");
        });
        let start = Instant::now();
        assert!(drain.until_stopped(sleep(ms(20))).await.is_some());
        assert!(drain.until_stopped(pending::<()>()).await.is_none());
        assert_eq!(start.elapsed(), ms(30));
        assert!(drain.track(sleep(ms(1))).is_none());
        assert_eq!(drain.why().as_deref(), Some("a signal"));
    });
}

/// A task that panics, or is dropped before its first poll, must not keep the program from ending.
#[test]
fn work_that_panics_or_is_dropped_is_not_waited_for() {
    simulated(async {
        let drain = Drain::new();
        rt::spawn(drain.track(async { panic!("as it should") }).unwrap());
        drop(drain.track(pending::<()>()).unwrap());
        let all = timeout(Duration::from_secs(3600), drain.drain(Duration::MAX)).await;
        let (done, given_up) = (0, 2);
        assert_eq!(all.unwrap(), Drained { done, given_up });
    });
}

/// Notes when it is dropped, and then what a drain says that begins at that moment.
struct DrainsInDrop(Arc<Drain>, Arc<Mutex<Vec<Option<Drained>>>>);

impl Drop for DrainsInDrop {
    fn drop(&mut self) {
        let drained = self.0.drain(Duration::MAX).now_or_never();
        self.1.lock().unwrap().push(drained);
    }
}

/// A program that ended then would cut off what the destructors do.
#[test]
fn work_is_waited_for_until_its_destructors_have_run() {
    simulated(async {
        for is_polled in [false, true] {
            let (drain, noted) = (Arc::new(Drain::new()), Arc::default());
            let drains = DrainsInDrop(drain.clone(), Arc::clone(&noted));
            let work = async move {
                let _drains = drains;
                pending::<()>().await;
            };
            let mut tracked = Box::pin(drain.track(work).unwrap());
            if is_polled {
                assert_eq!((&mut tracked).now_or_never(), None);
            }
            drop(tracked);
            assert_eq!(*noted.lock().unwrap(), [None]);
        }
    });
}

/// Work that logs its name and the time.
struct Log {
    start: Instant,
    entries: Arc<Mutex<Vec<(&'static str, u128)>>>,
}

impl Log {
    fn work(&self, name: &'static str) -> impl FnOnce() + Send + 'static {
        let (start, entries) = (self.start, self.entries.clone());
        move || {
            entries
                .lock()
                .unwrap()
                .push((name, start.elapsed().as_millis()))
        }
    }

    fn entries(&self) -> Vec<(&'static str, u128)> {
        self.entries.lock().unwrap().clone()
    }
}

fn log() -> Log {
    Log {
        start: Instant::now(),
        entries: Arc::default(),
    }
}

#[test]
fn delayed_work_is_done_once_cancelled_or_put_off() {
    simulated(async {
        let (delayed, log) = (Delayed::new(), log());
        assert!(delayed.schedule("done", ms(100), log.work("done")));
        assert!(!delayed.schedule("done", ms(50), log.work("twice")));
        assert!(delayed.schedule("cancelled", ms(100), log.work("cancelled")));
        assert!(delayed.schedule("later", ms(100), log.work("later")));
        sleep(ms(99)).await;
        assert!(delayed.cancel(&"cancelled"));
        assert!(!delayed.cancel(&"cancelled"));
        assert!(delayed.put_off(&"later", ms(100)));
        sleep(ms(50)).await;
        assert!(!delayed.cancel(&"done"));
        assert!(!delayed.put_off(&"done", ms(1)));
        // The key is free again.
        assert!(delayed.schedule("done", ms(1), log.work("again")));
        sleep(ms(1000)).await;
        assert_eq!(
            log.entries(),
            [("done", 100), ("again", 150), ("later", 199)]
        );
    });
}

#[test]
fn dropping_delayed_work_cancels_it() {
    simulated(async {
        let (delayed, log) = (Delayed::new(), log());
        delayed.schedule("a", ms(100), log.work("a"));
        drop(delayed);
        sleep(ms(1000)).await;
        assert_eq!(log.entries(), []);
    });
}

#[test]
fn the_destructor_of_a_key_may_use_the_delayed_work() {
    watched(|| {
        simulated(async {
            let (delayed, dropped) = (Arc::new(Delayed::new()), Count::default());
            let key = |name| {
                let (delayed, dropped) = (Arc::downgrade(&delayed), dropped.clone());
                Key::new(name, move || {
                    delayed
                        .upgrade()
                        .map(|delayed: Arc<Delayed<_>>| delayed.cancel(&Key::plain("none")));
                    dropped.add();
                })
            };
            assert!(delayed.schedule(key("a"), ms(100), || ()));
            assert!(!delayed.schedule(key("a"), ms(100), || ()));
            assert!(delayed.schedule(key("b"), ms(100), || ()));
            assert!(delayed.cancel(&Key::plain("b")));
            sleep(ms(1000)).await;
            assert!(!delayed.cancel(&Key::plain("a")));
            assert_eq!(dropped.get(), 5);
        });
    });
}

/// Work that was cancelled too late must not take the place of new work with the same key.
#[test]
fn work_that_has_begun_leaves_new_work_of_its_key_alone() {
    let clock = ManualClock::new();
    let runtime = Runtime::builder().worker_threads(1).clock(&clock).build();
    runtime.unwrap().block_on(async {
        let (delayed, log) = (Delayed::new(), log());
        delayed.schedule("a", ms(100), log.work("old"));
        clock.advance(ms(100)); // spawns the old work, which runs when this task waits
        assert!(!delayed.cancel(&"a"));
        assert!(delayed.schedule("a", ms(100), log.work("new")));
        sleep(ms(50)).await;
        assert_eq!(log.entries(), [("old", 100)]);
        assert!(delayed.cancel(&"a"));
        sleep(ms(1000)).await;
        assert_eq!(log.entries(), [("old", 100)]);
    });
}

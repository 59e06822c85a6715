//! Tests of parks: a parked thread returns when it must, and not before.
//!
//! They use real threads and real time, so they assert only lower bounds, and a watchdog detects a
//! lost unpark.

#![cfg(not(loom))]

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Barrier};
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};

use reveille::{Park, ThreadPark, Unpark};

/// Runs `test` on a thread of its own and panics if it hangs.
fn watched<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, finished) = mpsc::channel();
    let thread = thread::spawn(move || {
        let _ = done.send(test());
    });
    match finished.recv_timeout(Duration::from_secs(60)) {
        Ok(value) => value,
        Err(RecvTimeoutError::Timeout) => panic!("still parked after a minute: a wake-up is lost"),
        Err(RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(thread.join().expect_err("the test has panicked"))
        }
    }
}

/// Asserts that after `prepare` a park blocks for its whole timeout, so that no token is left.
///
/// It tries up to three times, because a park may return early for no reason.
fn assert_leaves_no_token(park: &mut ThreadPark, mut prepare: impl FnMut(&mut ThreadPark)) {
    let timeout = Duration::from_millis(5);
    let blocked = (0..3).any(|_| {
        prepare(park);
        let start = Instant::now();
        park.park(Some(timeout));
        start.elapsed() >= timeout
    });
    assert!(blocked, "a token is left");
}

#[test]
fn unpark_before_park_makes_it_return_at_once() {
    watched(|| {
        let mut park = ThreadPark::new();
        park.unparker().unpark();
        park.park(None);
        park.unparker().unpark();
        park.park(Some(Duration::MAX));
    });
}

#[test]
fn a_waker_of_a_park_unparks_whether_it_is_used_up_or_not() {
    watched(|| {
        let mut park = ThreadPark::new();
        let waker = Waker::from(park.unparker());
        waker.wake_by_ref();
        park.park(None);
        waker.wake();
        park.park(None);
    });
}

#[test]
fn unparks_before_a_park_merge_into_one() {
    watched(|| {
        let mut park = ThreadPark::new();
        let unpark = park.unparker();
        assert_leaves_no_token(&mut park, |park| {
            unpark.unpark();
            unpark.unpark();
            unpark.clone().unpark();
            park.park(None);
        });
    });
}

#[test]
fn timed_park_never_ends_early() {
    let mut park = ThreadPark::new();
    for nanos in [
        1, 999, 10_000, 50_001, 100_000, 999_999, 1_000_000, 3_500_000,
    ] {
        let timeout = Duration::from_nanos(nanos);
        for _ in 0..20 {
            let start = Instant::now();
            park.park(Some(timeout));
            let elapsed = start.elapsed();
            assert!(
                elapsed >= timeout,
                "parked {elapsed:?} instead of {timeout:?}"
            );
        }
    }
}

#[test]
fn zero_timeout_takes_the_token_and_does_not_block() {
    watched(|| {
        let mut park = ThreadPark::new();
        park.park(Some(Duration::ZERO));
        assert_leaves_no_token(&mut park, |park| {
            park.unparker().unpark();
            park.park(Some(Duration::ZERO));
        });
    });
}

#[test]
fn park_without_timeout_blocks_until_unparked() {
    let endless = [
        None,
        Some(Duration::MAX),
        Some(Duration::new(u64::MAX, 0)),
        Some(Duration::new(i64::MAX as u64, 999_999_999)),
        Some(Duration::from_nanos(u64::MAX)),
        Some(Duration::from_secs(1 << 31)),
        Some(Duration::from_secs(1 << 30)),
        Some(Duration::from_secs(3600)),
    ];
    for timeout in endless {
        let mut park = ThreadPark::new();
        let unpark = park.unparker();
        let (done, returned) = mpsc::channel();
        let thread = thread::spawn(move || {
            park.park(timeout);
            let _ = done.send(());
        });
        let early = returned.recv_timeout(Duration::from_millis(5));
        assert_eq!(
            early,
            Err(RecvTimeoutError::Timeout),
            "{timeout:?} did not block"
        );
        unpark.unpark();
        watched(move || thread.join()).expect("the parked thread has panicked");
    }
}

/// Each thread parks until it is its turn. If one unpark was lost, both would park forever. The
/// timeouts make the token race with the end of the wait.
#[test]
fn ping_pong_loses_no_unpark() {
    const ROUNDS: usize = 10_000;
    let timeouts = [
        None,
        Some(Duration::from_micros(1)),
        Some(Duration::from_micros(30)),
        None,
    ];

    watched(move || {
        let (mut ping, mut pong) = (ThreadPark::new(), ThreadPark::new());
        let (unpark_ping, unpark_pong) = (ping.unparker(), pong.unparker());
        let turn = Arc::new(AtomicUsize::new(0));

        let theirs = Arc::clone(&turn);
        let thread = thread::spawn(move || {
            for round in 0..ROUNDS {
                while theirs.load(Relaxed) != 2 * round + 1 {
                    pong.park(timeouts[round % 4]);
                }
                theirs.store(2 * round + 2, Relaxed);
                unpark_ping.unpark();
            }
        });
        for round in 0..ROUNDS {
            turn.store(2 * round + 1, Relaxed);
            unpark_pong.unpark();
            while turn.load(Relaxed) != 2 * round + 2 {
                ping.park(timeouts[round / 4 % 4]);
            }
        }
        thread.join().expect("pong has panicked");
    });
}

/// The last unpark of each thread must not be lost, even if it merges with that of another thread:
/// a parker that has missed the value published before it would park again, and no thread would
/// unpark it.
#[test]
fn unparks_from_many_threads_lose_none() {
    const THREADS: usize = 8;
    const UNPARKS: usize = 2_000;

    watched(|| {
        let mut park = ThreadPark::new();
        let published: Arc<[AtomicUsize]> = (0..THREADS).map(|_| AtomicUsize::new(0)).collect();
        let threads: Vec<_> = (0..THREADS)
            .map(|i| {
                let (unpark, published) = (park.unparker(), Arc::clone(&published));
                thread::spawn(move || {
                    for count in 1..=UNPARKS {
                        published[i].store(count, Relaxed);
                        unpark.unpark();
                    }
                })
            })
            .collect();
        while published.iter().any(|count| count.load(Relaxed) < UNPARKS) {
            park.park(None);
        }
        for thread in threads {
            thread.join().expect("an unparking thread has panicked");
        }
    });
}

/// What the reader reads is written and read with relaxed accesses, so that only the token can
/// order them.
#[test]
fn writes_before_unpark_are_visible_after_park() {
    const ROUNDS: usize = 5_000;

    watched(|| {
        let mut park = ThreadPark::new();
        let mut answer = ThreadPark::new();
        let (unpark, unpark_answer) = (park.unparker(), answer.unparker());
        let payload: Arc<[AtomicUsize]> = (0..16).map(|_| AtomicUsize::new(0)).collect();
        let [round_of, unparked, answered] = [(); 3].map(|()| Arc::new(AtomicUsize::new(0)));

        let theirs = (
            Arc::clone(&payload),
            Arc::clone(&round_of),
            Arc::clone(&unparked),
            Arc::clone(&answered),
        );
        let thread = thread::spawn(move || {
            let (payload, round_of, unparked, answered) = theirs;
            for round in 1..=ROUNDS {
                for word in payload.iter() {
                    word.store(round, Relaxed);
                }
                round_of.store(round, Relaxed);
                unpark.unpark();
                unparked.store(round, Release);
                while answered.load(Acquire) < round {
                    answer.park(None);
                }
            }
        });
        for round in 1..=ROUNDS {
            // At least one park in each round: without the token, nothing orders the loads.
            loop {
                park.park(None);
                if round_of.load(Relaxed) == round {
                    break;
                }
            }
            assert!(payload.iter().all(|word| word.load(Relaxed) == round));
            // A call of `unpark` that is not over yet could end the next park, without a token.
            while unparked.load(Acquire) < round {
                thread::yield_now();
            }
            answered.store(round, Release);
            unpark_answer.unpark();
        }
        thread.join().expect("the writing thread has panicked");
    });
}

#[test]
fn unparkers_outlive_their_park() {
    watched(|| {
        for _ in 0..200 {
            let mut park = ThreadPark::new();
            let start = Arc::new(Barrier::new(3));
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let (unpark, start) = (park.unparker(), Arc::clone(&start));
                    thread::spawn(move || {
                        start.wait();
                        (0..50).for_each(|_| unpark.unpark());
                    })
                })
                .collect();
            start.wait();
            park.park(None);
            drop(park);
            for thread in threads {
                thread.join().expect("an unparking thread has panicked");
            }
        }
    });
}

#[test]
fn a_park_moves_to_another_thread_with_its_token() {
    watched(|| {
        let mut park = ThreadPark::new();
        park.park(Some(Duration::from_micros(1)));
        park.unparker().unpark();
        let moved = thread::spawn(move || {
            park.park(None);
            park
        });
        let mut park = moved.join().expect("the parked thread has panicked");
        assert_leaves_no_token(&mut park, |_| ());
    });
}

#[test]
fn the_token_is_not_that_of_std() {
    watched(|| {
        let mut park = ThreadPark::new();
        park.unparker().unpark();
        thread::current().unpark();
        thread::park();
        park.park(None);
        assert_leaves_no_token(&mut park, |_| thread::current().unpark());
    });
}

#[test]
fn an_unparker_can_be_a_trait_object() {
    watched(|| {
        let mut park = ThreadPark::default();
        let unpark: Arc<dyn Unpark> = Arc::new(park.unparker());
        thread::spawn(move || unpark.unpark());
        park.park(None);
        assert_eq!(format!("{park:?}"), "ThreadPark { .. }");
        assert_eq!(format!("{:?}", park.unparker()), "ThreadUnpark { .. }");
    });
}

/// The thread belongs to the caller, and so does its timer slack. (Where a sandbox refuses to read
/// or set it, the test checks nothing.)
#[cfg(target_os = "linux")]
#[test]
fn the_timer_slack_of_the_thread_is_restored() {
    use rustix::thread::{current_timer_slack, set_current_timer_slack};
    use std::num::NonZeroU64;

    let mut park = ThreadPark::new();
    let unpark = park.unparker();
    for chosen in [None, NonZeroU64::new(123_456), NonZeroU64::new(1)] {
        let _ = set_current_timer_slack(chosen);
        let before = current_timer_slack();
        park.park(Some(Duration::from_micros(10)));
        assert_eq!(current_timer_slack(), before, "after a timed park");
        unpark.unpark();
        park.park(Some(Duration::from_micros(10)));
        assert_eq!(current_timer_slack(), before, "after a token");
    }
}

/// Reads the whole value of a thread's timer slack; `prctl` returns only 31 bits of it.
#[cfg(target_os = "linux")]
fn slack_of(thread: rustix::thread::Pid) -> Option<u64> {
    let path = format!("/proc/{}/timerslack_ns", thread.as_raw_nonzero());
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The kernel may delay a wait by the slack of its thread, 50 µs by default. (Where a sandbox
/// refuses to read it, the test checks nothing.)
#[cfg(target_os = "linux")]
#[test]
fn timed_park_waits_with_the_finest_slack_and_restores_the_old() {
    use rustix::thread::gettid;

    watched(|| {
        for chosen in [2, 50_000, 2_000_000_000] {
            let (mut park, (ids, id)) = (ThreadPark::new(), mpsc::channel());
            let unpark = park.unparker();
            let thread = thread::spawn(move || {
                let path = format!("/proc/{}/timerslack_ns", gettid().as_raw_nonzero());
                let set = std::fs::write(path, chosen.to_string()).is_ok();
                let before = slack_of(gettid());
                ids.send((gettid(), set && before == Some(chosen))).unwrap();
                park.park(Some(Duration::from_secs(3600)));
                assert_eq!(slack_of(gettid()), before);
            });
            let (id, can_tell) = id.recv().unwrap();
            // To read the slack of another thread takes a privilege (`CAP_SYS_NICE`).
            let can_tell = can_tell && slack_of(id).is_some();
            while can_tell && slack_of(id) != Some(1) {
                thread::yield_now();
            }
            unpark.unpark();
            thread.join().unwrap();
        }
    });
}

/// `prctl` returns 31 bits of the slack. A longer one used to be cut, and in a debug build the park
/// panicked. (Where a sandbox refuses to set it, the test checks nothing.)
#[cfg(target_os = "linux")]
#[test]
fn a_timer_slack_above_two_seconds_is_left_alone() {
    use rustix::thread::gettid;

    for chosen in [3_000_000_000_u64, 5_000_000_000] {
        let thread = thread::spawn(move || {
            let path = format!("/proc/{}/timerslack_ns", gettid().as_raw_nonzero());
            if std::fs::write(path, chosen.to_string()).is_ok() {
                ThreadPark::new().park(Some(Duration::from_micros(10)));
                assert_eq!(slack_of(gettid()), Some(chosen));
            }
        });
        thread.join().unwrap();
    }
}

/// A program started by this one does not need our descriptors, and would keep them open.
#[cfg(target_os = "linux")]
#[test]
fn descriptors_of_parkers_and_workers_are_closed_on_exec() {
    let park = reveille::BoottimePark::new().unwrap();
    assert!(format!("{park:?}").starts_with("BoottimePark"));
    assert!(format!("{:?}", park.unparker()).starts_with("BoottimeUnpark"));
    #[cfg(feature = "rt")]
    let _runtime = reveille::rt::Runtime::builder().worker_threads(2).build();
    let mut timers = 0;
    for entry in std::fs::read_dir("/proc/self/fd").unwrap() {
        let path = entry.unwrap().path();
        // Other descriptors, of the directory or of another test, may be gone by now.
        let Ok(kind) = std::fs::read_link(&path) else {
            continue;
        };
        let kind = kind.to_string_lossy().into_owned();
        if !["[timerfd]", "[eventfd]", "[eventpoll]"]
            .iter()
            .any(|ours| kind.ends_with(ours))
        {
            continue;
        }
        let info = path.to_string_lossy().replace("/fd/", "/fdinfo/");
        let Ok(info) = std::fs::read_to_string(info) else {
            continue;
        };
        let flags = info
            .lines()
            .find_map(|line| line.strip_prefix("flags:"))
            .unwrap();
        let flags = u32::from_str_radix(flags.trim(), 8).unwrap();
        assert_ne!(flags & 0o2_000_000, 0, "{kind} is inherited");
        if kind.ends_with("[timerfd]") {
            timers += 1;
            assert_ne!(flags & 0o4_000, 0, "{kind} is in blocking mode");
        }
    }
    assert!(timers > 0);
}

//! Go's tests with many goroutines, and what threads may do to one tree at once.

use std::sync::{Arc, Barrier};
use std::thread;

use reveille::{Context, ContextError, DriverThread};

use crate::support::{Count, Random, ms, poll_with, watched};

/// `TestSimultaneousCancels`: a tree of a hundred, of which each is cancelled by another thread.
#[test]
fn simultaneous_cancels() {
    watched(|| {
        for seed in 0..5 {
            let mut random = Random::new(seed);
            let mut tree = vec![Context::background()];
            while tree.len() < 100 {
                let parent = &tree[random.below(tree.len() as u64) as usize];
                tree.push(parent.child());
            }
            let ended = Count::default();
            for context in &tree {
                let count = ended.clone();
                context.after_func(move || count.add());
            }
            let done = Count::default();
            let threads = tree.iter().cloned().map(|context| {
                let done = done.clone();
                thread::spawn(move || {
                    if context.cancel() {
                        done.add();
                    }
                    assert_eq!(context.err(), Some(ContextError::Canceled));
                })
            });
            let threads: Vec<_> = threads.collect();
            threads
                .into_iter()
                .for_each(|thread| thread.join().unwrap());
            assert!(tree.iter().all(Context::is_done));
            assert_eq!(ended.get(), 100);
            assert!(done.get() >= 1);
        }
    });
}

/// `TestInterlockedCancels`: each of two contexts is cancelled when the other one is.
#[test]
fn interlocked_cancels() {
    watched(|| {
        let (first, second) = (Context::background(), Context::background());
        let threads = [
            (first.clone(), second.clone()),
            (second.clone(), first.clone()),
        ];
        let threads = threads.map(|(awaited, cancelled)| {
            thread::spawn(move || {
                pollster::block_on(awaited.done());
                cancelled.cancel();
            })
        });
        // And without a thread between them.
        let (one, other) = (first.clone(), second.clone());
        first.after_func(move || assert!(other.cancel() || other.is_done()));
        second.after_func(move || assert!(one.cancel() || one.is_done()));
        first.cancel();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(second.is_done());
    });
}

/// `TestContextErrDoneRace`, Go's issue 75533: a context that has an error is done.
#[test]
fn err_and_done_race() {
    watched(|| {
        for _ in 0..200 {
            let context = Context::background();
            let mut done = context.done();
            let canceller = context.clone();
            let thread = thread::spawn(move || canceller.cancel());
            while context.err().is_none() {
                thread::yield_now();
            }
            assert!(poll_with(&mut done, std::task::Waker::noop()).is_ready());
            assert!(context.cause().is_some());
            thread.join().unwrap();
        }
    });
}

/// `TestCauseRace`.
#[test]
fn cause_race() {
    watched(|| {
        for _ in 0..200 {
            let context = Context::background();
            let canceller = context.clone();
            let thread = thread::spawn(move || canceller.cancel_with("race"));
            let cause = loop {
                if let Some(cause) = context.cause() {
                    break cause;
                }
                thread::yield_now();
            };
            assert_eq!(cause.to_string(), "race");
            thread.join().unwrap();
        }
    });
}

/// `TestWithCancelSimultaneouslyCanceledParent`: children are born while the parent is cancelled.
#[test]
fn children_of_a_parent_that_is_being_cancelled_end() {
    watched(|| {
        for _ in 0..200 {
            let parent = Context::background();
            let barrier = Arc::new(Barrier::new(2));
            let (context, meet) = (parent.clone(), barrier.clone());
            let births = thread::spawn(move || {
                meet.wait();
                (0..20).map(|_| context.child()).collect::<Vec<_>>()
            });
            barrier.wait();
            parent.cancel_with("parent");
            for child in births.join().unwrap() {
                assert_eq!(crate::cause(&child).as_deref(), Some("parent"));
            }
        }
    });
}

/// Contexts are made, observed, cancelled and dropped at random by several threads, while timers
/// come due. Whatever happens, each function is called or dropped once, and no timer is left.
#[test]
fn a_storm() {
    watched(|| {
        let timers = DriverThread::new().unwrap();
        let root = Context::background();
        let balance = Count::default();
        let made = Count::default();
        let threads: Vec<_> = (0..4)
            .map(|seed| {
                let (root, balance, made) = (root.clone(), balance.clone(), made.clone());
                let handle = timers.handle().clone();
                thread::spawn(move || {
                    let _entered = handle.enter();
                    let mut random = Random::new(seed);
                    let mut held = vec![root];
                    for _ in 0..20_000 {
                        let any = random.below(held.len() as u64) as usize;
                        let context = held[any].clone();
                        match random.below(8) {
                            0 | 1 => held.push(context.child()),
                            2 | 3 => {
                                let limit = std::time::Duration::from_micros(random.below(300));
                                held.push(context.with_timeout(limit));
                            }
                            4 => {
                                let count = balance.clone();
                                made.add();
                                let guard = crate::support::OnDrop(move || count.add());
                                context.after_func(move || drop(guard));
                            }
                            5 if any > 0 => assert!(context.cancel() || context.is_done()),
                            6 => {
                                let other = &held[random.below(held.len() as u64) as usize];
                                held.push(context.merge(other));
                            }
                            _ if any > 0 => drop(held.swap_remove(any)),
                            _ => {}
                        }
                        if held.len() > 50 {
                            held.truncate(10);
                        }
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        root.cancel();
        // A driver's turn that took a timer out before may still be calling a function.
        let start = std::time::Instant::now();
        while balance.get() != made.get() && start.elapsed() < ms(20_000) {
            thread::yield_now();
        }
        assert_eq!(balance.get(), made.get());
        assert_eq!(timers.handle().armed(), 0);
        assert_eq!(crate::children(&root), 0);
    });
}

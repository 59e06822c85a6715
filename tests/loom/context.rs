//! What may happen to a context while another thread, or a driver, ends it?
//!
//! Every context ends once, and every thread sees it end in the same way. What waits for it is
//! woken or called once, and nothing of it is left in its parents or in the driver.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;

use crate::context::Done;
use crate::{Context, ContextError, Driver};

use super::support::{Task, Time, at_once, check, ns};

/// Counts calls.
#[derive(Clone, Default)]
struct Calls(Arc<AtomicUsize>);

impl Calls {
    /// Returns a function that counts its call.
    fn function(&self) -> impl FnOnce() + Send + 'static {
        let calls = self.0.clone();
        move || {
            calls.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Returns whether neither the function nor what it owns exists any more.
    fn are_released(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

fn poll(done: &mut Done, waker: &Waker) -> bool {
    let mut cx = std::task::Context::from_waker(waker);
    Pin::new(done).poll(&mut cx).is_ready()
}

/// Whether a context has no children.
fn is_childless(context: &Context) -> bool {
    format!("{context:?}").contains("children: 0")
}

fn driver(time: &Time) -> Driver<()> {
    time.turner()
}

/// Turns the driver when its clock shows so many nanoseconds.
fn turn_at(time: &Time, driver: &mut Driver<()>, nanos: u64) {
    time.set(nanos);
    driver.turn();
}

/// A context is cancelled while its driver fires its deadline.
///
/// The call says whether it did it, and every thread agrees with it. If both did it, or the timer that
/// fires found the node in between, a function would be called twice, or not at all.
#[test]
fn cancel_against_deadline() {
    check(Some(3), || {
        let time = Time::new();
        let mut driver = driver(&time);
        let _entered = driver.handle().enter();
        let (calls, task) = (Calls::default(), Task::new());
        let context = Context::background().with_timeout(ns(1));
        let child = context.child();
        child.after_func(calls.function());
        let mut done = child.done();
        assert!(!poll(&mut done, &task.waker()));
        let cancelled = context.clone();
        let canceller = move || (cancelled.cancel(), cancelled.err());
        let ((did, seen), _) = at_once(canceller, || turn_at(&time, &mut driver, 1));

        let expected = if did {
            ContextError::Canceled
        } else {
            ContextError::DeadlineExceeded
        };
        assert_eq!(
            (seen, context.err(), child.err()),
            (Some(expected), Some(expected), Some(expected))
        );
        assert_eq!((calls.get(), task.wakes()), (1, 1));
        assert!(poll(&mut done, &task.waker()));
        drop(done);
        assert!(task.is_released() && calls.are_released());
        assert_eq!(driver.handle().armed(), 0);
    });
}

/// Two threads find the deadline passed, and the driver turns.
#[test]
fn two_threads_find_the_deadline_passed() {
    check(Some(3), || {
        let time = Time::new();
        let mut driver = driver(&time);
        let _entered = driver.handle().enter();
        let calls = Calls::default();
        let context = Context::background().with_timeout(ns(1));
        let child = context.child();
        child.after_func(calls.function());
        time.set(1);
        let asked = child.clone();
        let seen = at_once(
            move || asked.err(),
            || {
                driver.turn();
                context.err()
            },
        );
        let exceeded = Some(ContextError::DeadlineExceeded);
        assert_eq!(seen, (exceeded, exceeded));
        assert_eq!(child.err(), exceeded);
        assert_eq!((calls.get(), driver.handle().armed()), (1, 0));
    });
}

/// A child is born while its parent is cancelled.
///
/// Either it is among those that the parent ends, or it is told. Otherwise it would outlive it.
#[test]
fn birth_of_a_child_against_cancel() {
    check(None, || {
        let parent = Context::background();
        let calls = Calls::default();
        let (context, function) = (parent.clone(), calls.function());
        let birth = move || {
            let child = context.child();
            child.after_func(function);
            child
        };
        let (child, _) = at_once(birth, || parent.cancel());
        assert_eq!(child.err(), Some(ContextError::Canceled));
        assert_eq!(calls.get(), 1);
        assert!(calls.are_released() && is_childless(&parent));
    });
}

/// A child with a deadline of its own is born while the deadline of its parent fires.
#[test]
fn birth_of_a_child_against_deadline() {
    check(Some(3), || {
        let time = Time::new();
        let mut driver = driver(&time);
        let _entered = driver.handle().enter();
        let parent = Context::background().with_timeout(ns(5));
        let at = driver.handle().now() + ns(3);
        let context = parent.clone();
        let birth = move || context.with_deadline(at);
        let (child, _) = at_once(birth, || turn_at(&time, &mut driver, 5));
        driver.turn();
        assert_eq!(child.err(), Some(ContextError::DeadlineExceeded));
        assert_eq!(driver.handle().armed(), 0);
        assert!(is_childless(&parent));
    });
}

/// A context is made while the driver fires what is due: its timer may be woken while it is polled
/// for the first time. If that wake was lost, nothing would end the context.
#[test]
fn birth_against_its_own_deadline() {
    check(Some(3), || {
        let time = Time::new();
        let mut driver = driver(&time);
        let _entered = driver.handle().enter();
        let root = Context::background();
        let at = driver.handle().now() + ns(1);
        let birth = move || {
            let context = root.with_deadline(at);
            (root, context)
        };
        let ((root, context), _) = at_once(birth, || turn_at(&time, &mut driver, 1));
        driver.turn();
        // Without `err`, which would look at the clock: a context that has ended has left its
        // parent.
        assert!(is_childless(&root), "nothing has ended it");
        assert_eq!(driver.handle().armed(), 0);
        assert_eq!(context.err(), Some(ContextError::DeadlineExceeded));
    });
}

/// A child with a timer is dropped while its parent is cancelled.
///
/// Its timer is disarmed and its place in the parent is free, whichever of the two does it.
#[test]
fn drop_of_a_child_against_cancel() {
    check(Some(3), || {
        let time = Time::new();
        let driver = driver(&time);
        let _entered = driver.handle().enter();
        let parent = Context::background();
        let child = parent.with_timeout(ns(1));
        let leaf = child.child();
        at_once(move || drop((leaf, child)), || parent.cancel());
        assert_eq!(driver.handle().armed(), 0);
        assert!(is_childless(&parent));
    });
}

/// The last handle of a context is dropped while its deadline fires.
#[test]
fn drop_against_deadline() {
    check(Some(3), || {
        let time = Time::new();
        let mut driver = driver(&time);
        let _entered = driver.handle().enter();
        let root = Context::background();
        let context = root.with_timeout(ns(1));
        at_once(move || drop(context), || turn_at(&time, &mut driver, 1));
        assert_eq!(driver.handle().armed(), 0);
        assert!(is_childless(&root));
    });
}

/// A parent and its child are dropped by two threads.
///
/// The one that comes last releases the parent, which has a timer. If each thread relied on the
/// other one, the parent would stay in the driver and in the root.
#[test]
fn drop_of_a_parent_against_drop_of_its_child() {
    check(None, || {
        let time = Time::new();
        let driver = driver(&time);
        let _entered = driver.handle().enter();
        let root = Context::background();
        let parent = root.with_timeout(ns(1));
        let child = parent.child();
        at_once(move || drop(child), || drop(parent));
        assert_eq!(driver.handle().armed(), 0);
        assert!(is_childless(&root));
    });
}

/// The last handle is dropped while the function that also keeps the context is stopped.
#[test]
fn drop_against_stop() {
    check(None, || {
        let root = Context::background();
        let context = root.child();
        let calls = Calls::default();
        let function = context.after_func(calls.function());
        at_once(move || drop(context), || assert!(function.stop()));
        assert!(calls.are_released() && is_childless(&root));
        assert_eq!(calls.get(), 0);
    });
}

/// The root of a context that only a function keeps is dropped by one thread, the context itself by
/// another one: nothing can end it any more, and the function must go.
#[test]
fn drop_of_a_root_against_drop_of_a_child_with_a_function() {
    check(None, || {
        let root = Context::background();
        let child = root.child();
        let calls = Calls::default();
        child.after_func(calls.function());
        at_once(move || drop(child), || drop(root));
        assert!(calls.are_released());
        assert_eq!(calls.get(), 0);
    });
}

/// A function is stopped while its context is cancelled: it is stopped, or called, and not both.
#[test]
fn stop_against_cancel() {
    check(None, || {
        let context = Context::background();
        let calls = Calls::default();
        let function = context.after_func(calls.function());
        let cancelled = context.clone();
        let (_, stopped) = at_once(move || assert!(cancelled.cancel()), || function.stop());
        assert_eq!(calls.get(), usize::from(!stopped));
        assert!(calls.are_released() && !function.stop());
    });
}

/// A function is registered while its context is cancelled: it is called once.
#[test]
fn after_func_against_cancel() {
    check(None, || {
        let context = Context::background();
        let calls = Calls::default();
        let cancelled = context.clone();
        at_once(
            move || assert!(cancelled.cancel()),
            || drop(context.after_func(calls.function())),
        );
        assert_eq!(calls.get(), 1);
        assert!(calls.are_released());
    });
}

/// A task polls while the context is cancelled: it is told, or woken. Then another task takes the
/// wait over; if its waker went to a place that the cancellation has emptied, it would sleep for
/// ever.
#[test]
fn done_against_cancel() {
    check(None, || {
        let context = Context::background();
        let (first, second) = (Task::new(), Task::new());
        let cancelled = context.clone();
        let canceller = move || assert!(cancelled.cancel());
        let (_, (mut done, ready)) = at_once(canceller, || {
            let mut done = context.done();
            let ready = poll(&mut done, &first.waker()) || poll(&mut done, &second.waker());
            (done, ready)
        });
        assert!(ready || second.wakes() == 1, "neither told nor woken");
        assert!(poll(&mut done, &second.waker()));
        drop(done);
        assert!(first.is_released() && second.is_released());
    });
}

/// A wait is dropped while the context is cancelled: its waker is released.
#[test]
fn drop_of_done_against_cancel() {
    check(None, || {
        let context = Context::background();
        let task = Task::new();
        let mut done = context.done();
        assert!(!poll(&mut done, &task.waker()));
        at_once(move || drop(done), || context.cancel());
        assert!(task.wakes() <= 1 && task.is_released());
    });
}

/// A context is cancelled while its parent is: when the call for the parent returns, the
/// descendants of both have ended, whichever thread ends them.
#[test]
fn cancel_of_a_child_against_cancel_of_its_parent() {
    check(Some(3), || {
        let root = Context::background();
        let child = root.child();
        let leaf = child.child();
        let calls = Calls::default();
        leaf.after_func(calls.function());
        let cancelled = child.clone();
        let canceller = move || {
            let did = cancelled.cancel_with("child");
            assert!(cancelled.is_done());
            did
        };
        let (did, _) = at_once(canceller, || {
            assert!(root.cancel_with("root"));
            assert!(child.is_done() && leaf.is_done(), "it outlives the root");
        });
        let expected = if did { "child" } else { "root" };
        for context in [&child, &leaf] {
            assert_eq!(context.cause().unwrap().to_string(), expected);
        }
        assert_eq!(calls.get(), 1);
    });
}

/// Two threads cancel one context: also when the second call returns, all descendants have ended.
#[test]
fn two_cancel_one_context() {
    fn cancel(root: &Context, leaf: &Context) -> bool {
        let did = root.cancel();
        assert!(leaf.is_done(), "it outlives the root");
        did
    }
    check(Some(3), || {
        let root = Context::background();
        let leaf = root.child().child();
        let (cancelled, observed) = (root.clone(), leaf.clone());
        let (theirs, ours) = at_once(
            move || cancel(&cancelled, &observed),
            || cancel(&root, &leaf),
        );
        assert_ne!(theirs, ours);
    });
}

/// A deadline has passed, and the thread that finds it so is not the one that ends the context: an
/// ancestor is being cancelled. The context must not be said to go on.
#[test]
fn deadline_against_cancel_from_above() {
    check(Some(3), || {
        let time = Time::new();
        let driver = driver(&time);
        let _entered = driver.handle().enter();
        let root = Context::background();
        let timed = root.with_timeout(ns(1));
        let leaf = timed.child();
        time.set(1);
        let cancelled = root.clone();
        let (_, seen) = at_once(move || cancelled.cancel(), || leaf.err());
        assert!(seen.is_some(), "its deadline has passed");
        assert_eq!((seen, seen), (leaf.err(), timed.err()));
    });
}

/// What runs because a context has ended finds all descendants ended.
#[test]
fn a_function_finds_all_descendants_ended() {
    check(Some(3), || {
        let root = Context::background();
        let child = root.child();
        let leaf = child.child();
        let calls = Calls::default();
        let (observed, function) = (leaf.clone(), calls.function());
        root.after_func(move || {
            assert!(observed.is_done());
            function();
        });
        at_once(move || child.cancel(), || root.cancel());
        // The assertion in the function would end with it.
        assert_eq!(calls.get(), 1);
    });
}

/// Both parents of a merged context are cancelled by two threads: it ends once.
#[test]
fn cancel_of_both_parents_of_a_merged_context() {
    check(Some(3), || {
        let (first, second) = (Context::background(), Context::background());
        let both = first.merge(&second);
        let calls = Calls::default();
        both.after_func(calls.function());
        let cancelled = second.clone();
        at_once(
            move || cancelled.cancel(),
            || {
                first.cancel();
                assert!(both.is_done());
            },
        );
        assert_eq!(calls.get(), 1);
        assert!(is_childless(&first) && is_childless(&second));
    });
}

/// A context is merged while one of its parents is cancelled: it ends, and leaves the other one.
///
/// If it joined its second parent after it has ended, it would stay there.
#[test]
fn merge_against_cancel() {
    check(Some(3), || {
        let (first, second) = (Context::background(), Context::background());
        let cancelled = first.clone();
        let (_, both) = at_once(move || cancelled.cancel(), || first.merge(&second));
        assert!(both.is_done() && is_childless(&first) && is_childless(&second));
    });
}

//! The current context: nested, across threads, and after a panic.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::thread;

use reveille::Context;

use crate::cause;
use crate::support::Task;

fn named(name: &str) -> Context {
    let context = Context::background();
    context.cancel_with(name);
    context
}

fn current() -> Option<String> {
    cause(&Context::current()?)
}

#[test]
fn scopes_nest() {
    let (outer, inner) = (named("outer"), named("inner"));
    assert_eq!(current(), None);
    pollster::block_on(outer.scope(async {
        assert_eq!(current().as_deref(), Some("outer"));
        inner
            .scope(async { assert_eq!(current().as_deref(), Some("inner")) })
            .await;
        assert_eq!(current().as_deref(), Some("outer"));
    }));
    assert_eq!(current(), None);
}

#[test]
fn a_context_is_current_only_during_a_poll() {
    let task = Task::new();
    let mut polls = 0;
    let mut scope = pin!(named("only").scope(poll_fn(|_| {
        assert_eq!(current().as_deref(), Some("only"));
        polls += 1;
        if polls == 3 {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })));
    while scope.as_mut().poll(&mut task.context()).is_pending() {
        assert_eq!(current(), None);
    }
    assert_eq!(current(), None);
}

#[test]
fn what_was_current_is_so_again_after_a_panic() {
    let (outer, inner) = (named("outer"), named("inner"));
    pollster::block_on(outer.scope(async {
        let poll = || {
            pollster::block_on(inner.scope(async {
                assert_eq!(current().as_deref(), Some("inner"));
                std::panic::resume_unwind(Box::new("on purpose"));
            }))
        };
        assert!(catch_unwind(AssertUnwindSafe(poll)).is_err());
        assert_eq!(current().as_deref(), Some("outer"));
    }));
    assert_eq!(current(), None);
}

#[test]
fn a_scope_moves_between_threads() {
    let mut polls = 0;
    let mut scope = Box::pin(named("moved").scope(poll_fn(move |_| {
        assert_eq!(current().as_deref(), Some("moved"));
        polls += 1;
        if polls == 3 {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })));
    for expected in [Poll::Pending, Poll::Pending, Poll::Ready(())] {
        scope = thread::spawn(move || {
            let poll = scope.as_mut().poll(&mut Task::new().context());
            assert_eq!((poll, current()), (expected, None));
            scope
        })
        .join()
        .unwrap();
    }
}

#[test]
fn timers_do_not_follow_the_current_context() {
    use reveille::time::{Duration, timeout};

    let context = named("ended");
    let limited = timeout(Duration::from_secs(60), async { 5 });
    assert_eq!(pollster::block_on(context.scope(limited)), Ok(5));
}

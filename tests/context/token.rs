//! tokio-util's token, made of a context and the other way round. There is no runtime here, so
//! nothing can be spawned.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use reveille::{Context, ContextError, Driver, ManualClock};
use tokio_util::sync::CancellationToken;

use crate::support::{Dial, Log, Task, manual, ms, watched};

#[test]
fn a_token_is_cancelled_with_its_context() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let context = Context::background().with_timeout(ms(5));
    let (first, second) = (context.token(), context.child().token());
    assert!(!first.is_cancelled() && !second.is_cancelled());
    clock.advance(ms(5));
    assert!(first.is_cancelled() && second.is_cancelled());
    assert!(context.token().is_cancelled());
}

#[test]
fn cancelling_a_token_of_a_context_changes_nothing_else() {
    let context = Context::background();
    let (first, second) = (context.token(), context.token());
    first.cancel();
    assert!(!context.is_done() && !second.is_cancelled() && !context.token().is_cancelled());
    context.cancel();
    assert!(second.is_cancelled());
}

#[test]
fn a_context_is_cancelled_with_its_token_before_the_call_returns() {
    let token = CancellationToken::new();
    let context = Context::from_token(token.child_token());
    let child = context.child();
    let log = Log::new();
    let called = log.clone();
    child.after_func(move || called.push(()));
    let task = Task::new();
    let mut done = child.done();
    assert!(task.poll(&mut done).is_pending() && !context.is_done());
    token.cancel();
    assert_eq!(context.err(), Some(ContextError::Canceled));
    assert_eq!((task.wakes(), log.take().len()), (1, 1));
    assert!(Context::from_token(token).is_done());
}

#[test]
fn a_function_of_a_context_made_of_a_child_token_may_use_the_parent_of_the_token() {
    watched(|| {
        let parent = CancellationToken::new();
        let context = Context::from_token(parent.child_token());
        let log = Log::new();
        let (asked, called) = (parent.clone(), log.clone());
        context.after_func(move || called.push(asked.child_token().is_cancelled()));
        parent.cancel();
        assert_eq!(log.take(), [true]);
    });
}

#[test]
fn cancelling_a_context_made_of_a_token_does_not_cancel_the_token() {
    let token = CancellationToken::new();
    let context = Context::from_token(token.clone());
    assert!(context.cancel());
    assert!(!token.is_cancelled());
    // Dropped, it is gone.
    drop(Context::from_token(token.clone()));
    token.cancel();
}

#[test]
fn a_waker_of_a_token_may_ask_for_a_token() {
    let context = Context::background();
    let token = context.token();
    let asked = context.clone();
    let log = Log::new();
    let seen = log.clone();
    let waker = crate::support::waker(move || seen.push(asked.token().is_cancelled()));
    let mut cancelled = std::pin::pin!(token.cancelled());
    let mut cx = std::task::Context::from_waker(&waker);
    assert!(cancelled.as_mut().poll(&mut cx).is_pending());
    context.cancel();
    assert_eq!(log.take(), [true]);
}

#[test]
fn a_clock_that_panics_leaves_no_token_that_nothing_cancels() {
    let (driver, panics) = Dial::default().driver_that_may_panic();
    let _entered = driver.handle().enter();
    let context = Context::background().with_timeout(ms(1000));
    panics.store(1, Relaxed);
    assert!(catch_unwind(AssertUnwindSafe(|| context.token())).is_err());
    let token = context.token();
    context.cancel();
    assert!(token.is_cancelled());
}

#[test]
fn an_unpark_that_panics_leaves_no_token_that_nothing_cancels() {
    let panics = Arc::new(AtomicBool::new(true));
    let first = panics.clone();
    let driver = Driver::builder()
        .clock(ManualClock::new())
        .build_with_unpark(move || assert!(!first.swap(false, Relaxed), "of the unpark"));
    let context = Context::background().with_timeout(ms(1000));
    let _entered = driver.handle().enter();
    assert!(driver.next_timeout().is_none(), "announces a park");
    assert!(catch_unwind(AssertUnwindSafe(|| context.token())).is_err());
    let token = context.token();
    context.cancel();
    assert!(token.is_cancelled());
}

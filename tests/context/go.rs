//! The tests of Go's package `context` that concern timers and cancellation, each on an executor of
//! `rt`, on tokio, and on a manual clock.
//!
//! Go's `TestValues`, `TestWithValueChecksKey` and `TestInvalidDerivedFail` have no counterpart: a
//! context carries no values, and there is no parent that is nil. Its custom contexts are those
//! that a program makes of a root and `after_func`.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use reveille::time::{Instant, sleep, timeout};
use reveille::{Context, ContextError, ManualClock};

use crate::children;
use crate::support::{Log, Random, ms, watched};

/// Go's `shortDuration` and `veryLongDuration`.
const SHORT: Duration = Duration::from_millis(1);
const VERY_LONG: Duration = Duration::from_secs(1000 * 3600);

/// Runs a test where timers are those of `rt`, of tokio, and of a manual clock.
fn everywhere<F: Future<Output = ()> + Send + 'static>(test: fn() -> F) {
    watched(move || {
        ManualClock::new().simulate(test());
        #[cfg(feature = "rt")]
        crate::support::runtime(2).block_on(test());
        let tokio = tokio::runtime::Runtime::new().unwrap();
        tokio.block_on(test());
    });
}

/// Waits for the end of a context, but not for ever.
async fn wait(context: &Context) {
    let waited = timeout(Duration::from_secs(30), context.done()).await;
    assert_eq!(waited, Ok(()), "it does not end");
}

/// Go's `testDeadline`.
async fn ends_by_deadline(context: Context) {
    wait(&context).await;
    assert_eq!(context.err(), Some(ContextError::DeadlineExceeded));
}

/// `TestBackground`, `TestTODO`.
#[test]
fn background() {
    everywhere(|| async {
        let context = Context::background();
        assert!(!context.is_done());
        assert_eq!((context.err(), context.deadline()), (None, None));
        assert!(context.cause().is_none() && context.remaining().is_none());
    });
}

/// `TestWithCancel`.
#[test]
fn with_cancel() {
    everywhere(|| async {
        let first = Context::background().child();
        let clone = first.clone();
        for context in [&first, &clone] {
            assert!(timeout(SHORT, context.done()).await.is_err());
            assert_eq!(context.err(), None);
        }
        assert!(first.cancel());
        sleep(SHORT).await;
        for context in [&first, &clone] {
            wait(context).await;
            assert_eq!(context.err(), Some(ContextError::Canceled));
        }
    });
}

/// `TestDeadline`.
#[test]
fn deadline() {
    everywhere(|| async {
        let root = Context::background();
        ends_by_deadline(root.with_deadline(Instant::now() + SHORT)).await;
        let context = root.with_deadline(Instant::now() + SHORT);
        ends_by_deadline(context.child()).await;
        let context = root.with_deadline(Instant::now() + SHORT);
        ends_by_deadline(context.with_deadline(Instant::now() + VERY_LONG)).await;
        let start = Instant::now();
        ends_by_deadline(root.with_deadline(start - Duration::from_secs(1))).await;
        ends_by_deadline(root.with_deadline(start)).await;
        // It has ended before the call returns.
        assert!(root.with_deadline(start).is_done());
    });
}

/// `TestTimeout`.
#[test]
fn with_timeout() {
    everywhere(|| async {
        let root = Context::background();
        let start = Instant::now();
        ends_by_deadline(root.with_timeout(SHORT)).await;
        assert!(start.elapsed() >= SHORT, "early");
        ends_by_deadline(root.with_timeout(SHORT).child()).await;
        ends_by_deadline(root.with_timeout(SHORT).with_timeout(VERY_LONG)).await;
        ends_by_deadline(root.with_timeout(VERY_LONG).with_timeout(SHORT)).await;
    });
}

/// `TestCanceledTimeout`.
#[test]
fn canceled_timeout() {
    everywhere(|| async {
        let outer = Context::background().with_timeout(VERY_LONG);
        let inner = outer.with_timeout(VERY_LONG);
        let done = inner.done();
        assert!(outer.cancel());
        done.await;
        assert_eq!(inner.err(), Some(ContextError::Canceled));
    });
}

/// `TestLayersCancel` and `TestLayersTimeout`.
async fn layers(seed: u64, times_out: bool) {
    let mut random = Random::new(seed);
    let limit = if times_out { SHORT } else { VERY_LONG };
    let mut layers = vec![Context::background()];
    let mut timers = 0;
    while layers.len() < 30 || timers == 0 {
        let context = layers.last().unwrap();
        let next = match random.below(3) {
            0 => context.clone(),
            1 => context.child(),
            _ => {
                timers += 1;
                context.with_timeout(limit)
            }
        };
        layers.push(next);
    }
    let last = layers.last().unwrap();
    if times_out {
        wait(last).await;
        assert_eq!(last.err(), Some(ContextError::DeadlineExceeded), "{seed}");
    } else {
        assert!(!last.is_done(), "{seed}");
        let any = random.below(layers.len() as u64) as usize;
        layers[any].cancel();
        assert_eq!(last.err(), Some(ContextError::Canceled), "{seed}");
    }
}

#[test]
fn layers_of_contexts() {
    everywhere(|| async {
        for seed in 0..20 {
            layers(seed, true).await;
            layers(seed, false).await;
        }
    });
}

/// `XTestParentFinishesChild`.
#[test]
fn parent_finishes_child() {
    everywhere(|| async {
        let parent = Context::background().child();
        let cancelled = parent.child();
        let timed = parent.clone().with_timeout(VERY_LONG);
        let called = Log::new();
        let log = called.clone();
        parent.after_func(move || log.push(()));
        for context in [&parent, &cancelled, &timed] {
            assert!(timeout(Duration::ZERO, context.done()).await.is_err());
        }
        assert_eq!(children(&parent), 2);
        parent.cancel();
        assert_eq!(children(&parent), 0);
        for context in [&parent, &cancelled, &timed] {
            context.done().await;
            assert_eq!(context.err(), Some(ContextError::Canceled));
        }
        assert_eq!(called.take().len(), 1);
        assert_eq!(parent.child().err(), Some(ContextError::Canceled));
    });
}

/// `XTestChildFinishesFirst`.
#[test]
fn child_finishes_first() {
    everywhere(|| async {
        for parent in [Context::background(), Context::background().child()] {
            let child = parent.child();
            assert!(!parent.is_done() && !child.is_done());
            assert_eq!(children(&parent), 1);
            child.cancel();
            assert_eq!(children(&parent), 0);
            child.done().await;
            assert_eq!(child.err(), Some(ContextError::Canceled));
            assert_eq!(parent.err(), None);
            assert!(timeout(Duration::ZERO, parent.done()).await.is_err());
        }
    });
}

/// `XTestCancelRemoves`. In Rust, a drop removes, too.
#[test]
fn cancel_removes() {
    everywhere(|| async {
        let parent = Context::background().child();
        let leave: [fn(Context); 2] = [|child| assert!(child.cancel()), drop];
        for leave in leave {
            assert_eq!(children(&parent), 0);
            let child = parent.child();
            assert_eq!(children(&parent), 1);
            leave(child);
            assert_eq!(children(&parent), 0);
            let child = parent.with_timeout(Duration::from_secs(3600));
            assert_eq!(children(&parent), 1);
            leave(child);
            assert_eq!(children(&parent), 0);
        }
        let owned = Arc::new(());
        let kept = owned.clone();
        let function = parent.after_func(move || drop(kept));
        assert_eq!(Arc::strong_count(&owned), 2);
        assert!(function.stop());
        assert_eq!(Arc::strong_count(&owned), 1);
    });
}

/// `TestWithCancelCanceledParent`.
#[test]
fn with_cancel_canceled_parent() {
    everywhere(|| async {
        let parent = Context::background().child();
        let cause = "Because!";
        parent.cancel_with(cause);
        let child = parent.child();
        child.done().await;
        assert_eq!(child.err(), parent.err());
        assert_eq!(child.cause().unwrap().to_string(), cause);
    });
}

/// `TestWithoutCancel`.
#[test]
fn without_cancel() {
    everywhere(|| async {
        let context = Context::background().with_timeout(VERY_LONG);
        let context = context.without_cancel();
        assert_eq!((context.deadline(), context.err()), (None, None));
        assert!(context.cause().is_none());
        let past = Context::background().with_timeout(Duration::ZERO);
        assert!(past.is_done() && !past.without_cancel().is_done());
    });
}

/// `TestDeadlineExceededSupportsTimeout`, `TestDeadlineExceededIsNetError`.
#[test]
fn deadline_exceeded_is_a_timeout() {
    use std::io;

    let error = ContextError::DeadlineExceeded;
    assert!(error.is_timeout() && !ContextError::Canceled.is_timeout());
    let error = io::Error::from(error);
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    let inner = error.get_ref().unwrap();
    assert!(inner.is::<ContextError>() && inner.source().is_none());
    let error = io::Error::from(ContextError::Canceled);
    assert_eq!(error.kind(), io::ErrorKind::Interrupted);
    assert_eq!(error.to_string(), "context canceled");
}

/// `TestAfterFuncCalledAfterCancel`.
#[test]
fn after_func_called_after_cancel() {
    everywhere(|| async {
        let context = Context::background().child();
        let called = Log::new();
        let log = called.clone();
        let function = context.after_func(move || log.push(()));
        sleep(SHORT).await;
        assert_eq!(called.take(), []);
        context.cancel();
        assert_eq!(called.take(), [()]);
        assert!(!function.stop());
    });
}

/// `TestAfterFuncCalledAfterTimeout`.
#[test]
fn after_func_called_after_timeout() {
    everywhere(|| async {
        let (sender, receiver) = futures::channel::oneshot::channel();
        let context = Context::background().with_timeout(SHORT);
        context.after_func(|| sender.send(()).unwrap());
        timeout(Duration::from_secs(30), receiver)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(context.err(), Some(ContextError::DeadlineExceeded));
    });
}

/// `TestAfterFuncCalledImmediately`. Here, that is before the call returns.
#[test]
fn after_func_called_immediately() {
    everywhere(|| async {
        let context = Context::background().child();
        context.cancel();
        let called = Log::new();
        let log = called.clone();
        let function = context.after_func(move || log.push(()));
        assert_eq!(called.take(), [()]);
        assert!(!function.stop());
    });
}

/// `TestAfterFuncNotCalledAfterStop`.
#[test]
fn after_func_not_called_after_stop() {
    everywhere(|| async {
        let context = Context::background().child();
        let function = context.after_func(|| panic!("called"));
        assert!(function.stop());
        context.cancel();
        sleep(SHORT).await;
        assert!(!function.stop());
    });
}

/// `TestAfterFuncCalledAsynchronously`, with what takes the place of Go's goroutine: the function
/// sends to a task, and `cancel` returns although nothing has been received yet.
#[test]
fn after_func_called_asynchronously() {
    everywhere(|| async {
        let context = Context::background().child();
        let (sender, mut receiver) = futures::channel::mpsc::unbounded();
        context.after_func(move || sender.unbounded_send(()).unwrap());
        context.cancel();
        let next = futures::StreamExt::next(&mut receiver);
        assert_eq!(timeout(Duration::from_secs(30), next).await, Ok(Some(())));
    });
}

/// A context that a program makes itself: it follows `parent` by a function.
fn custom(parent: &Context) -> Context {
    let context = Context::background();
    let follows = context.clone();
    let source = parent.clone();
    parent.after_func(move || {
        follows.cancel_with(source.cause().unwrap().to_string());
    });
    context
}

/// `TestCustomContextAfterFuncCancel`, `…Timeout`, `…AfterFunc`, and
/// `TestCustomContextPropagation`.
#[test]
fn custom_context_after_func() {
    everywhere(|| async {
        let parent = Context::background();
        let custom = custom(&parent);
        let (cancelled, timed) = (custom.child(), custom.with_timeout(VERY_LONG));
        let called = Log::new();
        let log = called.clone();
        custom.after_func(move || log.push(()));
        assert!(!cancelled.is_done() && !timed.is_done());
        parent.cancel_with("parent");
        for context in [&cancelled, &timed] {
            wait(context).await;
            assert_eq!(context.err(), Some(ContextError::Canceled));
            assert_eq!(context.cause().unwrap().to_string(), "parent");
        }
        assert_eq!(called.take(), [()]);
    });
}

/// `TestCustomContextAfterFuncUnregisterCancel`, `…UnregisterTimeout`, `…UnregisterAfterFunc`.
#[test]
fn custom_context_after_func_unregister() {
    everywhere(|| async {
        let custom = custom(&Context::background());
        let child = custom.child();
        assert_eq!(children(&custom), 1);
        child.cancel();
        assert_eq!(children(&custom), 0);
        let child = custom.with_timeout(SHORT);
        assert_eq!(children(&custom), 1);
        wait(&child).await;
        assert_eq!(children(&custom), 0);
        let function = custom.after_func(|| panic!("called"));
        assert!(function.stop());
        custom.cancel();
    });
}

/// `XTestCustomContextGoroutines`: a deadline and a function start no task.
#[test]
fn no_task_is_spawned() {
    let (clock, driver) = crate::support::manual();
    let _entered = driver.handle().enter();
    let context = Context::background().with_timeout(ms(5));
    let child = context.child();
    let called = Log::new();
    let log = called.clone();
    child.after_func(move || log.push(()));
    // There is nothing here that could run a task.
    clock.advance(ms(5));
    assert_eq!(called.take(), [()]);
    assert_eq!(child.err(), Some(ContextError::DeadlineExceeded));
}

//! Tests of `JoinHandle` and `JoinError`.

#![cfg(all(not(loom), feature = "rt"))]

mod support;

use std::error::Error;
use std::future::{Future, pending};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use reveille::rt::{self, JoinError};

use support::{OnDrop, panic_of, poll_with, waker};

fn panicked() -> JoinError {
    let number = std::hint::black_box(7);
    rt::block_on(async { rt::spawn(async move { panic!("lost {number}") }).await }).unwrap_err()
}

fn cancelled() -> JoinError {
    rt::block_on(async {
        let task = rt::spawn(pending::<()>());
        task.abort();
        task.await.unwrap_err()
    })
}

/// The error held the payload of the panic, which is not `Sync`, so the error was not `Sync`
/// either, and none of these compiled.
#[test]
fn errors_convert_by_question_mark_and_into_io_errors() {
    type Shared = Box<dyn Error + Send + Sync>;

    fn question_mark(error: JoinError) -> Result<(), Shared> {
        Err(error)?
    }

    fn question_mark_into_io(error: JoinError) -> io::Result<()> {
        Err(error)?
    }

    assert_eq!(
        question_mark(cancelled()).unwrap_err().to_string(),
        "task was dropped before it had ended: it was aborted, or its runtime is gone"
    );
    assert_eq!(
        io::Error::other(panicked()).to_string(),
        "task panicked: lost 7"
    );
    let error = question_mark_into_io(panicked()).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string()),
        (io::ErrorKind::Other, "task panicked: lost 7".into())
    );
    let inner = error.into_inner().unwrap().downcast::<JoinError>().unwrap();
    assert_eq!(*inner.into_panic().downcast::<String>().unwrap(), "lost 7");
}

#[test]
fn the_payload_of_a_panic_is_returned_whatever_it_is() {
    let error = rt::block_on(async { rt::spawn(async { panic_any(7_u8) }).await }).unwrap_err();
    assert!(error.is_panic() && !error.is_cancelled());
    assert_eq!(error.to_string(), "task panicked");
    assert_eq!(*error.into_panic().downcast::<u8>().unwrap(), 7);

    let error = cancelled().try_into_panic().unwrap_err();
    assert!(error.is_cancelled() && !error.is_panic());
    let (message, file) = panic_of(move || error.into_panic());
    assert!(message.contains("did not panic"), "{message}");
    assert!(file.ends_with("rt_join.rs"), "{file}");
}

/// The message used to say that the task had been dropped before its end, which was wrong.
#[test]
fn a_handle_polled_after_completion_panics_like_tokios() {
    let (message, file) = panic_of(|| {
        rt::block_on(async {
            let mut task = rt::spawn(async { 7 });
            assert_eq!((&mut task).await.unwrap(), 7);
            assert!(task.is_finished());
            // There is no task left to abort.
            task.abort();
            assert!(task.abort_handle().is_finished());
            let _ = Pin::new(&mut task).poll(&mut Context::from_waker(Waker::noop()));
        });
    });
    assert!(
        message.starts_with("JoinHandle polled after completion"),
        "{message}"
    );
    assert!(file.ends_with("rt_join.rs"), "{file}");
}

/// A kept handle keeps no part of the task alive.
#[test]
fn a_handle_that_was_ready_no_longer_holds_the_output() {
    let kept = Arc::new(());
    let output = kept.clone();
    rt::block_on(async {
        let mut task = rt::spawn(async { output });
        drop((&mut task).await.unwrap());
        assert_eq!(Arc::strong_count(&kept), 1);
        drop(task);
        // A handle that is not awaited drops the output when it is dropped.
        let output = kept.clone();
        let task = rt::spawn(async { output });
        rt::yield_now().await;
        assert!(task.is_finished());
        drop(task);
        assert_eq!(Arc::strong_count(&kept), 1);
    });
}

/// The `catch_unwind` of the caller does not see it.
#[test]
fn a_panic_of_a_task_does_not_leave_its_handle() {
    let result = catch_unwind(AssertUnwindSafe(panicked));
    assert!(result.unwrap().is_panic());
}

/// Its drop is that of the handle then, and the task has ended long before.
#[test]
fn output_that_panics_when_it_is_dropped_with_its_handle_panics_there() {
    struct PanicsInDrop;

    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic!("by design");
        }
    }

    rt::block_on(async {
        let task = rt::spawn(async { PanicsInDrop });
        rt::yield_now().await;
        assert!(task.is_finished());
        assert!(catch_unwind(AssertUnwindSafe(|| drop(task))).is_err());
        assert_eq!(rt::spawn(async { 7 }).await.unwrap(), 7);
    });
}

/// A task that has given up waiting for another one was kept in memory by that one until it ended,
/// and was woken by its end.
#[test]
fn a_join_handle_that_is_dropped_leaves_no_waker_in_its_task() {
    rt::block_on(async {
        let owned = Arc::new(());
        let kept = owned.clone();
        let waker = waker(move || drop(kept.clone()));
        let mut task = rt::spawn(pending::<()>());
        assert!(poll_with(&mut task, &waker).is_pending());
        drop((waker, task));
        assert_eq!(Arc::strong_count(&owned), 1);
    });
}

/// Its panic, which nobody has taken, is dropped with it.
#[test]
fn a_join_handle_that_waited_for_a_task_that_has_panicked_is_dropped_in_peace() {
    rt::block_on(async {
        let mut task = rt::spawn(async { panic!("the task's own panic") });
        assert!(poll_with(&mut task, Waker::noop()).is_pending());
        rt::yield_now().await;
        assert!(task.is_finished());
        drop(task);
    });
}

/// As where the handle was never polled: see `rt::spawn`.
#[test]
fn an_output_that_panics_when_it_is_dropped_panics_there_also_after_a_poll() {
    rt::block_on(async {
        let mut task = rt::spawn(async { OnDrop(|| panic!("an output's own panic")) });
        assert!(poll_with(&mut task, Waker::noop()).is_pending());
        rt::yield_now().await;
        assert!(catch_unwind(AssertUnwindSafe(|| drop(task))).is_err());
    });
}

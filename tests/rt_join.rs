//! What a task's handle yields, and what can be done with the error.

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

use support::panic_of;

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

/// The error held the payload of the panic, which is not `Sync`, and so was not `Sync` itself: none
/// of these compiled.
#[test]
fn error_goes_through_the_question_mark_and_into_io_errors() {
    type Shared = Box<dyn Error + Send + Sync>;

    fn asked(error: JoinError) -> Result<(), Shared> {
        Err(error)?
    }

    fn asked_for_io(error: JoinError) -> io::Result<()> {
        Err(error)?
    }

    assert_eq!(
        asked(cancelled()).unwrap_err().to_string(),
        "task was dropped before it had ended"
    );
    assert_eq!(
        io::Error::other(panicked()).to_string(),
        "task panicked: lost 7"
    );
    let error = asked_for_io(panicked()).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string()),
        (io::ErrorKind::Other, "task panicked: lost 7".into())
    );
    let inner = error.into_inner().unwrap().downcast::<JoinError>().unwrap();
    assert_eq!(*inner.into_panic().downcast::<String>().unwrap(), "lost 7");
}

#[test]
fn payload_of_a_panic_is_given_back_whatever_it_is() {
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

/// It said that the task had been dropped before its end, which was not so.
#[test]
fn handle_that_is_polled_again_after_its_end_panics_as_that_of_tokio() {
    let (message, file) = panic_of(|| {
        rt::block_on(async {
            let mut task = rt::spawn(async { 7 });
            assert_eq!((&mut task).await.unwrap(), 7);
            assert!(task.is_finished());
            // It has nothing left to abort.
            task.abort();
            assert!(task.abort_handle().is_finished());
            let _ = Pin::new(&mut task).poll(&mut Context::from_waker(Waker::noop()));
        });
    });
    assert_eq!(message, "JoinHandle polled after completion");
    assert!(file.ends_with("rt_join.rs"), "{file}");
}

/// Whoever keeps the handle keeps nothing of the task.
#[test]
fn handle_that_was_ready_has_let_go_of_the_output() {
    let kept = Arc::new(());
    let output = kept.clone();
    rt::block_on(async {
        let mut task = rt::spawn(async { output });
        drop((&mut task).await.unwrap());
        assert_eq!(Arc::strong_count(&kept), 1);
        drop(task);
        // One that nobody waits for lets go of it when dropped.
        let output = kept.clone();
        let task = rt::spawn(async { output });
        rt::yield_now().await;
        assert!(task.is_finished());
        drop(task);
        assert_eq!(Arc::strong_count(&kept), 1);
    });
}

/// The caller's `catch_unwind` sees nothing of it.
#[test]
fn panic_of_a_task_ends_in_its_handle() {
    let result = catch_unwind(AssertUnwindSafe(panicked));
    assert!(result.unwrap().is_panic());
}

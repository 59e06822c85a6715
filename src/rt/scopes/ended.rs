//! Notes when the future of a task has ended, because what is left of it is dropped right then.
//!
//! `async_task` drops the future when its last poll is over, before `run` returns. A destructor
//! may call `block_on` then, as in a task that was aborted.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::{innermost, with};

pin_project! {
    /// The future of a task.
    pub(super) struct NotingEnd<F> {
        #[pin]
        pub(super) future: F,
    }
}

impl<F: Future> Future for NotingEnd<F> {
    type Output = F::Output;

    // Inlined: see `Worker::run_task`.
    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // Dropped also if the poll panics: that ends the task, too.
        let set_dropping = SetDropping;
        let poll = self.project().future.poll(cx);
        if poll.is_pending() {
            mem::forget(set_dropping);
        }
        poll
    }
}

/// Notes when dropped that the task's future is dropped next. `Scope::run` notes the end of that.
struct SetDropping;

impl Drop for SetDropping {
    fn drop(&mut self) {
        with(|scopes| {
            innermost(scopes)?.set_dropping();
            Some(())
        });
    }
}

//! Where does a task go when it is ready?
//!
//! To the queue of the worker that readied it; from outside, to the queue that all workers share; a
//! local one to its thread's inbox.

use std::future::Future;
use std::sync::Arc;

use async_task::{ScheduleInfo, WithInfo};

use crate::rt::context;
use crate::rt::join::JoinHandle;
use crate::rt::local::LocalQueue;
use crate::rt::task::{List, Runnable, Why};

/// Spawns a task for any worker.
pub(super) fn spawn<F>(list: Arc<List>, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let (task, started) = list.start(future, |meta, future| {
        let builder = async_task::Builder::new().metadata(meta);
        builder
            .propagate_panic(true)
            .spawn(|_| future, WithInfo(schedule))
    });
    begin(task);
    JoinHandle::new(started)
}

/// Spawns a task for this thread.
pub(super) fn spawn_local<F>(local: &LocalQueue, future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let (task, started) = local.list().clone().start(future, |meta, future| {
        let builder = async_task::Builder::new().metadata(meta);
        builder
            .propagate_panic(true)
            .spawn_local(|_| future, WithInfo(schedule))
    });
    begin(task);
    JoinHandle::new(started)
}

fn begin(task: Option<Runnable>) {
    if let Some(task) = task {
        ready(task, Why::Spawned);
    }
}

/// Makes a task ready that was woken.
///
/// A function, and the list in the task's own data: a closure that held it would have to be kept
/// alive during each call, at the cost of two atomic steps.
fn schedule(task: Runnable, info: ScheduleInfo) {
    let why = if info.woken_while_running {
        Why::Yielded
    } else {
        Why::Woken
    };
    ready(task, why);
}

fn ready(task: Runnable, why: Why) {
    if let Err(task) = context::push(task, why) {
        let list = task.metadata().list().clone();
        list.route().ready(task);
    }
}

//! Spawning, and where a task goes when it is ready.
//!
//! A task goes to the core of the worker on which it becomes ready; on an external thread, to the
//! shared queue; a local task, to its thread's inbox.

use std::future::Future;
use std::sync::Arc;

use async_task::{ScheduleInfo, WithInfo};

use crate::rt::context;
use crate::rt::join::JoinHandle;
use crate::rt::local::LocalQueue;
use crate::rt::task::{OwnedTasks, Reason, Runnable, Spawned};

/// Spawns a task for any worker.
pub(super) fn spawn<F>(owned: Arc<OwnedTasks>, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let (task, spawned) = owned.bind(future, |metadata, future| {
        async_task::Builder::new()
            .metadata(metadata)
            .propagate_panic(true)
            .spawn(|_| future, WithInfo(wake))
    });
    finish_spawn(task, spawned)
}

/// Spawns a task that stays on this thread.
pub(super) fn spawn_local<F>(local: &LocalQueue, future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let (task, spawned) = local.owned.clone().bind(future, |metadata, future| {
        async_task::Builder::new()
            .metadata(metadata)
            .propagate_panic(true)
            .spawn_local(|_| future, WithInfo(wake))
    });
    finish_spawn(task, spawned)
}

fn finish_spawn<T>(task: Option<Runnable>, spawned: Spawned<T>) -> JoinHandle<T> {
    if let Some(task) = task {
        schedule(task, Reason::Spawned);
    }
    JoinHandle::new(spawned)
}

/// Schedules a task that was woken.
///
/// A function, and the list is in the task's metadata: a closure that held the list would have to
/// be kept alive during each call, which costs two atomic operations.
fn wake(task: Runnable, info: ScheduleInfo) {
    let reason = if info.woken_while_running {
        Reason::Yielded
    } else {
        Reason::Woken
    };
    schedule(task, reason);
}

fn schedule(task: Runnable, reason: Reason) {
    if let Err(task) = context::push(task, reason) {
        let owned = task.metadata().owned.clone();
        owned.scheduler.schedule(task);
    }
}

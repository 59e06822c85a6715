//! How does a runtime end?
//!
//! Its owner stops it: workers leave, no task can be spawned any more, and who comes across a task
//! ends it instead of running it. It has ended when the owner, all its threads and those in
//! `block_on` have left: the last of them drops what is left.

use std::sync::Arc;

use crate::rt::context::Entered;
use crate::rt::shared::Shared;
use crate::sync::thread;

/// The owner, a thread, or one that was in `block_on` leaves; the last one ends what is left.
pub(super) fn leave(shared: &Arc<Shared>) {
    if shared.count_out() {
        end(shared);
        shared.set_ended();
    }
}

/// Drops all tasks: waking makes each of them ready, and dropping one that is ready ends it. What a
/// task spawns or wakes when it is dropped is ended in the next round.
fn end(shared: &Arc<Shared>) {
    // So that spawning finds a runtime.
    let _entered = Entered::new(shared.clone());
    if let Some(core) = shared.take_core() {
        core.release();
        drop(core);
    }
    let pool = shared.pool();
    loop {
        let open = shared.close();
        let mut dropped = false;
        while let Some(task) = pool.drain() {
            drop(task);
            dropped = true;
        }
        if open == 0 && !dropped {
            break;
        }
        if !dropped {
            // Another thread is waking one just now, and about to push it.
            thread::yield_now();
        }
    }
    pool.close();
}

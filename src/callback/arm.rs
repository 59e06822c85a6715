//! How the driver's timer follows what the callers have decided; see the head of `callback.rs`.
//!
//! An unpark is foreign code. If it panics, the timer is armed all the same, and so is what other
//! threads have decided meanwhile. The panic goes on when nothing is left to do.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::task::Waker;

use crate::backend;
use crate::callback::{Armed, Callback, Function, State};
use crate::driver::shared::{Arm, Reset};
use crate::panic::{Payload, catch_first, drop_payload};
use crate::sync::MutexGuard;

impl Callback {
    /// Has the driver arm what the state says, unless another thread is about to.
    pub(super) fn settle<'a>(self: &'a Arc<Self>, mut state: MutexGuard<'a, State>) {
        if state.arming {
            return;
        }
        let mut panic = None;
        while !state.is_settled() {
            state.arming = true;
            let armed = state.armed.take();
            let wanted = state.wanted();
            drop(state);
            let mut failure = None;
            let set = || self.set_timer(armed, wanted, &mut panic);
            let armed_now = catch_first(&mut failure, set).flatten();
            let failed = failure.is_some();
            if let Some(payload) = failure {
                match panic {
                    None => panic = Some(payload),
                    Some(_) => drop_payload(payload),
                }
            }
            state = self.lock();
            state.armed = armed_now;
            // A panic of the function's destructor, or of the spawn of its task, comes once the
            // timer has ended. Any other one would come again if the same were tried again. But
            // what another thread has decided meanwhile is left to this one.
            if failed && state.wanted() == wanted {
                break;
            }
        }
        state.arming = false;
        drop(state);
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }

    /// Moves the driver's timer, or arms or cancels it. Called with no lock held.
    ///
    /// A panic of the unpark is put into `panic`: what it was called for has been done before.
    pub(super) fn set_timer(
        self: &Arc<Self>,
        armed: Option<Armed>,
        wanted: Option<u64>,
        panic: &mut Option<Payload>,
    ) -> Option<Armed> {
        let shared = &self.handle.shared;
        // The process-wide thread of the parent is not in this process, which may have been forked,
        // and its lock may be held for ever.
        backend::notice_fork(shared);
        let Some(due) = wanted else {
            let Armed {
                index, deadline, ..
            } = armed?;
            drop(catch_first(panic, || shared.cancel(index, deadline)));
            return None;
        };
        if shared.is_closed() {
            let ended = self.lock().end();
            drop(ended);
            return None;
        }
        let waker = match armed {
            None => self.waker(),
            Some(armed) => {
                match catch_first(panic, || shared.reset(armed.index, armed.deadline, due)) {
                    Some(Reset::Due {
                        waker,
                        must_interrupt,
                    }) => {
                        if must_interrupt {
                            catch_first(panic, || shared.interrupt());
                        }
                        waker
                    }
                    Some(Reset::Gone) => self.waker(),
                    // After a panic it is at the new deadline, unless that has elapsed.
                    None if shared.has_elapsed(due) => {
                        drop(catch_first(panic, || shared.cancel(armed.index, due)));
                        self.waker()
                    }
                    moved @ (Some(Reset::Moved { .. }) | None) => {
                        if let Some(Reset::Moved {
                            must_interrupt: true,
                        }) = moved
                        {
                            catch_first(panic, || shared.interrupt());
                        }
                        let deadline = due;
                        return Some(Armed {
                            deadline,
                            due,
                            ..armed
                        });
                    }
                }
            }
        };
        self.arm(due, waker, panic)
    }

    fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(self.clone())
    }

    fn arm(self: &Arc<Self>, due: u64, waker: Waker, panic: &mut Option<Payload>) -> Option<Armed> {
        let shared = &self.handle.shared;
        let mut waker = Some(waker);
        let mut deadline = due;
        loop {
            match shared.arm(deadline, &mut waker) {
                Arm::Armed {
                    index,
                    must_interrupt,
                } => {
                    if must_interrupt {
                        catch_first(panic, || shared.interrupt());
                    }
                    return Some(Armed {
                        index,
                        deadline,
                        due,
                    });
                }
                Arm::Due if self.may_spawn_here() => {
                    self.call();
                    return None;
                }
                // A turn has passed it already. The next turn is to call the function, not this
                // thread: it may hold locks that the function takes.
                Arm::Due => deadline = deadline.max(shared.elapsed()).saturating_add(1),
                Arm::Closed => {
                    let ended = self.lock().end();
                    drop(ended);
                    return None;
                }
            }
        }
    }

    fn may_spawn_here(&self) -> bool {
        matches!(&self.lock().function, Some(Function::Spawn(task)) if task.may_spawn_here())
    }
}

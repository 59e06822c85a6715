//! Pausing and resuming a clock that runs: feature `test-util`.
//!
//! A test that pauses a clock must not see it go back, and neither may a thread that reads it
//! meanwhile. So each change is one step for all readers (`Inner::read` starts over if a change
//! happens during the read), and the source is read inside of that step. How a paused clock is
//! advanced is in `clock/manual.rs`.

use crate::clock::{Clock, Inner, RUNNING, Source};
use crate::sync::{
    atomic::{Ordering, fence},
    lock,
};

impl Clock {
    /// Returns whether the clock never runs, and moves only when it is told to.
    pub(crate) fn is_manual(&self) -> bool {
        matches!(self.inner.source, Source::Manual)
    }

    /// Returns whether the clock stands for good, because of [`stop`](Self::stop). Only a manual
    /// clock and a stopped one stand without having been paused.
    pub(crate) fn is_stopped(&self) -> bool {
        let was_paused = || self.inner.changes.load(Ordering::Relaxed) != 0;
        self.is_frozen() && !self.is_manual() && !was_paused()
    }

    /// Pauses the clock where it is. Returns whether it was running.
    pub(crate) fn freeze(&self) -> bool {
        // Foreign code is called before the lock is taken: under it, only the latest time that it
        // has shown is read.
        self.nanos();
        let running = {
            let _guard = lock(&self.inner.change_lock);
            let running = !self.is_frozen();
            if running {
                self.change(|clock| {
                    let now = clock.shifted(clock.source_without_foreign_code());
                    clock.frozen.store(now, Ordering::Relaxed);
                });
            }
            running
        };
        if running {
            self.look_again();
        }
        running
    }

    /// Lets a paused clock run on from the time at which it stands. Returns whether it was paused
    /// and can run.
    pub(crate) fn resume(&self) -> bool {
        // As in `freeze`.
        self.inner.source();
        let resumes = {
            let _guard = lock(&self.inner.change_lock);
            let resumes = self.is_frozen() && !self.is_manual();
            if resumes {
                self.change(|clock| {
                    let at = clock.frozen.load(Ordering::Relaxed);
                    let shift = at.wrapping_sub(clock.source_without_foreign_code());
                    clock.shift.store(shift, Ordering::Relaxed);
                    clock.frozen.store(RUNNING, Ordering::Relaxed);
                });
            }
            resumes
        };
        if resumes {
            self.look_again();
        }
        resumes
    }

    /// Pauses or resumes the clock, in one step for all threads that read it. The caller holds
    /// `change_lock`.
    ///
    /// `freeze_or_resume` reads the source during the change: so a thread that has read it before
    /// has seen no later time.
    fn change(&self, freeze_or_resume: impl FnOnce(&Inner)) {
        let changes = self.inner.changes.load(Ordering::Relaxed);
        self.inner.changes.store(changes + 1, Ordering::Relaxed);
        // Pairs with the fence in `read`. SeqCst: the store must be out before the source is read,
        // or a reader could see a later time and not the change.
        fence(Ordering::SeqCst);
        freeze_or_resume(&self.inner);
        // Release: pairs with the first load in `read`.
        self.inner.changes.store(changes + 2, Ordering::Release);
    }
}

impl Inner {
    /// Returns what the source shows, without calling foreign code: of that, the latest time that
    /// it has shown.
    fn source_without_foreign_code(&self) -> u64 {
        match &self.source {
            Source::Custom(_, latest) => latest.load(Ordering::Relaxed),
            _ => self.source(),
        }
    }
}

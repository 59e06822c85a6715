//! What does the user want to be told of the workers' threads?
//!
//! A hook that panics loses no worker: it may sleep and be counted on to wake.

use std::fmt;
use std::sync::Arc;

use crate::driver::shared::fire::shield;

type Hook = Arc<dyn Fn() + Send + Sync>;

#[derive(Clone, Default)]
pub(super) struct Hooks {
    pub(super) start: Option<Hook>,
    pub(super) stop: Option<Hook>,
    pub(super) park: Option<Hook>,
    pub(super) unpark: Option<Hook>,
}

impl Hooks {
    pub(super) fn start(&self) {
        call(self.start.as_ref());
    }

    pub(super) fn stop(&self) {
        call(self.stop.as_ref());
    }

    pub(super) fn has_park(&self) -> bool {
        self.park.is_some()
    }

    pub(super) fn park(&self) {
        call(self.park.as_ref());
    }

    pub(super) fn unpark(&self) {
        call(self.unpark.as_ref());
    }
}

fn call(hook: Option<&Hook>) {
    if let Some(hook) = hook {
        shield(|| hook());
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("start", &self.start.is_some())
            .field("stop", &self.stop.is_some())
            .field("park", &self.park.is_some())
            .field("unpark", &self.unpark.is_some())
            .finish()
    }
}

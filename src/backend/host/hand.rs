//! How is the clock of a tokio runtime moved by hand?
//!
//! By tokio: its own timers live on the same clock. Ours that are due then are fired at once, to
//! the nanosecond; tokio itself would get to them at the next whole millisecond.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::time::Duration;

use tokio::runtime;

use crate::backend::host::Host;

/// Pauses the clock of the runtime that this thread is in; `false` if it is in none.
#[track_caller]
pub(crate) fn pause() -> bool {
    let inside = runtime::Handle::try_current().is_ok();
    if inside {
        tokio::time::pause();
    }
    inside
}

/// Lets it run on; `false` if there is none.
#[track_caller]
pub(crate) fn resume() -> bool {
    let inside = runtime::Handle::try_current().is_ok();
    if inside {
        tokio::time::resume();
    }
    inside
}

/// Moves it on; `false` if there is none.
pub(crate) async fn advance(duration: Duration) -> bool {
    let Ok(runtime) = runtime::Handle::try_current() else {
        return false;
    };
    let mut advance = pin!(tokio::time::advance(duration));
    poll_fn(|cx| {
        // The first time it moves the clock and yields.
        let poll = advance.as_mut().poll(cx);
        if let Some(host) = Host::find(runtime.id()) {
            host.ring();
        }
        poll
    })
    .await;
    true
}

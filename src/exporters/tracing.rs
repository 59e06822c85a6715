//! Events of the `tracing` crate (feature `tracing`).

use std::time::Duration;

use tracing::Level;

use crate::driver::Handle;
use crate::driver::late::LateTurn;

/// Emits an event after each turn in which a timer fired late by `threshold` or more.
///
/// The event has the target `reveille` and the level `WARN`. Its fields are those of
/// OpenTelemetry's names: `reveille.timer.lateness`, in seconds, that of the latest timer, and
/// `reveille.timer.fired`, how many timers the turn has fired.
///
/// It is emitted with no lock held, on the thread that turns the driver, after the tasks were
/// woken. Without a subscriber it does nothing. This uses [`Handle::on_late_turn`], which tells
/// more, and replaces a function that was set there.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let driver = reveille::Driver::new(reveille::ThreadPark::new());
/// reveille::exporters::tracing::late_turns(driver.handle(), Duration::from_millis(10));
/// ```
pub fn late_turns(handle: &Handle, threshold: Duration) {
    handle.on_late_turn(threshold, emit);
}

fn emit(turn: LateTurn) {
    tracing::event!(
        target: "reveille",
        Level::WARN,
        reveille.timer.lateness = turn.lateness().as_secs_f64(),
        reveille.timer.fired = turn.fired() as u64,
        "timers fired late"
    );
}

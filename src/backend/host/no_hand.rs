//! Without the feature `test-util` the clock of a tokio runtime is not moved by hand.

use std::time::Duration;

use tokio::runtime;

/// What to do inside a runtime, where there is no clock to move.
pub(in crate::backend) const WITHOUT_HAND: &str =
    "; inside a tokio runtime, enable the feature `test-util` of reveille";

#[track_caller]
pub(crate) fn pause() -> bool {
    refuse()
}

#[track_caller]
pub(crate) fn resume() -> bool {
    refuse()
}

#[track_caller]
pub(crate) fn check_advance() {
    refuse();
}

pub(crate) async fn advance(_duration: Duration) -> bool {
    refuse()
}

#[track_caller]
fn refuse() -> bool {
    assert!(
        runtime::Handle::try_current().is_err(),
        "to move the clock of a tokio runtime, enable the feature `test-util` of reveille"
    );
    false
}

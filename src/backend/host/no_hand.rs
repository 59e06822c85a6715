//! Without the feature `test-util` the clock of a tokio runtime is not moved by hand.

use std::time::Duration;

use tokio::runtime;

#[track_caller]
pub(crate) fn pause() -> bool {
    refuse()
}

#[track_caller]
pub(crate) fn resume() -> bool {
    refuse()
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

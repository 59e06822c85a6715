//! The layers for tower: by themselves on a manual clock, and under axum over real sockets.

mod axum;
mod body;
mod deadline;
mod delay;
mod timeout;

use std::time::Duration;

use reveille::adapters::tower::{
    BoxError, Deadline, DeadlineBody, DeadlineFuture, DeadlineLayer, Delay, DelayLayer, Elapsed,
    Timeout, TimeoutFuture, TimeoutLayer,
};
use reveille::{Context, ContextError, ManualClock};
use reveille_ecosystem::watched;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const HOUR: Duration = Duration::from_secs(3600);

/// Runs a test on a manual clock, under the watchdog.
fn simulate<F: Future<Output = ()>>(test: impl FnOnce(ManualClock) -> F + Send + 'static) {
    watched(|| {
        let clock = ManualClock::new();
        clock.simulate(test(clock.clone()));
    });
}

#[track_caller]
fn assert_elapsed(error: &BoxError) {
    assert!(error.is::<Elapsed>(), "{error:?}");
}

#[track_caller]
fn assert_canceled(error: &BoxError) {
    let canceled = Some(&ContextError::Canceled);
    assert_eq!(error.downcast_ref(), canceled, "{error:?}");
}

/// The time that the current context has.
fn current_remaining() -> Option<Duration> {
    Context::current()?.remaining()
}

#[test]
fn all_types_go_from_thread_to_thread() {
    fn check<T: Send + Sync + Unpin + 'static>() {}
    type Response = std::future::Ready<Result<http::Response<String>, BoxError>>;
    check::<(TimeoutLayer, DelayLayer, DeadlineLayer)>();
    check::<(Timeout<()>, Delay<()>, Deadline<()>)>();
    check::<(TimeoutFuture<Response>, DeadlineFuture<Response>)>();
    check::<DeadlineBody<String>>();
}

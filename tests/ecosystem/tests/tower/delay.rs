//! `Delay`.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use reveille::adapters::tower::{Delay, DelayLayer};
use reveille::time::Instant;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

use crate::{HOUR, simulate};

/// Insists on being ready when it is called, as services may. Clones are not.
#[derive(Default)]
struct Strict {
    is_ready: bool,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Service<&'static str> for Strict {
    type Response = (&'static str, Instant);
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: &'static str) -> Self::Future {
        assert!(self.is_ready, "called without being ready");
        self.is_ready = false;
        ready(Ok((request, Instant::now())))
    }
}

#[test]
fn the_service_is_called_after_the_wait() {
    simulate(|clock| async move {
        let start = clock.now();
        let mut service = ServiceBuilder::new()
            .layer(DelayLayer::new(HOUR))
            .service(Strict::default());
        let one = service.ready().await.unwrap().call("one");
        let two = service.ready().await.unwrap().call("two");
        let (one, two) = futures::join!(one, two);
        assert_eq!(one.unwrap(), ("one", start + HOUR));
        assert_eq!(two.unwrap(), ("two", start + HOUR));
        assert_eq!(clock.now() - start, HOUR);
    });
}

#[test]
fn errors_are_passed_on() {
    simulate(|_| async {
        let failing = service_fn(|()| ready(Err::<(), _>("failed")));
        assert_eq!(Delay::new(failing, HOUR).oneshot(()).await, Err("failed"));
    });
}

#[test]
fn a_call_that_is_given_up_never_happens() {
    simulate(|_| async {
        let unreachable = service_fn(|()| async { unreachable!() as Result<(), Infallible> });
        let response = Delay::new(unreachable, HOUR).oneshot(());
        assert!(reveille::time::timeout(HOUR / 2, response).await.is_err());
        reveille::time::sleep(HOUR).await;
    });
}

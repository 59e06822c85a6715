//! `Timeout` in place of tower's.

use std::convert::Infallible;
use std::future::pending;
use std::time::{Duration, Instant};

use reveille::adapters::tower::{BoxError, Timeout, TimeoutLayer};
use reveille::time::sleep;
use reveille_ecosystem::{on_rt, on_tokio, watched};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

use crate::{HOUR, assert_elapsed, ms, simulate};

#[test]
fn a_response_in_time_is_passed_on() {
    simulate(|_| async {
        let wait = |wait: Duration| async move {
            sleep(wait).await;
            Ok::<_, BoxError>("response")
        };
        let mut service = ServiceBuilder::new()
            .layer(TimeoutLayer::new(HOUR))
            .service_fn(wait);
        let nearly = HOUR - Duration::from_nanos(1);
        assert_eq!(
            service.ready().await.unwrap().call(nearly).await.unwrap(),
            "response"
        );
        assert_elapsed(&service.call(HOUR + ms(1)).await.unwrap_err());
        assert_elapsed(&service.call(Duration::MAX).await.unwrap_err());
    });
}

#[test]
fn the_time_counts_from_the_call() {
    simulate(|clock| async move {
        let start = clock.now();
        let never = service_fn(|()| pending::<Result<(), BoxError>>());
        let response = Timeout::new(never, HOUR).oneshot(());
        sleep(HOUR).await; // `oneshot` has not called yet
        let error = response.await.unwrap_err();
        assert_elapsed(&error);
        assert_eq!(clock.now() - start, 2 * HOUR);

        let mut service = Timeout::new(never, 2 * HOUR);
        let response = service.call(());
        sleep(HOUR).await;
        assert_elapsed(&response.await.unwrap_err());
        assert_eq!(clock.now() - start, 4 * HOUR);
    });
}

#[test]
fn the_errors_of_the_service_are_passed_on() {
    #[derive(Clone)]
    struct NeverReady;

    impl Service<()> for NeverReady {
        type Response = ();
        type Error = &'static str;
        type Future = std::future::Ready<Result<(), &'static str>>;

        fn poll_ready(
            &mut self,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), &'static str>> {
            std::task::Poll::Ready(Err("not ready"))
        }

        fn call(&mut self, _: ()) -> Self::Future {
            std::future::ready(Err("failed"))
        }
    }

    let mut service = Timeout::new(NeverReady, HOUR);
    let error = pollster::block_on(service.ready()).err().unwrap();
    assert_eq!(error.to_string(), "not ready");
    let error = pollster::block_on(service.call(())).unwrap_err();
    assert_eq!(error.to_string(), "failed");
}

async fn ends_a_slow_call() {
    let never = service_fn(|()| pending::<Result<(), Infallible>>());
    let start = Instant::now();
    let error = Timeout::new(never, ms(5)).oneshot(()).await.unwrap_err();
    assert_elapsed(&error);
    assert!(start.elapsed() >= ms(5));
}

#[test]
fn works_on_any_executor() {
    on_rt(ends_a_slow_call());
    on_tokio(ends_a_slow_call());
    watched(|| pollster::block_on(ends_a_slow_call()));
}

//! The timeouts and retries of the AWS SDK's client machinery, on timers of this crate.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use aws_smithy_async::future::timeout::Timeout;
use aws_smithy_async::rt::sleep::{AsyncSleep, SharedAsyncSleep};
use aws_smithy_async::time::{SharedTimeSource, TimeSource};
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime::client::retries::classifiers::{
    HttpStatusCodeClassifier, TransientErrorClassifier,
};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::result::{ConnectorError, SdkError};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use futures::FutureExt;
use reveille::adapters::aws::{AwsSleep, AwsTimeSource};
use reveille::{Driver, ManualClock, ThreadPark};
use reveille_ecosystem::{on_rt, on_tokio, watched};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A service that is busy for some requests, and then answers, or never does.
#[derive(Clone, Debug)]
struct Service {
    busy: u32,
    answers: bool,
    requests: Arc<AtomicU32>,
}

impl Service {
    fn new(busy: u32, answers: bool) -> Self {
        Self {
            busy,
            answers,
            requests: Arc::default(),
        }
    }

    fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    fn client(&self) -> SharedHttpClient {
        let connector = SharedHttpConnector::new(self.clone());
        http_client_fn(move |_, _| connector.clone())
    }
}

impl HttpConnector for Service {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        let request = self.requests.fetch_add(1, Ordering::Relaxed);
        if request >= self.busy && !self.answers {
            return HttpConnectorFuture::new(std::future::pending());
        }
        let status = if request < self.busy { 503 } else { 200 };
        let status = status.try_into().expect("a status");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from("hello"))))
    }
}

type Failure = OrchestratorError<Infallible>;
type Answer = Result<u16, SdkError<Failure, HttpResponse>>;

/// Calls a service as the clients of the SDK do, with three attempts.
async fn call(service: &Service, backoff: Duration, limits: TimeoutConfig) -> Answer {
    let retry = RetryConfig::standard().with_initial_backoff(backoff);
    let operation = Operation::builder()
        .service_name("test")
        .operation_name("test")
        .http_client(service.client())
        .endpoint_url("http://localhost:1234")
        .no_auth()
        .standard_retry(&retry)
        .retry_classifier(HttpStatusCodeClassifier::default())
        .retry_classifier(TransientErrorClassifier::<Failure>::new())
        .timeout_config(limits)
        .sleep_impl(AwsSleep::new())
        .serializer(|()| Ok(HttpRequest::new(SdkBody::empty())))
        .deserializer::<u16, Failure>(|response| match response.status().as_u16() {
            503 => Err(OrchestratorError::connector(ConnectorError::io(
                "busy".into(),
            ))),
            status => Ok(status),
        })
        .build();
    operation.invoke(()).await
}

async fn waits() {
    let start = Instant::now();
    AwsSleep::new().sleep(ms(3)).await;
    assert!(start.elapsed() >= ms(3));

    let service = Service::new(0, false);
    let limits = TimeoutConfig::builder().operation_timeout(ms(5)).build();
    let start = Instant::now();
    let late = call(&service, ms(1), limits).await;
    assert!(matches!(late, Err(SdkError::TimeoutError(_))), "{late:?}");
    assert!(start.elapsed() >= ms(5));
}

#[test]
fn limits_a_call_on_any_executor() {
    on_rt(waits());
    on_tokio(waits());
    watched(|| pollster::block_on(waits()));
}

#[test]
fn a_future_is_limited_to_the_nanosecond() {
    watched(|| {
        let sleep = SharedAsyncSleep::new(AwsSleep::new());
        let (results, elapsed) = ManualClock::new().simulate(async {
            let work = sleep.sleep(secs(5) - Duration::from_nanos(1)).map(|()| 7);
            let in_time = Timeout::new(work, sleep.sleep(secs(5))).await;
            let work = sleep.sleep(secs(5) + Duration::from_nanos(1));
            let late = Timeout::new(work, sleep.sleep(secs(5))).await;
            (in_time, late)
        });
        assert!(matches!(results, (Ok(7), Err(_))), "{results:?}");
        assert_eq!(elapsed, secs(10) - Duration::from_nanos(1));
    });
}

#[test]
fn a_client_pauses_between_attempts() {
    watched(|| {
        let service = Service::new(2, true);
        let call = call(&service, secs(10), TimeoutConfig::disabled());
        let (answer, elapsed) = ManualClock::new().simulate(call);
        assert_eq!(answer.unwrap(), 200);
        assert_eq!(service.requests(), 3);
        // Each pause is a random part of 10 s, and then of 20 s.
        assert!(elapsed > ms(0) && elapsed <= secs(30), "{elapsed:?}");
    });
}

#[test]
fn a_client_gives_up_an_attempt_and_then_the_call() {
    watched(|| {
        let service = Service::new(0, false);
        let limits = TimeoutConfig::builder()
            .operation_attempt_timeout(secs(20))
            .operation_timeout(secs(50));
        let call = call(&service, secs(1), limits.build());
        let (late, elapsed) = ManualClock::new().simulate(call);
        assert!(matches!(late, Err(SdkError::TimeoutError(_))), "{late:?}");
        assert_eq!(service.requests(), 3);
        assert_eq!(elapsed, secs(50));
    });
}

#[test]
fn dropping_a_call_cancels_its_timers() {
    let driver = Driver::new(ThreadPark::new());
    let entered = driver.handle().enter();
    let service = Service::new(0, false);
    let limits = TimeoutConfig::builder()
        .operation_timeout(secs(3600))
        .build();
    let mut call = Box::pin(call(&service, secs(1), limits));
    assert!(call.as_mut().now_or_never().is_none());
    assert_eq!(driver.handle().armed(), 1);
    drop(call);
    assert_eq!(driver.handle().armed(), 0);
    drop(entered);

    let sleep = AwsSleep::with_driver(driver.handle().clone());
    let mut sleep = sleep.sleep(secs(1));
    assert!((&mut sleep).now_or_never().is_none());
    assert_eq!(driver.handle().armed(), 1);
}

#[test]
fn the_time_of_day_moves_with_the_timers() {
    watched(|| {
        let clock = ManualClock::new();
        let start = SystemTime::UNIX_EPOCH + secs(1_700_000_000);
        let source = SharedTimeSource::new(AwsTimeSource::new(&clock, start));
        assert_eq!(source.now(), start);
        let ((), elapsed) = clock.simulate(async {
            AwsSleep::new().sleep(secs(3600)).await;
            assert_eq!(source.now(), start + secs(3600));
        });
        assert_eq!(elapsed, secs(3600));

        // It begins when it is made.
        let source = AwsTimeSource::new(&clock, start);
        assert_eq!(source.now(), start);
        clock.advance(ms(1));
        assert_eq!(source.now(), start + ms(1));
    });
}

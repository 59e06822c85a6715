//! `Deadline` on a manual clock: where the deadline comes from, and where it goes.

use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderName, Request, Response};
use reveille::adapters::tower::{BoxError, DeadlineHeader, DeadlineLayer, TimeoutHeaderError};
use reveille::time::sleep;
use reveille::{Context, ContextError};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::{HOUR, assert_canceled, assert_elapsed, current_remaining, ms, simulate};

const SECONDS: HeaderName = HeaderName::from_static("x-timeout");

fn seconds() -> DeadlineHeader {
    DeadlineHeader::seconds(SECONDS)
}

fn grpc() -> DeadlineHeader {
    DeadlineHeader::grpc_timeout()
}

fn request(headers: &[(&str, &str)]) -> Request<String> {
    let mut request = Request::new(String::new());
    for (name, value) in headers {
        let name = HeaderName::try_from(*name).unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    request
}

/// What a service has seen of a request.
#[derive(Debug)]
struct Seen {
    /// In the call itself, in the polls of the response, and in the extension.
    remaining: [Option<Duration>; 3],
    grpc_timeout: Option<String>,
    seconds: Option<String>,
}

/// Sends a request to a service with this layer and returns what it has seen.
async fn seen(layer: DeadlineLayer, request: Request<String>) -> Result<Seen, BoxError> {
    let slot = Arc::new(Mutex::new(None));
    let from_service = slot.clone();
    let service = service_fn(move |request: Request<String>| {
        let in_call = current_remaining();
        let slot = from_service.clone();
        async move {
            let text = |name: &HeaderName| Some(request.headers().get(name)?.to_str().ok()?.into());
            let extension = request.extensions().get::<Context>();
            *slot.lock().unwrap() = Some(Seen {
                remaining: [in_call, current_remaining(), extension.unwrap().remaining()],
                grpc_timeout: text(&HeaderName::from_static("grpc-timeout")),
                seconds: text(&SECONDS),
            });
            Ok::<_, BoxError>(Response::new(String::new()))
        }
    });
    layer.layer(service).oneshot(request).await?;
    Ok(slot.lock().unwrap().take().unwrap())
}

#[test]
fn the_deadline_comes_from_a_header() {
    simulate(|_| async {
        let layer = DeadlineLayer::new().read(grpc());
        let found = seen(layer, request(&[("grpc-timeout", "250m")]))
            .await
            .unwrap();
        assert_eq!(found.remaining, [Some(ms(250)); 3]);
        // It is not one that is sent.
        assert_eq!(found.grpc_timeout.as_deref(), Some("250m"));

        let layer = DeadlineLayer::new().read(seconds());
        let found = seen(layer, request(&[("x-timeout", "1.5")])).await.unwrap();
        assert_eq!(found.remaining, [Some(ms(1500)); 3]);

        let layer = DeadlineLayer::new().read(seconds());
        let found = seen(layer, request(&[])).await.unwrap();
        assert_eq!(found.remaining, [None; 3]);
    });
}

#[test]
fn the_deadline_is_the_earliest() {
    simulate(|_| async {
        let header = [("x-timeout", "2")];
        let layer = DeadlineLayer::new().read(seconds());
        let limited = layer.clone().limit(ms(1000));
        let found = seen(limited, request(&header)).await.unwrap();
        assert_eq!(found.remaining[0], Some(ms(1000)));
        let limited = layer.clone().limit(ms(3000));
        let found = seen(limited.clone(), request(&header)).await.unwrap();
        assert_eq!(found.remaining[0], Some(ms(2000)));
        let found = seen(limited.clone(), request(&[])).await.unwrap();
        assert_eq!(found.remaining[0], Some(ms(3000)));

        let current = Context::background().with_timeout(ms(500));
        let found = current.scope(seen(limited.clone(), request(&header))).await;
        assert_eq!(found.unwrap().remaining[0], Some(ms(500)));

        // That of the request itself comes before the current one.
        let mut given = request(&header);
        let own = Context::background().with_timeout(ms(700));
        given.extensions_mut().insert(own);
        let found = current.scope(seen(limited, given)).await.unwrap();
        assert_eq!(found.remaining, [Some(ms(700)); 3]);
    });
}

#[test]
fn what_is_left_is_sent() {
    simulate(|_| async {
        let current = Context::background().with_timeout(ms(1000));
        sleep(ms(100)).await;
        let layer = DeadlineLayer::new().send(grpc());
        let found = current.scope(seen(layer, request(&[]))).await.unwrap();
        assert_eq!(found.grpc_timeout.as_deref(), Some("900000u"));

        let layer = DeadlineLayer::new().send(seconds());
        let found = current
            .scope(seen(layer.clone(), request(&[])))
            .await
            .unwrap();
        assert_eq!(found.seconds.as_deref(), Some("0.9"));

        // A request that states its own time gets no more, and none is made up.
        let own = request(&[("x-timeout", "0.5")]);
        let found = current.scope(seen(layer.clone(), own)).await.unwrap();
        assert_eq!(found.seconds.as_deref(), Some("0.5"));
        let own = request(&[("x-timeout", "5")]);
        let found = current.scope(seen(layer.clone(), own)).await.unwrap();
        assert_eq!(found.seconds.as_deref(), Some("0.9"));
        let found = seen(layer, request(&[])).await.unwrap();
        assert_eq!(found.seconds, None);
    });
}

#[test]
fn a_layer_passes_the_deadline_to_a_client_in_its_handler() {
    simulate(|_| async {
        let client = DeadlineLayer::new().send(grpc());
        let handler = service_fn(move |_: Request<String>| {
            let client = client.clone();
            async move {
                sleep(ms(200)).await;
                let found = seen(client, request(&[])).await?;
                Ok::<_, BoxError>(Response::new(found.grpc_timeout.unwrap()))
            }
        });
        let server = DeadlineLayer::new().read(seconds()).layer(handler);
        let response = server
            .oneshot(request(&[("x-timeout", "1")]))
            .await
            .unwrap();
        let (_, body) = response.into_parts();
        let body = http_body_util::BodyExt::collect(body).await.unwrap();
        assert_eq!(body.to_bytes(), "800000u");
    });
}

#[test]
fn a_header_that_is_not_valid_is_an_error() {
    simulate(|_| async {
        let layer = DeadlineLayer::new().read(grpc());
        let uncalled = service_fn(|_: Request<String>| async {
            unreachable!() as Result<Response<String>, BoxError>
        });
        for value in ["soon", "", "1.5S"] {
            let request = request(&[("grpc-timeout", value)]);
            let error = layer.layer(uncalled).oneshot(request).await.unwrap_err();
            assert!(error.is::<TimeoutHeaderError>(), "{error:?}");
        }
        let mut bytes = request(&[]);
        let value = http::HeaderValue::from_bytes(b"\xff").unwrap();
        bytes.headers_mut().insert("grpc-timeout", value);
        let error = layer.layer(uncalled).oneshot(bytes).await.unwrap_err();
        assert!(error.is::<TimeoutHeaderError>(), "{error:?}");
    });
}

#[test]
fn a_request_without_time_is_not_called() {
    simulate(|_| async {
        let uncalled = service_fn(|_: Request<String>| {
            unreachable!();
            #[expect(unreachable_code, reason = "gives the function its type")]
            async {
                Ok::<_, BoxError>(Response::new(String::new()))
            }
        });
        let layer = DeadlineLayer::new().read(grpc());
        let error = layer
            .layer(uncalled)
            .oneshot(request(&[("grpc-timeout", "0n")]))
            .await;
        assert_elapsed(&error.unwrap_err());

        let over = Context::background();
        over.cancel();
        let error = over
            .scope(layer.layer(uncalled).oneshot(request(&[])))
            .await;
        assert_canceled(&error.unwrap_err());
    });
}

/// Says when it is dropped.
struct Flag(Arc<AtomicBool>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_handler_is_stopped_at_the_deadline() {
    simulate(|clock| async move {
        let start = clock.now();
        let stopped = Arc::new(AtomicBool::new(false));
        let flag = stopped.clone();
        let handler = service_fn(move |_: Request<String>| {
            let flag = Flag(flag.clone());
            async move {
                let _flag = flag;
                pending::<Result<Response<String>, BoxError>>().await
            }
        });
        let layer = DeadlineLayer::new().read(seconds());
        let request = request(&[("x-timeout", "3600")]);
        let error = layer.layer(handler).oneshot(request).await.unwrap_err();
        assert_elapsed(&error);
        assert_eq!(clock.now() - start, HOUR);
        assert!(stopped.load(Ordering::Relaxed));
    });
}

#[test]
fn a_handler_is_stopped_when_a_parent_is_cancelled() {
    simulate(|_| async {
        let never =
            service_fn(|_: Request<String>| pending::<Result<Response<String>, BoxError>>());
        let parent = Context::background();
        let mut service = DeadlineLayer::new().limit(HOUR).layer(never);
        let mut request = request(&[]);
        request.extensions_mut().insert(parent.clone());
        let response = service.ready().await.unwrap().call(request);
        let cancel = async {
            sleep(ms(1)).await;
            parent.cancel();
        };
        let (response, ()) = futures::join!(response, cancel);
        assert_canceled(&response.unwrap_err());
    });
}

#[test]
fn the_errors_of_the_service_are_passed_on() {
    simulate(|_| async {
        let failing = service_fn(|_: Request<String>| async {
            Err::<Response<String>, BoxError>("failed".into())
        });
        let error = DeadlineLayer::new()
            .layer(failing)
            .oneshot(request(&[]))
            .await;
        assert_eq!(error.unwrap_err().to_string(), "failed");
    });
}

/// It has handed the context to other tasks, which would go on until the deadline.
#[test]
fn a_service_that_panics_in_its_call_cancels_the_context() {
    simulate(|_| async {
        let handed = Arc::new(Mutex::new(None));
        let slot = handed.clone();
        let service = service_fn(move |_: Request<String>| {
            *slot.lock().unwrap() = Context::current();
            if slot.lock().unwrap().is_some() {
                resume_unwind(Box::new("in the call"));
            }
            pending::<Result<Response<String>, BoxError>>()
        });
        let mut service = DeadlineLayer::new().limit(HOUR).layer(service);
        service.ready().await.unwrap();
        let call = || drop(service.call(request(&[])));
        assert!(catch_unwind(AssertUnwindSafe(call)).is_err());
        let context = handed.lock().unwrap().take().unwrap();
        assert_eq!(context.err(), Some(ContextError::Canceled));
    });
}

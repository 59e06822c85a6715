//! The body of a response of a `Deadline`, on a manual clock.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use futures::{Stream, StreamExt, stream};
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Bytes;
use reveille::Context;
use reveille::adapters::tower::{BoxError, DeadlineBody, DeadlineLayer};
use reveille::time::sleep;
use tower::{Layer, ServiceExt, service_fn};

use crate::{assert_canceled, assert_elapsed, current_remaining, ms, simulate};

/// Sends a request with a limit of a second to a service that answers with `body`. Returns the
/// context that the service has seen, too.
async fn answer<B>(parent: &Context, body: B) -> (Context, Response<DeadlineBody<B>>)
where
    B: Body + 'static,
    B::Error: Into<BoxError>,
{
    let seen = Arc::new(Mutex::new(None));
    let slot = seen.clone();
    let mut body = Some(body);
    let service = service_fn(move |request: Request<()>| {
        *slot.lock().unwrap() = request.extensions().get::<Context>().cloned();
        let response = Response::new(body.take().unwrap());
        std::future::ready(Ok::<_, BoxError>(response))
    });
    let service = DeadlineLayer::new().limit(ms(1000)).layer(service);
    let response = parent
        .scope(service.oneshot(Request::new(())))
        .await
        .unwrap();
    let context = seen.lock().unwrap().take().unwrap();
    (context, response)
}

fn frames<S, E>(stream: S) -> StreamBody<impl Stream<Item = Result<Frame<Bytes>, E>>>
where
    S: Stream<Item = Result<&'static str, E>>,
{
    StreamBody::new(stream.map(|item| item.map(|text| Frame::data(Bytes::from(text)))))
}

/// A chunk every 400 ms, for ever.
fn slow() -> impl Stream<Item = Result<&'static str, BoxError>> {
    stream::unfold((), |()| async {
        sleep(ms(400)).await;
        Some((Ok("chunk"), ()))
    })
}

async fn data<B: Body<Data = Bytes, Error = BoxError>>(
    body: Pin<&mut B>,
) -> Result<Bytes, BoxError> {
    let mut body = body;
    let frame = body.frame().await.expect("a frame")?;
    Ok(frame.into_data().expect("data"))
}

#[test]
fn a_body_fails_at_the_deadline() {
    simulate(|clock| async move {
        let start = clock.now();
        let (_, response) = answer(&Context::background(), frames(slow())).await;
        let mut body = Box::pin(response.into_body());
        assert_eq!(data(body.as_mut()).await.unwrap(), "chunk");
        assert_eq!(data(body.as_mut()).await.unwrap(), "chunk");
        assert_elapsed(&data(body.as_mut()).await.unwrap_err());
        assert_eq!(clock.now() - start, ms(1000));
        assert!(body.is_end_stream());
        assert!(body.frame().await.is_none());
    });
}

#[test]
fn a_body_that_always_has_data_fails_at_the_deadline() {
    simulate(|_| async {
        let endless = frames(stream::repeat_with(|| Ok::<_, BoxError>("chunk")));
        let (_, response) = answer(&Context::background(), endless).await;
        let mut body = Box::pin(response.into_body());
        for _ in 0..10 {
            assert_eq!(data(body.as_mut()).await.unwrap(), "chunk");
        }
        sleep(ms(1000)).await;
        assert_elapsed(&data(body.as_mut()).await.unwrap_err());
    });
}

#[test]
fn a_body_fails_when_the_context_is_cancelled() {
    simulate(|_| async {
        let parent = Context::background();
        let (_, response) = answer(&parent, frames(slow())).await;
        let mut body = Box::pin(response.into_body());
        let cancel = async {
            sleep(ms(100)).await;
            parent.cancel();
        };
        let (error, ()) = futures::join!(data(body.as_mut()), cancel);
        assert_canceled(&error.unwrap_err());
    });
}

#[test]
fn a_body_in_time_is_passed_on() {
    simulate(|_| async {
        let (context, response) =
            answer(&Context::background(), Full::<Bytes>::from("hello")).await;
        let body = response.into_body();
        assert_eq!(body.size_hint().exact(), Some(5));
        assert!(!body.is_end_stream());
        assert!(!context.is_done());
        assert_eq!(body.collect().await.unwrap().to_bytes(), "hello");

        let (_, response) = answer(&Context::background(), Empty::<Bytes>::new()).await;
        assert!(response.body().is_end_stream());

        let failing = frames(stream::iter([Ok("chunk"), Err("broken")]));
        let (_, response) = answer(&Context::background(), failing).await;
        let error = response.into_body().collect().await.unwrap_err();
        assert_eq!(error.to_string(), "broken");
    });
}

#[test]
fn the_context_is_cancelled_with_the_response() {
    simulate(|_| async {
        let parent = Context::background();
        let (context, response) = answer(&parent, frames(slow())).await;
        let mut body = Box::pin(response.into_body());
        data(body.as_mut()).await.unwrap();
        assert!(!context.is_done());
        drop(body);
        assert!(context.is_done());

        // Also when all of it was sent.
        let (context, response) = answer(&parent, Full::<Bytes>::from("hello")).await;
        response.into_body().collect().await.unwrap();
        assert!(context.is_done());

        // And by a client that goes away before there is a response.
        let seen = Arc::new(Mutex::new(None));
        let slot = seen.clone();
        let never = service_fn(move |request: Request<()>| {
            *slot.lock().unwrap() = request.extensions().get::<Context>().cloned();
            std::future::pending::<Result<Response<Empty<Bytes>>, BoxError>>()
        });
        let service = DeadlineLayer::new().layer(never);
        let response = parent.scope(service.oneshot(Request::new(())));
        assert!(reveille::time::timeout(ms(1), response).await.is_err());
        assert!(seen.lock().unwrap().take().unwrap().is_done());
        assert!(!parent.is_done());
    });
}

#[test]
fn the_context_is_current_while_the_body_is_polled() {
    simulate(|_| async {
        let asks = frames(stream::poll_fn(|_| {
            assert_eq!(current_remaining(), Some(ms(900)));
            Poll::Ready(None::<Result<&str, BoxError>>)
        }));
        let (_, response) = answer(&Context::background(), asks).await;
        sleep(ms(100)).await;
        response.into_body().collect().await.unwrap();
        assert!(Context::current().is_none());
    });
}

//! An HTTP handler with a deadline: 504 at the deadline, and the work has stopped.
//!
//! The deadline is a layer of tower, [`DeadlineLayer`]. So it goes with any service of tower, such
//! as a router of axum, and the same layer passes the rest of the time on to what a handler calls.

use std::error::Error;

use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderName;
use hyper::server::conn::http1;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use reveille::adapters::tower::{DeadlineHeader, DeadlineLayer, Elapsed};
use reveille::context::TimeoutHeaderError;
use reveille::time::Duration;
use reveille::{Context, ContextError};
use tokio::io::{AsyncRead, AsyncWrite};
use tower::ServiceBuilder;

/// The header in which a client says how much time it gives, in seconds, such as `1.5`.
pub const TIMEOUT: &str = "x-timeout-seconds";

type BoxError = Box<dyn Error + Send + Sync>;

/// Serves a connection. Each request has `limit`, or less if its client gives less.
///
/// Each request has a context, which is the current one of `work`, and which `work` hands on to what
/// it calls and spawns. It ends with the request: also when the client hangs up, because hyper drops
/// the response then.
///
/// # Errors
///
/// If the connection breaks.
pub fn serve<S, F>(
    stream: S,
    server: &Context,
    limit: Duration,
    work: impl Fn(Request<Incoming>) -> F + Clone,
) -> impl Future<Output = Result<(), hyper::Error>>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Result<String, BoxError>>,
{
    let deadline = DeadlineLayer::new()
        .read(DeadlineHeader::seconds(HeaderName::from_static(TIMEOUT)))
        .limit(limit);
    let parent = server.clone();
    let answer = move |result: Result<Response<_>, BoxError>| {
        Ok::<_, BoxError>(match result {
            Ok(response) => response.map(Either::Left),
            Err(error) => failed(&parent, &error).map(Either::Right),
        })
    };
    let service = ServiceBuilder::new()
        .map_result(answer)
        .layer(deadline)
        .service_fn(move |request| respond(work(request)));
    let connection = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    // The contexts of the requests are children of the one that is current here.
    server.scope(connection)
}

/// Does the work of one request.
async fn respond(
    work: impl Future<Output = Result<String, BoxError>>,
) -> Result<Response<Full<Bytes>>, BoxError> {
    match work.await {
        Ok(body) => Ok(Response::new(Full::from(body))),
        // Work that has noticed the end of its time itself gives up with an error of its own.
        Err(error) => match Context::current().and_then(|context| context.err()) {
            Some(ended) => Err(ended.into()),
            None => Err(error),
        },
    }
}

/// Answers a request that has failed.
fn failed(server: &Context, error: &BoxError) -> Response<Full<Bytes>> {
    let status = match error.downcast_ref() {
        Some(ContextError::DeadlineExceeded) => StatusCode::GATEWAY_TIMEOUT,
        // The server shuts down.
        Some(_) => StatusCode::SERVICE_UNAVAILABLE,
        None if error.is::<Elapsed>() => StatusCode::GATEWAY_TIMEOUT,
        None if error.is::<TimeoutHeaderError>() => StatusCode::BAD_REQUEST,
        None => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let body = match server.cause() {
        Some(why) => why.to_string(),
        None => error.to_string(),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
}

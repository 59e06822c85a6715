//! An HTTP handler with a deadline: 504 at the deadline, and the work has stopped.

use std::convert::Infallible;
use std::error::Error;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use reveille::time::Duration;
use reveille::{Context, ContextError};
use tokio::io::{AsyncRead, AsyncWrite};

/// The header in which a client says how much time it gives, in seconds, such as `1.5`.
pub const TIMEOUT: &str = "x-timeout-seconds";

/// Serves a connection. Each request has `limit`, or less if its client gives less.
///
/// # Errors
///
/// If the connection breaks.
pub async fn serve<S, F>(
    stream: S,
    server: &Context,
    limit: Duration,
    work: impl Fn(Request<Incoming>) -> F,
) -> Result<(), hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Result<String, Box<dyn Error + Send + Sync>>>,
{
    let service = service_fn(|request| {
        let answer = answer(request, server, limit, &work);
        async { Ok::<_, Infallible>(answer.await) }
    });
    http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await
}

/// Answers one request.
///
/// The context is the current one of `work`, which hands it on to what it calls and spawns. It ends
/// with this function: also when the client hangs up, because hyper drops this future then.
async fn answer<F>(
    request: Request<Incoming>,
    server: &Context,
    limit: Duration,
    work: impl Fn(Request<Incoming>) -> F,
) -> Response<Full<Bytes>>
where
    F: Future<Output = Result<String, Box<dyn Error + Send + Sync>>>,
{
    let mut context = server.with_timeout_cause(limit, "the server's limit");
    if let Some(value) = request.headers().get(TIMEOUT) {
        let value = value.to_str().unwrap_or_default();
        match context.with_seconds(value) {
            Ok(shorter) => context = shorter,
            Err(error) => return respond(StatusCode::BAD_REQUEST, error.to_string()),
        }
    }
    let _end = context.clone().drop_guard();
    let result = context.scope(context.run(work(request))).await;
    let ended = match result {
        Ok(Ok(body)) => return respond(StatusCode::OK, body),
        // Work that has noticed the end itself gives up with an error of its own.
        Ok(Err(error)) => match context.err() {
            Some(ended) => ended,
            None => return respond(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        },
        Err(ended) => ended,
    };
    let why = context
        .cause()
        .map_or_else(String::new, |why| why.to_string());
    match ended {
        ContextError::DeadlineExceeded => respond(StatusCode::GATEWAY_TIMEOUT, why),
        // The server shuts down.
        _ => respond(StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

fn respond(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
}

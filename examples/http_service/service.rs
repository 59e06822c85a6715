//! A web service with deadlines, limits and a sampler.
//!
//! It uses the `time` that its parent module imports, `on_tokio.rs` or `on_reveille.rs`: this file
//! is compiled once for each, and nothing in it depends on which it is. Three things wait for time:
//! a request has a deadline and may sleep, a connection has a limit for its silence, and a sampler
//! ticks.
//!
//! All waits are measured against the clock of `std`, which belongs to neither of the two.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::time;
use crate::meter::{Meter, Wait};
use crate::protocol::{self, IDLE, TICK, Work};

/// Serves until `stop` is ready, and then until the last connection has ended.
pub(crate) fn run(
    runtime: &Runtime,
    listener: std::net::TcpListener,
    meter: &Arc<Meter>,
    stop: oneshot::Receiver<()>,
) -> io::Result<()> {
    let meter = meter.clone();
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        // As a task, so that it runs on a worker like the others, and not on the thread that waits.
        tokio::spawn(accept(listener, meter, stop)).await?
    })
}

async fn accept(
    listener: TcpListener,
    meter: Arc<Meter>,
    mut stop: oneshot::Receiver<()>,
) -> io::Result<()> {
    let sampler = tokio::spawn(sample(meter.clone()));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    meter.accepted.add(1);
                    connections.spawn(connection(socket, meter.clone()));
                }
                // It is about one client, which has gone again.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                // The system is short of something, for now.
                Err(error) => {
                    eprintln!("no client accepted: {error}");
                    time::sleep(Duration::from_millis(100)).await;
                }
            },
            // If a connection panicked, return an error now.
            Some(over) = connections.join_next() => over?,
            _ = &mut stop => break,
        }
    }
    while let Some(over) = connections.join_next().await {
        over?;
    }
    sampler.abort();
    Ok(())
}

/// Records, each `TICK`, how many requests are being served.
async fn sample(meter: Arc<Meter>) {
    let mut ticks = time::interval(TICK);
    ticks.set_missed_tick_behavior(time::MissedTickBehavior::Skip);
    loop {
        let due = ticks.tick().await;
        meter.waited(Wait::Tick, due.into_std());
        meter.sample();
    }
}

/// Serves one connection until its client closes it or has been silent for `IDLE`.
async fn connection(socket: TcpStream, meter: Arc<Meter>) {
    // If it fails, the client is gone, which the connection finds out.
    let _ = socket.set_nodelay(true);
    // Since when there has been no request; `None` while one is served, because that has its own
    // deadline.
    let silent_since = Mutex::new(Some(time::Instant::now()));
    let set_silent = |since| {
        *silent_since.lock().unwrap_or_else(PoisonError::into_inner) = since;
    };
    let service = service_fn(|request| {
        set_silent(None);
        let answer = answer(request, &meter);
        async {
            let answer = answer.await;
            set_silent(Some(time::Instant::now()));
            Ok::<_, Infallible>(answer)
        }
    });
    let mut connection =
        pin!(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
    // One timer for the whole connection; each request moves it.
    let mut idle = pin!(time::sleep(IDLE));

    let left = poll_fn(|cx| {
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            return Poll::Ready(Some(ended));
        }
        let since = *silent_since.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(since) = since else {
            return Poll::Pending;
        };
        if idle.deadline() != since + IDLE {
            idle.as_mut().reset(since + IDLE);
        }
        idle.as_mut().poll(cx).map(|()| None)
    })
    .await;

    let is_broken = match left {
        Some(ended) => ended.is_err(),
        None => {
            meter.waited(Wait::Idle, idle.deadline().into_std());
            connection.as_mut().graceful_shutdown();
            // Without a limit, half a header would keep the connection open for ever.
            !matches!(time::timeout(IDLE, connection).await, Ok(Ok(())))
        }
    };
    if is_broken {
        meter.broken.add(1);
    }
}

/// Answers a request, at its deadline at the latest.
async fn answer(request: Request<Incoming>, meter: &Meter) -> Response<Full<Bytes>> {
    let arrived = Instant::now();
    let Some((work, limit)) = protocol::parse(&request) else {
        meter.refused.add(1);
        return status(StatusCode::BAD_REQUEST);
    };
    let _served = meter.serve();
    match time::timeout(limit, perform(work, meter)).await {
        Ok(status_code) => status(status_code),
        Err(_elapsed) => {
            meter.waited(Wait::Deadline, arrived + limit);
            status(StatusCode::GATEWAY_TIMEOUT)
        }
    }
}

async fn perform(work: Work, meter: &Meter) -> StatusCode {
    match work {
        // In a task of its own, like an answer from a cache or a pool, so that the deadline is
        // armed and then not needed.
        Work::LookUp => match tokio::spawn(async { StatusCode::OK }).await {
            Ok(found) => found,
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
        },
        Work::Sleep(duration) => {
            let due = Instant::now() + duration;
            time::sleep(duration).await;
            meter.waited(Wait::Sleep, due);
            StatusCode::OK
        }
    }
}

fn status(code: StatusCode) -> Response<Full<Bytes>> {
    let body = code.canonical_reason().unwrap_or_default();
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = code;
    response
}

//! The protocol: requests and their limits.
//!
//! | request              | does                                                              |
//! |----------------------|-------------------------------------------------------------------|
//! | `GET /`              | looks something up, which takes no time worth mentioning          |
//! | `GET /sleep/MICROS`  | waits so long, as for a database, and answers 200                 |
//!
//! The header `deadline-micros` says how long the client will wait; without it the deadline is
//! `PATIENT`. A request that is not done by then is answered 504.

use std::time::Duration;

use http_body_util::Empty;
use hyper::Request;
use hyper::body::Bytes;

/// The deadline of a request that names none.
pub(crate) const PATIENT: Duration = Duration::from_secs(30);
/// A connection without a request for so long is closed. It is much longer than a busy machine
/// keeps the clients from asking, since these count on their connections.
pub(crate) const IDLE: Duration = Duration::from_secs(2);
/// The period of the sampler in the background.
pub(crate) const TICK: Duration = Duration::from_millis(5);

const DEADLINE: &str = "deadline-micros";

/// What a request asks the server to do.
#[derive(Clone, Copy)]
pub(crate) enum Work {
    LookUp,
    Sleep(Duration),
}

/// Writes a request.
pub(crate) fn request(work: Work, limit: Option<Duration>) -> Request<Empty<Bytes>> {
    let path = match work {
        Work::LookUp => "/".into(),
        Work::Sleep(duration) => format!("/sleep/{}", duration.as_micros()),
    };
    let mut request = Request::get(path).header("host", "localhost");
    if let Some(limit) = limit {
        request = request.header(DEADLINE, limit.as_micros().to_string());
    }
    request
        .body(Empty::new())
        .expect("digits and fixed words make a valid request")
}

/// Parses a request: what to do, and the deadline. Returns `None` if it is not valid.
pub(crate) fn parse<B>(request: &Request<B>) -> Option<(Work, Duration)> {
    let work = match request.uri().path() {
        "/" => Work::LookUp,
        path => Work::Sleep(micros(path.strip_prefix("/sleep/")?)?),
    };
    let limit = match request.headers().get(DEADLINE) {
        Some(limit) => micros(limit.to_str().ok()?)?,
        None => PATIENT,
    };
    Some((work, limit))
}

fn micros(digits: &str) -> Option<Duration> {
    digits.parse().ok().map(Duration::from_micros)
}

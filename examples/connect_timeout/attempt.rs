//! Connects to one of several addresses, with a limit for each and for all.

use std::io;
use std::time::Duration;

use reveille::Context;

/// Connects to the first address that answers within `each`. Gives up when `all` has passed.
///
/// # Errors
///
/// If none answers: the error of the last attempt, which is `TimedOut` if its time was over.
/// `TimedOut` also if there was no time for an attempt, and `InvalidInput` without an address.
pub(crate) async fn connect_to_any<A: Copy, C>(
    addresses: &[A],
    each: Duration,
    all: Duration,
    connect: impl AsyncFn(A) -> io::Result<C>,
) -> io::Result<C> {
    let context = Context::background().with_timeout(all);
    let mut last = None;
    for &address in addresses {
        if let Some(ended) = context.err() {
            return Err(last.unwrap_or_else(|| ended.into()));
        }
        // The earlier of the two deadlines. What has not ended by then is dropped, which closes its
        // socket.
        let attempt = context.with_timeout(each);
        last = match attempt.run(connect(address)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => Some(error),
            Err(ended) => Some(ended.into()),
        };
    }
    Err(last.unwrap_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no address")))
}

//! Connects to one of several addresses, with a limit for each and for all.

use std::io;
use std::time::Duration;

use reveille::Context;

/// Connects to the first address that answers within `each`. Gives up when `all` has passed.
///
/// # Errors
///
/// If none answers: the error of the last attempt, which is `TimedOut` if its time was over.
pub(crate) async fn connect_to_any<A: Copy, C>(
    addresses: &[A],
    each: Duration,
    all: Duration,
    connect: impl AsyncFn(A) -> io::Result<C>,
) -> io::Result<C> {
    let context = Context::background().with_timeout(all);
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, "no address");
    for &address in addresses {
        if context.is_done() {
            break;
        }
        // The earlier of the two deadlines. What has not ended by then is dropped, which closes its
        // socket.
        let attempt = context.with_timeout(each);
        last = match attempt.run(connect(address)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => error,
            Err(ended) => ended.into(),
        };
    }
    Err(last)
}

//! How many connections does the system allow?
//!
//! Each takes two file descriptors, since both of its ends are here. The soft limit, often 1024, a
//! process may raise up to the hard one.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::client;

/// For the standard streams, the runtime, and clients that are being turned away.
const SPARE: usize = 256;

/// Raises the limit as far as `connections` need it; how many are possible.
pub(crate) fn make_room(connections: usize) -> io::Result<usize> {
    let limit = getrlimit(Resource::Nofile);
    let needed = descriptors(connections) as u64;
    let most = limit.maximum.unwrap_or(u64::MAX);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(connections);
    }
    let current = needed.min(most);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(current),
            maximum: limit.maximum,
        },
    )?;
    // The clients that come on top of the connections are few: a hundredth less makes room.
    let mut possible = connections;
    while descriptors(possible) as u64 > current && possible > 0 {
        possible -= possible.div_ceil(100);
    }
    Ok(possible)
}

fn descriptors(connections: usize) -> usize {
    2 * client::counts(connections).iter().sum::<usize>() + SPARE
}

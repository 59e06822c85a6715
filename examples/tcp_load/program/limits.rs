//! The number of connections that the system allows.
//!
//! Each connection takes two file descriptors, because both of its ends are in this process. A
//! process may raise the soft limit, often 1024, up to the hard one.

use std::error::Error;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::arguments::CONNECTIONS;
use super::client;

/// Descriptors for the standard streams, the runtime, and clients that are being turned away.
const SPARE: u64 = 256;

/// Raises the limit as far as `connections` need it. Returns how many are possible.
pub(crate) fn raise(connections: usize) -> Result<usize, Box<dyn Error>> {
    let limit = getrlimit(Resource::Nofile);
    let needed = descriptors(connections);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(connections);
    }
    let current = limit.maximum.map_or(needed, |most| most.min(needed));
    let raised = Rlimit {
        current: Some(current),
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised)?;

    let least = *CONNECTIONS.start();
    if descriptors(least) > current {
        let needed = descriptors(least);
        return Err(format!(
            "a process may have {current} file descriptors, and {least} connections need {needed}: \
             raise the limit (ulimit -Hn)"
        )
        .into());
    }
    let possible = (least..=connections).rev();
    let mut possible = possible.skip_while(|&count| descriptors(count) > current);
    Ok(possible.next().unwrap_or(least))
}

fn descriptors(connections: usize) -> u64 {
    2 * client::counts(connections).iter().sum::<usize>() as u64 + SPARE
}

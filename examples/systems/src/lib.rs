//! What the programs in `src/bin` run, and the tests in `tests` check.

#![forbid(unsafe_code)]

pub mod cache;
pub mod heartbeat;
pub mod http_deadline;
pub mod jobs;
pub mod query_deadline;
pub mod rate_limit;
pub mod slow_loris;

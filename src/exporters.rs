//! What the timers do, for the tools that watch a program.
//!
//! [`Handle::stats`](crate::Handle::stats) has all figures, and needs no feature. With the feature
//! `metrics`, the module `metrics` hands them to a recorder of the crate of that name; with
//! `tracing`, the module `tracing` emits an event for each late turn. Neither starts a thread or a
//! task.

#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(feature = "tracing")]
pub mod tracing;

//! Tests of `reveille::go`, of `FuncTimer`, and Go's own tests of its timers, restated.
//!
//! Of Go's tests in `time`, those have no counterpart that are about a timer or ticker of zero value
//! or made by hand, about negative durations, and about the length and capacity of channels: none of
//! these can be had here. The test of a function that sleeps in its own goroutine spawns that sleep.
//!
//! What concerns an executor runs on each of them: see `on`. Nothing is asserted about how long
//! something takes: only that it is not early, an order, or on a manual clock the exact time.

#![cfg(all(feature = "rt", feature = "tokio", not(loom)))]

#[path = "../support/mod.rs"]
mod support;

mod adjust;
mod chan;
mod every;
mod func;
mod on;
mod queue;
mod races;
mod released;
mod remote;
mod runtimes;
mod stress;
mod ticker;
mod timer;
mod traits;

//! What can two threads and a driver do to each other?
//!
//! Models for [loom], which runs each of them in every order that its threads' steps and the memory
//! model allow. They use the crate's public face and nothing else; what they guard is told in
//! `src/handle.rs` (the park protocol, the words), `src/fire.rs` (batches), `src/rt/idle.rs` and
//! `src/rt/io`. Each says which interleaving it is about, and what a user would see if it went wrong.
//!
//! A package of its own, because some dev-dependencies of the main one do not build with
//! `--cfg loom`. From the root of the repository:
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test --release --manifest-path tests/loom/Cargo.toml --target-dir target/loom
//! ```
//!
//! Without `--cfg loom` there is nothing here. Models that would take minutes look at orders with
//! at most two or three preemptions, see `check`; `LOOM_MAX_PREEMPTIONS` in the environment goes
//! before what they say. `LOOM_LOG=trace LOOM_LOCATION=1` tells the story of one that fails.
//!
//! [loom]: https://docs.rs/loom
#![cfg(all(test, loom))]

mod alarm;
mod attend;
mod batch;
mod clock;
mod close;
mod cut;
mod exact;
mod idle;
mod io;
mod notify;
mod park;
mod storm;
mod support;
mod token;
mod turn;

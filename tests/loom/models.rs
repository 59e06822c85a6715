//! What two threads and a driver can do to each other: models for [loom].
//!
//! Loom runs each model in every order that its threads' steps and the memory model allow. The
//! models are a test module of the crate, so they run the code that ships: a driver's timers
//! (`driver/wakers.rs`), the park protocol (`driver/shared.rs`), batches (`driver/shared/fire.rs`),
//! the sharded driver, the idle protocol of the executor (`rt/idle.rs`), and its notifiers. Those
//! of the reactor are in `io.rs`, a test module of `rt/reactor.rs`, with a stand-in for the kernel.
//! Each model says which interleaving it is about, and what a user would see if it went wrong.
//!
//! The package in this directory builds the library with these models, because some
//! dev-dependencies of the main package do not build with `--cfg loom`. From the root of the
//! repository:
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test --release --manifest-path tests/loom/Cargo.toml --target-dir target/loom
//! ```
//!
//! Models that would take minutes look at orders with at most two or three preemptions, see
//! `check`; `LOOM_MAX_PREEMPTIONS` in the environment overrides that. `LOOM_LOG=trace
//! LOOM_LOCATION=1` shows the steps of a model that fails.
//!
//! [loom]: https://docs.rs/loom

mod adopt;
mod batch;
mod callback;
mod cancelled;
mod clock;
mod close;
mod context;
mod cut;
mod driver;
mod go;
mod idle;
mod io_absence;
mod limits;
mod notify;
mod park;
mod parker;
mod pool;
mod replan;
mod runtime;
mod sharded;
mod storm;
pub(crate) mod support;
mod token;
mod turn;
mod unfiled;

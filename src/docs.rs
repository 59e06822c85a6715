//! Pages about the crate as a whole; its items tell the rest.
//!
//! | for | read |
//! |---|---|
//! | a timer that never fires, or an error | [troubleshooting] |
//! | the guide to Go's timers as programs, and patterns to copy | [the guide](guide) |
//! | what has to happen although the process may end | [where a timer ends](durable) |
//! | a program that comes from Go | its [`time`](from_go) and its [`context`](from_go_context) |
//! | a program on tokio | [from `tokio::time`](from_tokio) |
//! | a loop or a scheduler of your own; other executors | [timers in a scheduler](executor) |
//! | hyper, and other crates that ask for a timer | [adapters] |
//! | a test that takes no time | [testing] |
//! | deadlines that travel with a request | [contexts](context) |
//! | limits for tenants; figures of what timers do | [limits and figures](limits) |
//! | how late timers are, and what they cost | [benchmarks] |
//! | how it works, and why it works that way | [architecture] |
//! | what has changed | [changelog] |
//!
//! They are the files of the folder `docs`, so the module exists in the documentation only, and
//! their examples run as tests.

// Its examples need the crates that the adapters are for. `tests/ecosystem` runs them.
#[cfg(not(doctest))]
#[doc = include_str!("../docs/adapters.md")]
pub mod adapters {}

#[doc = include_str!("../docs/architecture.md")]
pub mod architecture {}

#[doc = include_str!("../docs/benchmarks.md")]
/// ## Two plots
///
/// By `cargo run --release --manifest-path examples/lateness_peers/Cargo.toml --target-dir
/// target/lateness_peers -- --ms 2500`.
///
/// <div>
#[doc = include_str!("../docs/lateness-distribution.svg")]
#[doc = include_str!("../docs/lateness-slack.svg")]
/// </div>
pub mod benchmarks {}

#[doc = include_str!("../docs/changelog.md")]
pub mod changelog {}

#[doc = include_str!("../docs/context.md")]
pub mod context {}

#[doc = include_str!("../docs/durable.md")]
pub mod durable {}

#[doc = include_str!("../docs/executor.md")]
pub mod executor {}

#[doc = include_str!("../docs/from-go.md")]
pub mod from_go {}

#[doc = include_str!("../docs/from-go-context.md")]
pub mod from_go_context {}

#[doc = include_str!("../docs/from-tokio.md")]
pub mod from_tokio {}

#[doc = include_str!("../docs/guide.md")]
pub mod guide {}

#[doc = include_str!("../docs/limits.md")]
pub mod limits {}

#[doc = include_str!("../docs/testing.md")]
pub mod testing {}

#[doc = include_str!("../docs/troubleshooting.md")]
pub mod troubleshooting {}

//! Timers and sockets for crates that ask for them by a trait of their own.
//!
//! Each adapter is a feature with the name of the crate that it is for. The page
//! [`docs::adapters`] has a block to copy for each.
//!
//! | crate | feature | what it gets |
//! |---|---|---|
//! | [aws-smithy-async](https://docs.rs/aws-smithy-async/1) | `aws` | timeouts and retries of the AWS SDK, and the time of day in tests |
//! | [backon](https://docs.rs/backon/1) | `backon` | pauses between attempts |
//! | [governor](https://docs.rs/governor/0.10) | `governor` | a clock, so that a test moves the time of a rate limiter |
//! | [hyper](https://docs.rs/hyper/1) | `hyper` | a timer, sockets and an executor: HTTP on [`rt`] alone, or timers for hyper on tokio |
//! | [hyper-util](https://docs.rs/hyper-util/0.1) | `hyper-util` | a connector for its client |
//! | [quinn](https://docs.rs/quinn/0.11) | `quinn-0_11` | timers, sockets and tasks: QUIC on [`rt`] alone, or timers for quinn on tokio |
//! | [tower](https://docs.rs/tower/0.5) | `tower` | layers for timeouts, delays, and deadlines that travel with a request |
//!
//! Crates that use [futures-timer](https://docs.rs/futures-timer/3), such as governor and libp2p,
//! are moved to this crate's timers by the package in `compat/futures-timer`, without a feature.
//!
//! [`rt`]: https://docs.rs/reveille/latest/reveille/rt/index.html
//! [`docs::adapters`]: https://docs.rs/reveille/latest/reveille/docs/adapters/index.html

// Each module is a leaf: nothing else in the crate uses it.

#[cfg(feature = "aws")]
pub mod aws;
#[cfg(feature = "backon")]
pub mod backon;
#[cfg(feature = "governor")]
pub mod governor;
#[cfg(feature = "hyper")]
pub mod hyper;
#[cfg(feature = "quinn-0_11")]
pub mod quinn_0_11;
#[cfg(feature = "tower")]
pub mod tower;

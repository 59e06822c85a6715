#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
// On docs.rs, each item tells which feature it needs. Only nightly can do that.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(docsrs, doc(auto_cfg(hide(doc, loom, shuttle))))]

mod instant;
mod panic;
mod prefetch;
mod process;
mod sync;
mod system;

mod clock;
mod heap;
mod park;
mod queue;
mod store;
mod table;

mod driver;

mod backend;

mod callback;
pub mod time;

pub mod context;

mod future_ext;
pub mod stream;

#[cfg(feature = "rt")]
pub mod rt;

pub mod go;

// They exist without any feature, too, though empty. So if a program uses `adapters::hyper` without
// its feature, the compiler names that feature.
pub mod adapters;
pub mod exporters;

#[cfg(doc)]
pub mod docs;

#[cfg(all(test, loom))]
#[path = "../tests/loom/models.rs"]
mod models;

pub use crate::backend::{DriverThread, Entered};
pub use crate::callback::FuncTimer;
pub use crate::clock::{Clock, Hold, ManualClock};
#[doc(inline)]
pub use crate::context::{Context, ContextError};
pub use crate::driver::Handle;
pub use crate::driver::late::LateTurn;
pub use crate::driver::limits::{LimitError, Limits};
pub use crate::driver::stats::{BatchSizes, Histogram, Stats};
pub use crate::driver::{Builder, Driver, Turn};
pub use crate::future_ext::FutureExt;
#[cfg(all(target_os = "linux", not(any(loom, shuttle))))]
pub use crate::park::{BoottimePark, BoottimeUnpark};
pub use crate::park::{Park, ThreadPark, ThreadUnpark, Unpark};
pub use crate::queue::{Due, Key, TimerQueue};
#[doc(inline)]
pub use crate::stream::StreamExt;

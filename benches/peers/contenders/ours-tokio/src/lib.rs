//! The contender `tokio`, the very same code, with `reveille::time` in place of `tokio::time`.

#[path = "../../tokio/src/on_tokio.rs"]
mod on_tokio;

use reveille::time;

#[doc(hidden)]
pub use harness;

pub use on_tokio::{Ct, Flavor, Mt, Tokio};

const CT: &str = "ours_tokio_ct";
const MT: &str = "ours_tokio_mt";

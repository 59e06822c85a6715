//! The contender `tokio`, with the same code, but `reveille::time` in place of `tokio::time`.

#[path = "../../tokio/src/on_tokio.rs"]
mod on_tokio;

use std::time::Duration;

use reveille::{Handle, time};

#[doc(hidden)]
pub use harness;

pub use on_tokio::{Ct, Flavor, Mt, Tokio};

const CT: &str = "ours_tokio_ct";
const MT: &str = "ours_tokio_mt";

/// To try another slack: SLACK_US=1000 target/release/ours_tokio_ct w8
fn prepare(rt: &tokio::runtime::Runtime) {
    if let Ok(us) = std::env::var("SLACK_US") {
        let us = us.parse().expect("SLACK_US is a number");
        let _inside = rt.enter();
        Handle::current().set_slack(Duration::from_micros(us));
    }
}

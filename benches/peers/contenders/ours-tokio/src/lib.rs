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

/// The handle whose slack is shown after the run, if it is to be.
struct Prepared(Option<Handle>);

/// To try another slack: SLACK_US=1000 target/release/ours_tokio_ct w8. With SHOW_SLACK=1 the slack
/// is shown at the end: what was chosen, if none was set.
fn prepare(rt: &tokio::runtime::Runtime) -> Prepared {
    let _inside = rt.enter();
    if let Ok(us) = std::env::var("SLACK_US") {
        let us = us.parse().expect("SLACK_US is a number");
        Handle::current().set_slack(Duration::from_micros(us));
    }
    Prepared(std::env::var("SHOW_SLACK").is_ok().then(Handle::current))
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if let Some(handle) = &self.0 {
            eprintln!("slack: {:?}", handle.slack());
        }
    }
}

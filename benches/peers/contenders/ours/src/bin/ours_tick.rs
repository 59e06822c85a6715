use std::time::Duration;

use bench_ours::{Flavor, Ours};

/// A slack of 1 ms, the resolution of tokio.
#[derive(Clone)]
struct Tick;
impl Flavor for Tick {
    const NAME: &'static str = "ours_tick";
    const SLACK: Option<Duration> = Some(Duration::from_millis(1));
}

fn main() {
    bench_ours::harness::main::<Ours<Tick>>()
}

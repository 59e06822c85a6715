use std::time::Duration;

use bench_ours::{Flavor, Ours};

/// No slack: as punctual as possible, whatever that costs.
#[derive(Clone)]
struct Exact;
impl Flavor for Exact {
    const NAME: &'static str = "ours_exact";
    const SLACK: Option<Duration> = Some(Duration::ZERO);
}

fn main() {
    bench_ours::harness::main::<Ours<Exact>>()
}

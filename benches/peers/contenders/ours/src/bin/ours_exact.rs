use std::time::Duration;

use bench_ours::{Flavor, Ours};

/// Punctual at any price.
#[derive(Clone)]
struct Exact;
impl Flavor for Exact {
    const NAME: &'static str = "ours_exact";
    const SLACK: Duration = Duration::ZERO;
}

fn main() {
    bench_ours::harness::main::<Ours<Exact>>()
}

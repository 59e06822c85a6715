use bench_ours::{Flavor, Ours};

#[derive(Clone)]
struct Two;
impl Flavor for Two {
    const NAME: &'static str = "ours_rt";
    const THREADS: usize = 2;
}

fn main() {
    bench_ours::harness::main::<Ours<Two>>()
}

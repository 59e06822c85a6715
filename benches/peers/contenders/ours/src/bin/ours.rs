use bench_ours::{Flavor, Ours};

#[derive(Clone)]
struct Default;
impl Flavor for Default {
    const NAME: &'static str = "ours";
}

fn main() {
    bench_ours::harness::main::<Ours<Default>>()
}

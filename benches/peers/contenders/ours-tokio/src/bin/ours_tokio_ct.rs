use bench_ours_tokio::{Ct, Tokio};

fn main() {
    bench_ours_tokio::harness::main::<Tokio<Ct>>()
}

use bench_tokio::{Ct, Tokio};

fn main() {
    bench_tokio::harness::main::<Tokio<Ct>>()
}

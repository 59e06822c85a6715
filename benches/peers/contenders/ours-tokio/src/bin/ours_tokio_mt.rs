use bench_ours_tokio::{Mt, Tokio};

fn main() {
    bench_ours_tokio::harness::main::<Tokio<Mt>>()
}

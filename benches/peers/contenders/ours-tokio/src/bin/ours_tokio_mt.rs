use bench_ours_tokio::{Flavor, Tokio, tokio};

#[derive(Clone)]
struct Mt;
impl Flavor for Mt {
    const NAME: &'static str = "ours_tokio_mt";
    const THREADS: usize = 2;
    fn runtime(threads: usize) -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build()
            .unwrap()
    }
}

fn main() {
    bench_ours_tokio::harness::main::<Tokio<Mt>>()
}

use bench_ours_tokio::{Flavor, Tokio, tokio};

#[derive(Clone)]
struct Ct;
impl Flavor for Ct {
    const NAME: &'static str = "ours_tokio_ct";
    const THREADS: usize = 1;
    const SKIP: &'static [&'static str] = &["w5"];
    fn runtime(_: usize) -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    }
}

fn main() {
    bench_ours_tokio::harness::main::<Tokio<Ct>>()
}

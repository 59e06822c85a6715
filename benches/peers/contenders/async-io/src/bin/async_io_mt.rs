use bench_async_io::AsyncIo;

fn main() {
    bench_async_io::harness::main::<AsyncIo<2>>()
}

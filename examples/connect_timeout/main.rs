//! A limit for a connection: a host that does not answer is given up, and the next one is tried.
//!
//! ```sh
//! cargo run --release --features io --example connect_timeout
//! ```
//!
//! A host that is switched off refuses nothing: its packets are lost, and the kernel tries for two
//! minutes. Here a listener whose queue is full plays it. `attempt.rs` is what a program would copy;
//! it works with the connections of any runtime.

#[cfg(target_os = "linux")]
mod attempt;

#[cfg(target_os = "linux")]
fn main() -> std::io::Result<()> {
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::time::Duration;

    use reveille::rt::{self, io::AsyncFd};
    use reveille::time::Instant;

    const EACH: Duration = Duration::from_millis(100);

    // Room for one connection that nobody accepts. The next one gets no answer.
    let dead = TcpListener::bind("127.0.0.1:0")?;
    rustix::net::listen(&dead, 0)?;
    let _fills_it = TcpStream::connect(dead.local_addr()?)?;
    let alive = TcpListener::bind("127.0.0.1:0")?;
    let addresses = [dead.local_addr()?, alive.local_addr()?];

    println!("Each host has {EACH:?}:");
    let start = Instant::now();
    let connect = async |address: SocketAddr| {
        let result = AsyncFd::connect(address);
        println!("  {:>3} ms  {address}", start.elapsed().as_millis());
        result.await
    };
    let stream = rt::block_on(attempt::connect_to_any(
        &addresses,
        EACH,
        10 * EACH,
        connect,
    ))?;
    let peer = stream.get_ref().peer_addr()?;
    println!(
        "  {:>3} ms  connected to {peer}",
        start.elapsed().as_millis()
    );
    let error = rt::block_on(attempt::connect_to_any(
        &addresses[..1],
        EACH,
        EACH,
        connect,
    ));
    println!("  {:>3} ms  {error:?}", start.elapsed().as_millis());
    assert!(peer == addresses[1] && error.is_err() && start.elapsed() >= 2 * EACH);
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("`reveille::rt::io` is for Linux. `attempt.rs` works everywhere.");
}

//! A WebSocket server with a heartbeat, a client that listens, and one that is dead.
//!
//! ```sh
//! cargo run --release --manifest-path examples/systems/Cargo.toml \
//!     --target-dir target/systems --bin heartbeat
//! ```

use std::error::Error;
use std::process::ExitCode;

use reveille::time::{Duration, Instant, timeout};
use reveille_systems::heartbeat::{Ended, listen, serve};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::{accept_async, client_async};

const PING: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_millis(500);

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let start = Instant::now();
    println!("A ping each {PING:?}. A peer that is silent for {PATIENCE:?} is dropped.");

    let server = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        for _ in 0..2 {
            let (stream, peer) = listener.accept().await?;
            connections.spawn(async move {
                let ended = serve(accept_async(stream).await?, PING, PATIENCE).await?;
                println!(
                    "  {:>4} ms  server: {peer}: {ended:?}",
                    start.elapsed().as_millis()
                );
                Ok::<_, tokio_tungstenite::tungstenite::Error>((ended, start.elapsed()))
            });
        }
        let mut ends = Vec::new();
        while let Some(end) = connections.join_next().await {
            ends.push(end??);
        }
        Ok::<_, Box<dyn Error + Send + Sync>>(ends)
    });

    // This one makes the handshake and then does nothing: it holds the socket and never reads.
    let stream = TcpStream::connect(address).await?;
    println!(
        "  {:>4} ms  {} falls silent",
        start.elapsed().as_millis(),
        stream.local_addr()?
    );
    let (silent, _) = client_async("ws://localhost/", stream).await?;

    let stream = TcpStream::connect(address).await?;
    let (mut socket, _) = client_async("ws://localhost/", stream).await?;
    let texts = listen(&mut socket, "hello", 2 * PATIENCE).await?;
    socket.close(None).await?;

    let ends = timeout(Duration::from_secs(30), server).await??;
    drop(silent);
    let ends = ends.map_err(|error| error as Box<dyn Error>)?;
    let silent_first = ends[0].0 == Ended::Silent && ends[0].1 >= PATIENCE;
    let other_alive = ends[1].0 == Ended::Closed && ends[1].1 >= 2 * PATIENCE;
    if silent_first && other_alive && texts == ["hello"] {
        println!("OK: the dead peer was dropped, the other one was kept.");
        return Ok(ExitCode::SUCCESS);
    }
    println!("FAILED: {ends:?}, {texts:?}");
    Ok(ExitCode::FAILURE)
}

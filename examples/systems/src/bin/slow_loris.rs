//! Slow clients take all places of a hyper server, until the header has a deadline.
//!
//! ```sh
//! cargo run --release --manifest-path examples/systems/Cargo.toml \
//!     --target-dir target/systems --bin slow_loris
//! ```

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use reveille::time::{Duration, Instant, sleep, timeout};
use reveille_systems::slow_loris::{attack, request, serve};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const PLACES: usize = 50;
const HEADER: Duration = Duration::from_millis(100);
const MS: Duration = Duration::from_millis(1);

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    println!(
        "{PLACES} attackers send a byte of a header each 10 ms, and the server has {PLACES} places."
    );
    let without = under_attack(None, 300 * MS).await?;
    println!("  without a deadline: an answer within 300 ms: {without:?}");
    let with = under_attack(Some(HEADER), Duration::from_secs(30)).await?;
    println!("  {HEADER:?} for a header: an answer after {with:.0?}");
    match (without, with) {
        (None, Some(_)) => {
            println!("OK: the deadline has freed the places.");
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            println!("FAILED");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Attacks a server, and returns how long an honest client waits for its answer, unless that takes
/// longer than `patience`.
async fn under_attack(
    header: Option<Duration>,
    patience: Duration,
) -> Result<Option<Duration>, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let mut tasks = JoinSet::new();
    let places = Arc::new(Semaphore::new(PLACES));
    let left = places.clone();
    tasks.spawn(async move {
        let _ = serve(listener, places, header).await;
    });
    for _ in 0..PLACES {
        tasks.spawn(async move {
            // One that is disconnected comes back.
            while let Ok(stream) = TcpStream::connect(address).await {
                attack(stream, 10 * MS).await;
            }
        });
    }
    while left.available_permits() > 0 {
        sleep(MS).await;
    }
    let start = Instant::now();
    let honest = TcpStream::connect(address).await?;
    let answered = match timeout(patience, request(honest)).await {
        Ok(answer) => answer?.then(|| start.elapsed()),
        Err(_) => None,
    };
    Ok(answered) // drops the tasks
}

//! Slow clients take all places of a hyper server, until the header has a deadline. There are more
//! of them than places, so that an honest client still waits, until each peer has a limit.
//!
//! ```sh
//! cargo run --release --manifest-path examples/systems/Cargo.toml \
//!     --target-dir target/systems --bin slow_loris
//! ```
//!
//! The attackers have an address of their own, 127.0.0.2, which Linux has without any setup.

use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use reveille::time::{Duration, Instant, sleep, timeout};
use reveille_systems::slow_loris::{Peers, attack, request, serve};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const PLACES: usize = 10;
/// No more than the queue of the listener holds, which is 128. Where that is full, the system drops
/// what an honest client sends to connect, and it tries again after seconds.
const ATTACKERS: usize = 100;
/// How many connections a peer may have in the third run.
const EACH: usize = 3;
const HEADER: Duration = Duration::from_millis(100);
const LIFETIME: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(30);
const MS: Duration = Duration::from_millis(1);

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    println!(
        "{ATTACKERS} attackers, and {PLACES} places. They send a byte of a header each 10 ms."
    );
    let nothing = under_attack(None, None, 300 * MS).await?;
    println!("  nothing against it:       {nothing}");
    let deadline = under_attack(Some(HEADER), None, PATIENCE).await?;
    println!("  {HEADER:?} for a header:     {deadline}");
    let peers = Peers::new(EACH, LIFETIME);
    let limit = under_attack(Some(HEADER), Some(peers), PATIENCE).await?;
    println!("  and {EACH} places for a peer:  {limit}");

    let starved = nothing.answer.is_none() && nothing.held == PLACES;
    let freed = deadline.answer.is_some();
    let kept = limit.answer.is_some() && limit.held <= EACH;
    if starved && freed && kept {
        println!("OK: the deadline frees the places, and the limit keeps them free.");
        return Ok(ExitCode::SUCCESS);
    }
    println!("FAILED");
    Ok(ExitCode::FAILURE)
}

/// What an attack does to an honest client.
struct Outcome {
    /// How many places the attackers held when it came.
    held: usize,
    /// How long it waited for its answer, unless it lost its patience.
    answer: Option<Duration>,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { held, answer } = self;
        write!(f, "{held:>2} places held, ")?;
        match answer {
            Some(after) => write!(f, "an answer after {after:.1?}"),
            None => write!(f, "no answer"),
        }
    }
}

async fn under_attack(
    header: Option<Duration>,
    peers: Option<Arc<Peers>>,
    patience: Duration,
) -> Result<Outcome, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let mut tasks = JoinSet::new();
    let places = Arc::new(Semaphore::new(PLACES));
    let left = places.clone();
    let reach = if peers.is_some() { EACH } else { PLACES };
    tasks.spawn(async move {
        let _ = serve(listener, places, header, peers).await;
    });
    for _ in 0..ATTACKERS {
        tasks.spawn(async move {
            // One that is disconnected comes back.
            while let Ok(stream) = connect_from("127.0.0.2:0", address).await {
                attack(stream, 10 * MS).await;
                sleep(10 * MS).await;
            }
        });
    }
    // Until they have all that they can get.
    let have_all = async {
        while left.available_permits() > PLACES - reach {
            sleep(MS).await;
        }
    };
    timeout(PATIENCE, have_all)
        .await
        .map_err(|_| "the attackers do not get their places")?;
    // All of them are in the queue of the listener by then, or come back.
    sleep(20 * MS).await;
    let held = PLACES - left.available_permits();
    let start = Instant::now();
    let honest = TcpStream::connect(address).await?;
    let answer = match timeout(patience, request(honest)).await {
        Ok(answer) => answer?.then(|| start.elapsed()),
        Err(_) => None,
    };
    Ok(Outcome { held, answer }) // drops the tasks
}

async fn connect_from(
    from: &str,
    to: SocketAddr,
) -> Result<TcpStream, Box<dyn Error + Send + Sync>> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(from.parse()?)?;
    Ok(socket.connect(to).await?)
}

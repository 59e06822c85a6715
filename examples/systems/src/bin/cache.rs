//! A cache by the crate `moka`, whose entries are dropped although nobody asks for them.
//!
//! ```sh
//! cargo run --release --manifest-path examples/systems/Cargo.toml \
//!     --target-dir target/systems --bin cache
//! ```

use std::process::ExitCode;

use moka::sync::Cache;
use reveille::time::{Duration, Instant, timeout};
use reveille_systems::cache::sweep;
use tokio::sync::mpsc;

const LIFE: Duration = Duration::from_millis(100);
const PERIOD: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> ExitCode {
    println!("Entries live for {LIFE:?}, and nobody asks for them after that.");
    let (dropped, mut drops) = mpsc::unbounded_channel();
    let cache = Cache::builder()
        .time_to_live(LIFE)
        .eviction_listener(move |key, _, why| {
            // The receiver lives as long as the cache.
            let _ = dropped.send((*key, why, Instant::now()));
        })
        .build();
    let inserted = Instant::now();
    for key in ["session", "connection"] {
        cache.insert(key, key.len());
    }

    let without = timeout(3 * LIFE, drops.recv()).await;
    println!(
        "  without sweeps, dropped after {:?}: {}",
        3 * LIFE,
        without.is_ok()
    );
    tokio::spawn(sweep(cache.clone(), PERIOD));
    let mut good = without.is_err();
    for _ in 0..2 {
        match timeout(PATIENCE, drops.recv()).await {
            Ok(Some((key, why, at))) => {
                println!(
                    "  with sweeps each {PERIOD:?}: {key}: {why:?} after {:.0?}",
                    at - inserted
                );
            }
            _ => good = false,
        }
    }
    if good && cache.entry_count() == 0 {
        println!("OK: what has expired was dropped by the sweep alone.");
        return ExitCode::SUCCESS;
    }
    println!("FAILED");
    ExitCode::FAILURE
}

//! A query with a deadline against a real PostgreSQL, which cancels it on the server, too.
//!
//! ```sh
//! examples/systems/with-postgres.sh cargo run --release \
//!     --manifest-path examples/systems/Cargo.toml --target-dir target/systems --bin query_deadline
//! ```

use std::error::Error;
use std::process::ExitCode;

use reveille::Context;
use reveille::time::{Duration, Instant, sleep};
use reveille_systems::query_deadline::Database;

/// Asks how many queries such as the one below are running in the database. Others may sleep there,
/// too.
const RUNNING: &str = "select count(*) from pg_stat_activity \
    where state = 'active' and query = 'select pg_sleep(3600)'";

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let url = std::env::var("DATABASE_URL")
        .map_err(|_| "no DATABASE_URL: run this with examples/systems/with-postgres.sh")?;
    let (database, other) = (
        Database::connect(&url).await?,
        Database::connect(&url).await?,
    );
    let context = Context::background();
    let running = async || -> Result<i64, Box<dyn Error>> {
        Ok(other.query(&context, RUNNING).await?[0].get(0))
    };

    let start = Instant::now();
    let limited = context.with_timeout(Duration::from_millis(50));
    let query = tokio::spawn({
        let database = database.clone();
        async move {
            database
                .query(&limited, "select pg_sleep(3600)")
                .await
                .map(|_| ())
        }
    });
    sleep(Duration::from_millis(25)).await;
    println!(
        "{:>4} ms  queries that run: {}",
        start.elapsed().as_millis(),
        running().await?
    );
    let result = query.await?;
    let took = start.elapsed();
    println!(
        "{:>4} ms  the query for an hour, with a limit of 50 ms: {result:?}",
        took.as_millis()
    );
    let mut left = running().await?;
    while left > 0 && start.elapsed() < Duration::from_secs(30) {
        sleep(Duration::from_millis(1)).await;
        left = running().await?;
    }
    println!(
        "{:>4} ms  queries that run: {left}",
        start.elapsed().as_millis()
    );
    let next = database.query(&context, "select 7").await?;
    println!(
        "{:>4} ms  the same connection answers the next query",
        start.elapsed().as_millis()
    );
    let next: i32 = next[0].get(0);
    let good = result.is_err() && took >= Duration::from_millis(50) && left == 0 && next == 7;
    println!(
        "{}",
        if good {
            "OK: it was cancelled on the server, too."
        } else {
            "FAILED"
        }
    );
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

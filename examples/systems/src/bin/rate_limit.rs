//! A rate limiter by the crate `governor`: some requests are refused, others wait.
//!
//! ```sh
//! cargo run --release --manifest-path examples/systems/Cargo.toml \
//!     --target-dir target/systems --bin rate_limit
//! ```

use std::process::ExitCode;

use reveille::Context;
use reveille::time::{Duration, Instant};
use reveille_systems::rate_limit::{limiter, until_ready};

#[tokio::main]
async fn main() -> ExitCode {
    println!("100 requests a second, 5 at once.");
    let start = Instant::now();
    let limiter = limiter(100, 5);
    let allowed = (0..10).filter(|_| limiter.check().is_ok()).count();
    println!("  of 10 at once {allowed} are allowed");
    for request in 1..=5 {
        until_ready(&limiter).await;
        println!(
            "  {:>3} ms  request {request} has waited",
            start.elapsed().as_millis()
        );
    }
    let took = start.elapsed();
    // One that has less time than it would have to wait is refused.
    let hurry = Context::background().with_timeout(Duration::from_millis(1));
    let late = hurry.run(until_ready(&limiter)).await.is_err();
    println!(
        "  {:>3} ms  refused, since it had 1 ms: {late}",
        start.elapsed().as_millis()
    );
    match allowed >= 5 && took >= Duration::from_millis(40) {
        true => {
            println!("OK: not faster than the limit.");
            ExitCode::SUCCESS
        }
        false => {
            println!("FAILED");
            ExitCode::FAILURE
        }
    }
}

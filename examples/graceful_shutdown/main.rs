//! A graceful shutdown: no new work, some time for what has begun, and then its end.
//!
//! ```sh
//! cargo run --release --features patterns --example graceful_shutdown
//! ```
//!
//! The program serves requests until SIGINT, which it sends to itself. `drain.rs` is what a program
//! would copy.

mod drain;

use std::error::Error;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use reveille::rt;
use reveille::time::{Instant, interval, sleep};

use crate::drain::Drain;

const MS: Duration = Duration::from_millis(1);

fn main() -> Result<(), Box<dyn Error>> {
    let drain = Arc::new(Drain::new());
    let (on_signal, without_signal) = (drain.clone(), drain.clone());
    ctrlc::set_handler(move || on_signal.stop("a signal came"))?;

    let start = Instant::now();
    let drained = rt::block_on(async {
        rt::spawn(async {
            sleep(30 * MS).await;
            // On a thread of its own, because it blocks until the command has ended.
            thread::spawn(move || {
                let pid = std::process::id().to_string();
                let sent = Command::new("kill").args(["-INT", &pid]).status();
                if !sent.is_ok_and(|status| status.success()) {
                    without_signal.stop("there is no command `kill` that sends a signal");
                }
            });
        });
        serve(&drain, start).await;
        let why = drain.why().unwrap_or_default();
        println!("{:>4} ms  {why}", start.elapsed().as_millis());
        drain.drain(50 * MS).await
    });
    println!(
        "{:>4} ms  stopped: {} requests were done, {} were given up",
        start.elapsed().as_millis(),
        drained.done,
        drained.given_up,
    );
    Ok(())
}

/// Takes a request each 10 ms until the program is told to stop. Each takes longer than the one
/// before.
async fn serve(drain: &Drain, start: Instant) {
    let mut arrivals = interval(10 * MS);
    for number in 1.. {
        // The tick is dropped if the stop comes first.
        if drain.until_stopped(arrivals.tick()).await.is_none() {
            break;
        }
        let takes = 10 * MS * number * number;
        let millis = move || start.elapsed().as_millis();
        println!(
            "{:>4} ms  request {number}, which takes {takes:?}",
            millis()
        );
        let request = drain.track(async move {
            sleep(takes).await;
            println!("{:>4} ms  answer {number}", millis());
        });
        let Some(request) = request else { break };
        rt::spawn(request);
    }
}

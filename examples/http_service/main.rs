//! Compares a web service on `reveille::time` with the same service on `tokio::time`.
//!
//! ```sh
//! cargo run --release -p reveille-examples --features tokio --example http_service
//! ```
//!
//! (Without `-p`, cargo turns on what the tests of the crate need, too: tokio's `test-util`, with
//! which the clock of a runtime of one thread may be paused, and takes longer to read.)
//!
//! An HTTP/1.1 service on hyper and tokio, in `service.rs`: a deadline for each request, a limit
//! for silent connections, a sampler in the background. It is compiled twice: `on_tokio.rs` and
//! `on_reveille.rs` differ in one line, the import. Both serve the same load in turn: clients that
//! send requests as fast as they can, whose deadlines of 30 s never come; requests that sleep;
//! requests that cannot meet their deadline; and connections that fall silent.
//!
//! The program fails if a timer was early, or if the numbers of requests, answers and connections
//! do not match. It only reports how late the timers were, because that depends on the machine,
//! which is busy.

#![expect(
    clippy::duplicate_mod,
    reason = "the same file, compiled with two imports, is the point"
)]

mod arguments;
mod clients;
mod cpu;
mod measure;
mod meter;
mod on_reveille;
mod on_tokio;
mod protocol;
mod table;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::arguments::{Arguments, USAGE};
use crate::measure::{Outcome, Service};

const ROUNDS: u32 = 2;

const SERVICES: [Service; 2] = [
    Service {
        timers: "tokio::time",
        run: on_tokio::run,
    },
    Service {
        timers: "reveille::time",
        run: on_reveille::run,
    },
];

fn main() -> ExitCode {
    let arguments = match arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    if arguments.help {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    match run(&arguments) {
        Ok(problems) if problems.is_empty() => {
            println!("OK: nothing was early, and all requests and connections are accounted for.");
            ExitCode::SUCCESS
        }
        Ok(problems) => {
            println!("FAILED:\n  {}", problems.join("\n  "));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("\nFAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<Vec<String>, Box<dyn Error>> {
    let runtime = match arguments.current_thread {
        true => "tokio's current_thread runtime",
        false => "tokio's multi_thread runtime with two workers",
    };
    println!("An HTTP service on {runtime}, {ROUNDS} rounds with each of two kinds of timers.");
    println!("{}\n", clients::description(arguments.fast));

    let length = arguments.length / (2 * ROUNDS);
    let mut problems = Vec::new();
    for number in 1..=ROUNDS {
        let mut one = |service: &Service| -> Result<Outcome, Box<dyn Error>> {
            print!("round {number}, {}, answered after", service.timers);
            io::stdout().flush()?;
            let outcome = measure::measure(service, arguments, length)?;
            problems.extend(measure::problems(&outcome));
            Ok(outcome)
        };
        let [tokio, reveille] = &SERVICES;
        table::print(number, &[one(tokio)?, one(reveille)?]);
    }
    Ok(problems)
}

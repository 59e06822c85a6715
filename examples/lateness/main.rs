//! Draws how late timers are, and what that costs, on this machine.
//!
//! ```sh
//! cargo run --release --example lateness
//! # Beside other timers:
//! cargo run --release -p reveille-examples --features rt,tokio,smol --example lateness
//! # And beside those that take longer to build: futures-timer, compio, monoio, glommio.
//! cargo run --release --manifest-path examples/lateness_peers/Cargo.toml --target-dir target/lateness_peers
//! ```
//!
//! (Without `-p`, cargo turns on what the tests of the crate need, too: tokio's `test-util`, with
//! which the clock of a runtime of one thread may be paused, so no wake-ups are merged there.)
//!
//! A thousand tasks sleep again and again, for 1 to 10 ms at random, all on one thread. For each way
//! to sleep the program shows the distribution of the lateness and the CPU time that it took. Then
//! it does the same on a loop of its own with one slack after the other (`Handle::set_slack`): the
//! more timers share a wake-up, the less it costs, and the later they are.
//!
//! The distributions appear in the terminal while they are measured. At the end they are written as
//! two SVG files, into the folder that `--out` names, `target/lateness` by default. `--ms` is how
//! long each measurement takes, 500 by default.
//!
//! The program fails if a timer was early. It only reports how late they were: that depends on the
//! machine, and on what else it does meanwhile.

#![allow(
    unexpected_cfgs,
    reason = "the feature `peers` is in one of two packages"
)]

mod chart;
mod contenders;
mod histogram;
mod load;
#[cfg(feature = "peers")]
mod peers;
mod plots;
mod usage;

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::contenders::Contender;
use crate::load::{Load, Sample};

/// The slacks of the curve, in microseconds.
const SLACKS: [u64; 7] = [0, 50, 100, 200, 500, 1000, 2000];

struct Arguments {
    out: PathBuf,
    each: Duration,
}

fn main() -> ExitCode {
    let arguments = match parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("{message}\nusage: lateness [--out FOLDER] [--ms MILLISECONDS]");
            return ExitCode::from(2);
        }
    };
    match run(&arguments) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(early) => {
            println!("FAILED: {early} timers were early");
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("FAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        out: PathBuf::from("target/lateness"),
        each: Duration::from_millis(500),
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "--out" => arguments.out = value()?.into(),
            "--ms" => {
                let given = value()?;
                arguments.each = match given.parse() {
                    Ok(ms @ 50..=60_000) => Duration::from_millis(ms),
                    _ => return Err(format!("--ms {given}: it takes 50 to 60000")),
                };
            }
            _ => return Err(format!("{word} is unknown")),
        }
    }
    Ok(arguments)
}

/// Measures and draws. Returns how many timers were early.
fn run(arguments: &Arguments) -> Result<u64, Box<dyn Error>> {
    println!(
        "{} tasks sleep for 1 to 10 ms each, again and again, on one thread.\n",
        load::TASKS
    );
    println!("{}", heading());
    let mut samples = Vec::new();
    for contender in contenders::all() {
        samples.push(measure(contender, arguments.each)?);
    }
    println!("\nA loop of your own, with one slack after the other:\n");
    println!("{}", heading());
    let mut curve = Vec::new();
    for slack in SLACKS {
        let contender = contenders::own_loop_with(Duration::from_micros(slack));
        curve.push(measure(contender, arguments.each)?);
    }

    std::fs::create_dir_all(&arguments.out)?;
    let plots = [
        ("distribution.svg", plots::distribution(&samples)),
        ("slack.svg", plots::curve(&curve, &samples)),
    ];
    println!();
    for (name, drawn) in plots {
        let path = arguments.out.join(name);
        std::fs::write(&path, drawn)?;
        println!("written: {}", path.display());
    }
    let all = samples.iter().chain(&curve);
    Ok(all.map(|(_, sample)| sample.early).sum())
}

fn heading() -> String {
    let scale = histogram::SCALE;
    format!("{:24} {scale}   p50 µs   p99 µs   CPU %  waits/s", "")
}

/// Measures, and draws a line that changes meanwhile, if someone looks.
fn measure(contender: Contender, each: Duration) -> io::Result<(String, Sample)> {
    let Contender { name, run } = contender;
    let is_live = io::stdout().is_terminal();
    let shown = name.clone();
    let live = move |sample: &Sample| {
        if is_live {
            print!("\r{}", line(&shown, sample));
            // What cannot be shown now is shown the next time.
            io::stdout().flush().ok();
        }
    };
    let sample = run(Load::new(each, Box::new(live)));
    let start = if is_live { "\r" } else { "" };
    println!("{start}{}", line(&name, &sample));
    io::stdout().flush()?;
    Ok((name, sample))
}

fn line(name: &str, sample: &Sample) -> String {
    let micros = |q| sample.late.quantile(q) / 1000.0;
    let or_dash = |figure: Option<f64>, digits| match figure {
        Some(figure) => format!("{figure:.digits$}"),
        None => "-".into(),
    };
    format!(
        "{name:24} {} {:8.1} {:8.1} {:>7} {:>8}",
        sample.late.bars(),
        micros(0.5),
        micros(0.99),
        or_dash(sample.cpu_percent(), 1),
        or_dash(sample.waits_per_second(), 0),
    )
}

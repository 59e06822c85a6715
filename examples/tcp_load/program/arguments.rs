//! The arguments of the program.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::thread;
use std::time::Duration;

pub(crate) const USAGE: &str = "\
usage: tcp_load [--seconds N] [--connections N] [--rate N] [--workers N]
  --seconds N      how long requests are sent: 1 to 3600, 3 if not given
  --connections N  how many clients there are: 50 to 20000, 2000 if not given
  --rate N         requests a second, of all clients together; at least 2 and at most 1000
                   for each client, 2 if not given
  --workers N      threads, this one included: 1 to 256, as many as can run at once if not given";

pub(crate) const CONNECTIONS: RangeInclusive<usize> = 50..=20_000;

/// Requests a second for each connection. With fewer, good clients would count as idle.
const RATES: RangeInclusive<u64> = 2..=1000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) length: Duration,
    pub(crate) connections: usize,
    /// Requests a second.
    pub(crate) rate: u64,
    pub(crate) workers: usize,
    pub(crate) help: bool,
}

/// Reads the arguments. The error says which argument is wrong and what it should be.
pub(crate) fn parse(words: impl IntoIterator<Item = String>) -> Result<Arguments, String> {
    let mut words = words.into_iter();
    let mut arguments = Arguments {
        length: Duration::from_secs(3),
        connections: 2000,
        rate: 0,
        workers: thread::available_parallelism().map_or(1, NonZeroUsize::get),
        help: false,
    };
    let mut rate = None;
    while let Some(word) = words.next() {
        match word.as_str() {
            "--help" | "-h" => arguments.help = true,
            "--seconds" => {
                arguments.length = Duration::from_secs(number(&word, words.next(), 1..=3600)?);
            }
            "--connections" => {
                let allowed = *CONNECTIONS.start() as u64..=*CONNECTIONS.end() as u64;
                arguments.connections = number(&word, words.next(), allowed)? as usize;
            }
            "--rate" => rate = Some(number(&word, words.next(), 1..=u64::MAX)?),
            "--workers" => arguments.workers = number(&word, words.next(), 1..=256)? as usize,
            _ => return Err(format!("unknown argument {word:?}\n{USAGE}")),
        }
    }
    let rates = rates(arguments.connections);
    arguments.rate = rate.unwrap_or(*rates.start());
    if !rates.contains(&arguments.rate) {
        let count = arguments.connections;
        return Err(format!(
            "--rate {} does not go with {count} connections, {} to {} does: give another rate or \
             --connections",
            arguments.rate,
            rates.start(),
            rates.end(),
        ));
    }
    Ok(arguments)
}

/// Returns the rates that are allowed with a number of connections.
fn rates(connections: usize) -> RangeInclusive<u64> {
    let count = connections as u64;
    RATES.start() * count..=RATES.end() * count
}

impl Arguments {
    /// Reduces the number of connections, but not the rate of each.
    pub(crate) fn scale_down(&mut self, connections: usize) {
        self.rate = self.rate * connections as u64 / self.connections as u64;
        self.connections = connections;
    }
}

fn number(of: &str, value: Option<String>, allowed: RangeInclusive<u64>) -> Result<u64, String> {
    let value = value.ok_or_else(|| format!("{of} needs a number after it, as in {of} 100"))?;
    match value.parse() {
        Ok(number) if allowed.contains(&number) => Ok(number),
        _ => Err(format!("{of} {value:?}: give {}", described(&allowed))),
    }
}

fn described(allowed: &RangeInclusive<u64>) -> String {
    match (*allowed.start(), *allowed.end()) {
        (least, u64::MAX) => format!("a whole number from {least} on"),
        (least, most) => format!("a whole number from {least} to {most}"),
    }
}

//! What did the user ask for?

use std::time::Duration;

pub(crate) const USAGE: &str = "\
usage: http_service [--seconds N] [--quick] [--current-thread]
  --seconds N        how long the clients ask, in all: 4 to 3600, 16 if not given
  --quick            the same as --seconds 4
  --current-thread   the server on tokio's current_thread runtime, not on two workers";

#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) length: Duration,
    pub(crate) current_thread: bool,
    pub(crate) help: bool,
}

/// Reads the arguments, or says which one is wrong and what it should be.
pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        length: Duration::from_secs(16),
        current_thread: false,
        help: false,
    };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--quick" => arguments.length = Duration::from_secs(4),
            "--current-thread" => arguments.current_thread = true,
            "--help" | "-h" => arguments.help = true,
            "--seconds" => arguments.length = seconds(words.next())?,
            _ => return Err(format!("unknown argument {word:?}\n{USAGE}")),
        }
    }
    Ok(arguments)
}

fn seconds(value: Option<String>) -> Result<Duration, String> {
    let value = value.ok_or("--seconds needs a number after it, as in --seconds 8")?;
    match value.parse() {
        Ok(seconds @ 4..=3600) => Ok(Duration::from_secs(seconds)),
        _ => Err(format!(
            "--seconds {value:?}: give a whole number from 4 to 3600, as in --seconds 8"
        )),
    }
}

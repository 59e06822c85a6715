//! The arguments of the program.

use std::ops::RangeInclusive;
use std::time::Duration;

pub(crate) const USAGE: &str = "\
usage: http_service [--seconds N] [--quick] [--fast N] [--current-thread]
  --seconds N        how long the clients ask, in all: 4 to 3600, 16 if not given
  --quick            the same as --seconds 4
  --fast N           connections that ask as fast as they can: 0 to 1000, 32 if not given
  --current-thread   the server on tokio's current_thread runtime, not on two workers";

#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) length: Duration,
    pub(crate) fast: u64,
    pub(crate) current_thread: bool,
    pub(crate) help: bool,
}

/// Reads the arguments. The error says which argument is wrong and what it should be.
pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        length: Duration::from_secs(16),
        fast: 32,
        current_thread: false,
        help: false,
    };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--quick" => arguments.length = Duration::from_secs(4),
            "--current-thread" => arguments.current_thread = true,
            "--help" | "-h" => arguments.help = true,
            "--seconds" => {
                arguments.length = Duration::from_secs(number(&word, words.next(), 4..=3600)?);
            }
            "--fast" => arguments.fast = number(&word, words.next(), 0..=1000)?,
            _ => return Err(format!("unknown argument {word:?}\n{USAGE}")),
        }
    }
    Ok(arguments)
}

fn number(of: &str, value: Option<String>, allowed: RangeInclusive<u64>) -> Result<u64, String> {
    let (least, most) = (allowed.start(), allowed.end());
    let value = value.ok_or_else(|| format!("{of} needs a number after it, as in {of} 8"))?;
    match value.parse() {
        Ok(number) if allowed.contains(&number) => Ok(number),
        _ => Err(format!(
            "{of} {value:?}: give a whole number from {least} to {most}, as in {of} 8"
        )),
    }
}

//! Requests: parsing and answering a line.

use std::time::Duration;

/// What a line asks for.
#[derive(Debug)]
pub(crate) enum Request {
    /// It has been answered.
    Answer(String),
    /// It takes this long, and the deadline of requests applies.
    Work(Duration),
}

/// Parses `ECHO text`, `UPPER text`, `SUM 1 2 3`, or `SLOW n`, which works for `n` milliseconds.
pub(crate) fn parse(line: &str) -> Request {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    match verb {
        "ECHO" => Request::Answer(format!("200 {rest}")),
        "UPPER" => Request::Answer(format!("200 {}", rest.to_uppercase())),
        "SUM" => Request::Answer(match sum(rest) {
            Some(sum) => format!("200 {sum}"),
            None => "400 SUM takes integers".into(),
        }),
        "SLOW" => match rest.parse() {
            Ok(millis) => Request::Work(Duration::from_millis(millis)),
            Err(_) => Request::Answer("400 SLOW takes milliseconds".into()),
        },
        _ => Request::Answer("400 ECHO, UPPER, SUM or SLOW?".into()),
    }
}

fn sum(numbers: &str) -> Option<i64> {
    numbers
        .split_whitespace()
        .try_fold(0i64, |sum, number| sum.checked_add(number.parse().ok()?))
}

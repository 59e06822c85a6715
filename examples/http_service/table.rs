//! Prints a round: counts first, lateness below, one column for each kind of timers.

use std::time::Duration;

use crate::measure::Outcome;
use crate::meter::Wait;

/// Prints what both services did in round `number`.
pub(crate) fn print(number: u32, outcomes: &[Outcome; 2]) {
    let row = |name: &str, cell: &dyn Fn(&Outcome) -> String| {
        let [one, other] = outcomes.each_ref().map(cell);
        println!("  {name:24}{one:>32}   {other:>32}");
    };
    println!();
    row(&format!("round {number}"), &|outcome| outcome.timers.into());
    row("requests a second", &|outcome| {
        let a_second = outcome.seen.sent as f64 / outcome.length.as_secs_f64();
        format!("{a_second:.0}")
    });
    row("requests", &|outcome| outcome.seen.sent.to_string());
    row("  answered after a sleep", &|outcome| {
        outcome.seen.slow.to_string()
    });
    row("  over their deadline", &|outcome| {
        outcome.seen.timed_out.to_string()
    });
    row("  served at once", &|outcome| {
        let load = outcome.meter.load();
        let (p50, max) = (load.value_at_quantile(0.5), load.max());
        format!("p50 {p50}, max {max}")
    });
    row("idle connections closed", &|outcome| {
        outcome.seen.closed_idle.to_string()
    });
    row("ticks in the background", &|outcome| {
        outcome.meter.late(Wait::Tick).len().to_string()
    });
    row("the server's CPU time", &|outcome| match outcome.cpu {
        Some(cpu) => format!("{:.2} s", cpu.as_secs_f64()),
        None => "not known on this system".into(),
    });
    row("  for a request", &|outcome| match outcome.cpu {
        Some(cpu) => format!("{:.1} µs", micros(cpu) / outcome.seen.sent as f64),
        None => "-".into(),
    });
    row("late by, in µs:", &|_| {
        quantiles(["p50", "p99", "p99.9", "max"])
    });
    let waits = [
        ("  handlers' sleeps", Wait::Sleep),
        ("  requests' deadlines", Wait::Deadline),
        ("  background ticks", Wait::Tick),
        ("  idle closings", Wait::Idle),
    ];
    for (name, wait) in waits {
        row(name, &|outcome| {
            let late = outcome.meter.late(wait);
            let nanos = [0.5, 0.99, 0.999, 1.0].map(|at| late.value_at_quantile(at));
            quantiles(nanos.map(|nanos| micros(Duration::from_nanos(nanos)).round()))
        });
    }
    println!();
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn quantiles<T: std::fmt::Display>(values: [T; 4]) -> String {
    values.map(|value| format!("{value:>8}")).concat()
}

//! The report at the end, and the checks that the counts match.

use super::client::{KINDS, Seen};
use super::connection::{HANDLER, IDLE, PING, READ, REQUEST};
use super::end::{End, Ends};
use super::meter::{Meter, Span};
use super::server::{DRAIN, Drained};
use super::usage::Usage;

/// Everything that was measured.
pub(crate) struct Outcome<'a> {
    pub(crate) meter: &'a Meter,
    /// What each kind of client has seen.
    pub(crate) seen: Vec<Seen>,
    pub(crate) counts: [usize; KINDS.len()],
    /// The costs while requests were sent.
    pub(crate) usage: Usage,
    /// How many requests were answered meanwhile.
    pub(crate) received: u64,
    pub(crate) drained: Drained,
    /// How many timers are armed at the end.
    pub(crate) armed: usize,
    pub(crate) workers: usize,
}

pub(crate) fn print(outcome: &Outcome<'_>) {
    println!("clients  count  what each does                 connections, by how they ended");
    for ((kind, seen), count) in KINDS.iter().zip(&outcome.seen).zip(outcome.counts) {
        let mut ends = seen.ends.describe();
        if seen.unserved > 0 {
            ends += &format!(", {} not accepted", seen.unserved);
        }
        println!("  {:<6} {count:>6}  {:<29}  {ends}", kind.name, kind.does);
    }
    println!(
        "  {:<6} {:>6}  {:<29}  {}",
        "server",
        outcome.meter.accepted.get(),
        "accepted so many connections",
        outcome.meter.ends().describe()
    );
    println!(
        "  limits: idle {IDLE:?}, request {REQUEST:?}, handler {HANDLER:?}, read {READ:?}, \
         a ping each {PING:?}"
    );

    let all = total(&outcome.seen);
    println!("\nrequests {} sent", all.sent);
    println!(
        "  {} answered, {} overdue, {} refused at the end, {} abandoned by their clients",
        all.done, all.overdue, all.refused, all.abandoned
    );
    spans(outcome.meter);
    costs(outcome);

    let Drained { took, open, left } = outcome.drained;
    println!(
        "\nshutdown {open} connections open, {} ended by themselves, {left} left at the deadline \
         ({took:.0?} of {DRAIN:?})",
        open - left,
    );
}

fn spans(meter: &Meter) {
    println!("\nµs, while there was load         count       p50       p99     p99.9       max");
    let rows = [
        ("latency from when it was due", Span::FromDue),
        ("latency from when it was sent", Span::FromSent),
        ("late: requests of the timetable", Span::Arrival),
        ("late: handlers' sleeps", Span::Work),
        ("late: handlers' deadlines", Span::Handler),
        ("late: pings", Span::Ping),
        ("late: idle limits", Span::Idle),
        ("late: request limits", Span::Request),
        ("late: read limits", Span::Read),
    ];
    for (name, span) in rows {
        let span = meter.span(span);
        let [p50, p99, p999, max] =
            [0.5, 0.99, 0.999, 1.0].map(|at| span.value_at_quantile(at).div_ceil(1000));
        println!(
            "  {name:<31}{:>7} {p50:>9} {p99:>9} {p999:>9} {max:>9}",
            span.len()
        );
    }
}

fn costs(outcome: &Outcome<'_>) {
    let Usage {
        time,
        cpu,
        switches,
        parks,
        threads,
    } = outcome.usage;
    let seconds = time.as_secs_f64();
    let received = outcome.received as f64;
    let cpu = cpu.as_secs_f64();
    println!("\nin {seconds:.2} s of load, server and clients together, on {threads} threads");
    println!("  {:.0} answers a second", received / seconds);
    println!(
        "  {cpu:.2} s of CPU time, {:.1} µs for an answer",
        1e6 * cpu / received
    );
    println!(
        "  {:.0} parks a second, {:.1} for an answer; {:.0} voluntary context switches a second",
        parks as f64 / seconds,
        parks as f64 / received,
        switches as f64 / seconds,
    );
}

fn total(seen: &[Seen]) -> Seen {
    let mut all = Seen::default();
    for one in seen {
        all += one;
    }
    all
}

/// Returns which counts do not match.
pub(crate) fn problems(outcome: &Outcome<'_>) -> Vec<String> {
    let Outcome { meter, .. } = outcome;
    let all = total(&outcome.seen);
    let ends = meter.ends();
    let (taken, answered) = (meter.taken.get(), meter.answered.get());
    let received = all.done + all.overdue;
    let equal = [
        ("timers that were early", meter.early.get(), 0),
        (
            "answers and ends that were too early for a client",
            all.early,
            0,
        ),
        (
            "requests that were taken and not answered, or the reverse",
            all.lost,
            0,
        ),
        (
            "requests that came to an end",
            received + all.refused + all.abandoned,
            all.sent,
        ),
        (
            "connections that the server saw end",
            ends.total(),
            meter.accepted.get(),
        ),
        (
            "connections that the clients saw end",
            all.ends.total() + all.unserved,
            all.connected,
        ),
        (
            "connections that the server accepted",
            meter.accepted.get(),
            all.ends.total(),
        ),
        ("malformed requests", ends.count(End::Malformed), 0),
        ("timers left", outcome.armed as u64, 0),
        (
            "threads",
            outcome.usage.threads as u64,
            outcome.workers as u64,
        ),
    ];
    let wrong = equal.iter().filter(|(_, is, due)| is != due);
    let mut problems: Vec<_> = wrong
        .map(|(what, is, due)| format!("{is} {what}, not {due}"))
        .collect();

    let most = [
        // At most one for each connection that was cut off.
        (
            "requests that were taken and not answered",
            taken - answered,
            ends.count(End::Cut),
        ),
        (
            "answers that reached no client",
            answered - received,
            all.abandoned,
        ),
    ];
    let wrong = most.iter().filter(|(_, is, most)| is > most);
    problems.extend(wrong.map(|(what, is, most)| format!("{is} {what}, more than {most}")));
    problems.extend(disagreements(&ends, &all.ends));
    problems
}

/// Compares how the server and its clients have seen the connections end.
///
/// A client that closes the connection does not receive the reason that the server was about to
/// send, and one that is reset does not learn the reason. Apart from that the two must agree.
fn disagreements(server: &Ends, clients: &Ends) -> Vec<String> {
    let reset = |ends: &Ends| ends.count(End::NotReading) + ends.count(End::Cut);
    let told = End::ALL.into_iter().filter(|end| end.is_told());
    let told = told.map(|end| (end.name(), server.count(end), clients.count(end)));
    told.chain([("reset", reset(server), reset(clients))])
        .filter(|(_, server, clients)| server < clients)
        .map(|(name, server, clients)| {
            format!("{clients} connections that ended with {name:?} for clients, {server} for the server")
        })
        .collect()
}

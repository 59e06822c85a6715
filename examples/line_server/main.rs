//! A TCP line server on a loop of its own: sockets and timers in one blocking call.
//!
//! ```sh
//! cargo run --release --example line_server
//! ```
//!
//! There is no runtime and no timer thread. The loop, in `server.rs`, blocks in a poller for as
//! long as [`Driver::next_timeout`](reveille::Driver::next_timeout) allows, and then calls
//! [`Driver::turn`](reveille::Driver::turn). Its connections, in `connection.rs`, have four kinds
//! of limits, with real `Sleep`s and `Timeout`s: for idle clients, for lines that never end, for
//! requests that take too long, and for clients that do not close the connection.
//!
//! The program also runs the clients, in threads over loopback: well-behaved and badly behaved
//! ones. It ends by itself, prints what each kind received and how late the timers were, and fails
//! if a client did not receive what it should.

mod clients;
mod connection;
mod meter;
mod poll;
mod request;
mod server;
#[cfg(test)]
mod tests;
mod wakes;

use std::io;
use std::net::TcpListener;
use std::panic::resume_unwind;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::clients::{KINDS, Outcome};
use crate::connection::{IDLE, LINE, REQUEST};
use crate::meter::{End, Meter};
use crate::server::Server;

fn main() -> io::Result<ExitCode> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    println!("A line server on {address}: one thread, one poll for sockets and timers.");
    println!("Limits: {IDLE:?} between lines, {LINE:?} for a line, {REQUEST:?} for a request.\n");
    println!("  time     connections   answered    overdue timers armed      fired");

    let started = Instant::now();
    let stop = AtomicBool::new(false);
    let server = Server::new(listener)?;
    let notify = server.notifier();
    let (outcomes, meter) = thread::scope(|scope| {
        let clients = scope.spawn(|| {
            let outcomes = clients::run(address);
            // First the flag, then the notification, so that the loop sees the flag when it wakes.
            stop.store(true, Ordering::Release);
            notify();
            outcomes
        });
        let meter = server.run(&stop);
        let outcomes = clients.join().unwrap_or_else(|panic| resume_unwind(panic));
        (outcomes, meter)
    });
    let mut meter = meter?;

    let mut problems = Vec::new();
    print_clients(&outcomes, &mut problems);
    check_server(&meter, &mut problems);
    print_timers(&mut meter, started.elapsed());

    if problems.is_empty() {
        println!("\nOK: every client got what it should, and no timer was early.");
        return Ok(ExitCode::SUCCESS);
    }
    println!("\nFAILED, {} problems, the first of them:", problems.len());
    for problem in problems.iter().take(12) {
        println!("  {problem}");
    }
    Ok(ExitCode::FAILURE)
}

fn print_clients(outcomes: &[Outcome], problems: &mut Vec<String>) {
    println!(
        "\n  {:8} {:>7}  {:48} {:22} verdict",
        "kind", "clients", "what each did", "answers"
    );
    for (kind, outcome) in KINDS.iter().zip(outcomes) {
        let due = |(status, count): &(&str, usize)| (String::from(*status), *count);
        let due: Vec<_> = kind.due.iter().map(due).collect();
        let same =
            due.len() == outcome.got.len() && due.iter().all(|due| outcome.got.contains(due));
        if !same {
            problems.push(format!("{}: got {:?}, not {due:?}", kind.name, outcome.got));
        }
        let named = |failure| format!("{}: {failure}", kind.name);
        problems.extend(outcome.failures.iter().map(named));

        let good = same && outcome.failures.is_empty();
        println!(
            "  {:8} {:>7}  {:48} {:22} {}",
            kind.name,
            kind.clients,
            kind.does,
            statuses(&outcome.got),
            if good { "as due" } else { "WRONG" },
        );
    }
    println!("  200 answered, 504 over its deadline, 408 cut off by a timer, 413 line too long");
}

fn statuses(got: &[(String, usize)]) -> String {
    let one = |(status, count): &(String, usize)| format!("{count} x {status}");
    got.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Checks that the server has seen the same as its clients.
fn check_server(meter: &Meter, problems: &mut Vec<String>) {
    let clients = |name| {
        KINDS
            .iter()
            .find(|kind| kind.name == name)
            .map_or(0, |kind| kind.clients)
    };
    let all = KINDS.iter().map(|kind| kind.clients).sum();
    let left = clients("steady") + clients("patient") + clients("heavy");
    let mut check = |what: &str, seen: usize, due: usize| {
        if seen != due {
            problems.push(format!("the server saw {seen} {what}, not {due}"));
        }
    };
    check("connections", meter.accepted, all);
    check("idle clients", meter.count(End::Idle), clients("silent"));
    check(
        "slow lines",
        meter.count(End::SlowLine),
        clients("dripping"),
    );
    check("long lines", meter.count(End::LongLine), clients("bulky"));
    check(
        "half lines",
        meter.count(End::LeftMidLine),
        clients("leaving"),
    );
    check("broken sockets", meter.count(End::Broken), 0);
    check("good-byes", meter.count(End::Left), left);
}

fn print_timers(meter: &mut Meter, elapsed: Duration) {
    let (count, [p50, p90, p99, max]) = meter.lateness();
    let micros = |late: Duration| late.as_nanos().div_ceil(1000);
    println!(
        "\n  loop    {} waits and turns in {:.1} s: \
         {} ended by a socket or a thread, {} by a deadline",
        meter.waits,
        elapsed.as_secs_f64(),
        meter.interrupted,
        meter.waits - meter.interrupted,
    );
    println!(
        "  timers  {} made, moved in place {} times, {} fired, \
         at most {} armed at once, none left",
        meter.made, meter.moved, meter.fired, meter.peak,
    );
    println!(
        "  late    p50 {} µs, p90 {} µs, p99 {} µs, max {} µs from deadline to action ({count})",
        micros(p50),
        micros(p90),
        micros(p99),
        micros(max),
    );
}

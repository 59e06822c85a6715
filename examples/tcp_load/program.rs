//! Starts, watches and stops the server and the clients.

mod arguments;
mod client;
mod connection;
mod end;
mod limits;
mod meter;
mod protocol;
mod report;
mod server;
#[cfg(test)]
mod tests;
mod usage;
mod wire;

use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;
use std::time::Duration;

use futures::FutureExt;
use futures::channel::oneshot;
use indicatif::{ProgressBar, ProgressStyle};
use reveille::rt::{self, JoinHandle, Runtime};
use reveille::time::{Instant, timeout_at};

use self::arguments::{Arguments, USAGE};
use self::client::{Seen, Timetable};
use self::meter::Meter;
use self::report::Outcome;
use self::server::{Drained, Server};
use self::usage::{Parks, Usage};

/// The time for each further connection to be made, before the load begins.
const STEP: Duration = Duration::from_micros(250);

/// How long the clients may take to notice that the server is gone.
const MAX_WAIT: Duration = Duration::from_secs(20);

const REFRESH: Duration = Duration::from_millis(100);

/// How many connections waiting to be accepted the kernel keeps.
const BACKLOG: i32 = 4096;

pub(crate) fn main() -> ExitCode {
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
    match start(arguments) {
        Ok(problems) if problems.is_empty() => {
            println!(
                "\nOK: no timer was early, and all requests and connections are accounted for."
            );
            ExitCode::SUCCESS
        }
        Ok(problems) => {
            println!("\nFAILED:\n  {}", problems.join("\n  "));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("\nFAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(mut arguments: Arguments) -> Result<Vec<String>, Box<dyn Error>> {
    let possible = limits::raise(arguments.connections)?;
    if possible < arguments.connections {
        println!(
            "The limit of file descriptors (ulimit -n) allows for {possible} connections, not {}.",
            arguments.connections
        );
        arguments.scale_down(possible);
    }
    let parks = Parks::default();
    let runtime = Runtime::builder()
        .worker_threads(arguments.workers)
        .on_thread_park(parks.hook())
        .build()?;
    runtime.block_on(run(&arguments, &parks))
}

async fn run(arguments: &Arguments, parks: &Parks) -> Result<Vec<String>, Box<dyn Error>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    rustix::net::listen(&listener, BACKLOG)?;
    let SocketAddr::V4(address) = listener.local_addr()? else {
        return Err("an address of version 4 was asked for".into());
    };
    let Arguments {
        length,
        connections,
        rate,
        workers,
        ..
    } = *arguments;
    println!(
        "A TCP server on {address} and its clients, {workers} threads in all: {connections} \
         connections,\n{rate} requests a second for {length:?}.\n"
    );

    let meter = Meter::new();
    let (stop, stopped) = oneshot::channel();
    let server = Server::new(listener, connections, stopped.shared(), meter.clone())?;
    let mut server = rt::spawn(server.run());

    let connect = Instant::now();
    let begin = connect + STEP * connections as u32;
    let timetable = Timetable {
        connect,
        begin,
        rate,
    };
    let clients = client::start(address, connections, timetable, &meter);

    let bar = bar(length)?;
    let epoch = std::time::Instant::now();
    bar.set_message("connecting");
    watch(&mut server, begin, |_| bar.tick()).await?;
    meter.set_recording(true);
    let before = (Usage::now(epoch, parks)?, meter.received.get());
    let end = Instant::now() + length;
    watch(&mut server, end, |left| {
        bar.set_position((length - left).as_millis() as u64);
        let (accepted, received) = (meter.accepted.get(), meter.received.get());
        bar.set_message(format!("{accepted} accepted, {received} answered"));
    })
    .await?;
    let usage = Usage::now(epoch, parks)? - before.0;
    let received = meter.received.get() - before.1;

    meter.set_recording(false);
    bar.set_message("shutting down");
    let _ = stop.send(());
    let drained = server.await??;
    let seen = timeout_at(Instant::now() + MAX_WAIT, all(clients)).await;
    let seen = seen.map_err(|_| "the clients did not end with the server: something hangs")??;
    bar.finish_and_clear();

    let outcome = Outcome {
        meter: &meter,
        seen,
        counts: client::counts(connections),
        usage,
        received,
        drained,
        armed: rt::Handle::current().armed(),
        workers,
    };
    report::print(&outcome);
    Ok(report::problems(&outcome))
}

/// Waits, and updates the progress bar now and then. It is an error if the server ends before.
async fn watch(
    server: &mut JoinHandle<io::Result<Drained>>,
    until: Instant,
    mut look: impl FnMut(Duration),
) -> Result<(), Box<dyn Error>> {
    loop {
        let now = Instant::now();
        look(until - now);
        if now >= until {
            return Ok(());
        }
        if let Ok(server) = timeout_at(until.min(now + REFRESH), &mut *server).await {
            server??;
            return Err("the server has ended too soon".into());
        }
    }
}

/// Returns what the clients of each kind have seen.
async fn all(clients: Vec<Vec<JoinHandle<io::Result<Seen>>>>) -> Result<Vec<Seen>, Box<dyn Error>> {
    let mut kinds = Vec::new();
    for (kind, clients) in client::KINDS.iter().zip(clients) {
        let mut all = Seen::default();
        for client in clients {
            let seen = client.await?;
            all += &seen.map_err(|error| format!("a {} client: {error}", kind.name))?;
        }
        kinds.push(all);
    }
    Ok(kinds)
}

/// The progress bar. It is hidden if stderr is not a terminal, and has no thread of its own.
fn bar(length: Duration) -> Result<ProgressBar, Box<dyn Error>> {
    let style = ProgressStyle::with_template("{elapsed:>4} [{bar:30}] {msg}")?;
    Ok(ProgressBar::new(length.as_millis() as u64).with_style(style))
}

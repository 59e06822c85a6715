//! Measures one copy of the service.
//!
//! The service gets a runtime of its own and the clients a thread of their own, while this thread
//! reports progress. The clients end first, then the server, so that every request and every
//! connection can be accounted for.

use std::error::Error;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::arguments::Arguments;
use crate::clients::{self, Seen};
use crate::cpu;
use crate::meter::{Meter, Wait};

/// How many seconds longer than its length a measurement may take.
const PATIENCE: u64 = 20;

/// A copy of the service, and the name of its timers.
pub(crate) struct Service {
    pub(crate) timers: &'static str,
    pub(crate) run: Run,
}

type Run = fn(&Runtime, TcpListener, &Arc<Meter>, oneshot::Receiver<()>) -> io::Result<()>;

/// The result of a measurement.
pub(crate) struct Outcome {
    pub(crate) timers: &'static str,
    pub(crate) length: Duration,
    pub(crate) seen: Seen,
    pub(crate) meter: Arc<Meter>,
    /// The CPU time of the server, if the system tells.
    pub(crate) cpu: Option<Duration>,
}

/// Runs the clients against `service` for `length`, and prints progress each second.
pub(crate) fn measure(
    service: &Service,
    arguments: &Arguments,
    length: Duration,
) -> Result<Outcome, Box<dyn Error>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let meter = Arc::new(Meter::new());
    let before = cpu::used();

    let Arguments {
        fast,
        current_thread,
        ..
    } = *arguments;

    let (stop, stopped) = oneshot::channel();
    let run = service.run;
    let measured = meter.clone();
    let server = thread::Builder::new()
        .name("server".into())
        .spawn(move || {
            let runtime = runtime(current_thread)?;
            run(&runtime, listener, &measured, stopped)?;
            // Before the runtime is gone, and with it the CPU times of its workers.
            Ok::<_, io::Error>(cpu::used())
        })?;

    let (done, clients) = mpsc::channel();
    thread::Builder::new()
        .name(cpu::CLIENTS.into())
        .spawn(move || done.send(clients::run(address, fast, length)))?;
    let seen = wait(&clients, length, &meter)?.map_err(|error| format!("a client: {error}"))?;

    // The server may have failed already; it returns its own error then.
    let _ = stop.send(());
    let used = server.join().map_err(|_| "the server panicked")??;
    Ok(Outcome {
        timers: service.timers,
        length,
        seen,
        meter,
        cpu: used.zip(before).map(|(used, before)| used - before),
    })
}

fn runtime(current_thread: bool) -> io::Result<Runtime> {
    let mut builder = match current_thread {
        true => Builder::new_current_thread(),
        false => Builder::new_multi_thread(),
    };
    builder.worker_threads(2).enable_all().build()
}

/// Waits for the clients.
fn wait<T>(
    clients: &mpsc::Receiver<T>,
    length: Duration,
    meter: &Meter,
) -> Result<T, Box<dyn Error>> {
    for second in 0..length.as_secs() + PATIENCE {
        if second > 0 {
            print!(" {second} s: {},", meter.answered.get());
            io::stdout().flush()?;
        }
        match clients.recv_timeout(Duration::from_secs(1)) {
            Ok(seen) => {
                println!(" done: {}", meter.answered.get());
                return Ok(seen);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err("the clients panicked".into()),
        }
    }
    Err(format!("the clients were not done {PATIENCE} s after their time: something hangs").into())
}

/// Returns which numbers do not match, and what was early.
pub(crate) fn problems(outcome: &Outcome) -> Vec<String> {
    let Outcome {
        timers,
        seen,
        meter,
        ..
    } = outcome;
    let waits = |wait| meter.late(wait).len();
    let must_be_equal = [
        ("answers", seen.ok + seen.timed_out, seen.sent),
        (
            "requests answered by the server",
            meter.answered.get(),
            seen.sent,
        ),
        ("handlers' sleeps", waits(Wait::Sleep), seen.slow),
        (
            "requests timed out by the server",
            waits(Wait::Deadline),
            seen.timed_out,
        ),
        (
            "connections seen by the server",
            meter.accepted.get(),
            seen.connections,
        ),
        (
            "idle connections that were closed",
            seen.closed_idle,
            seen.left_idle,
        ),
        ("closings for idleness", waits(Wait::Idle), seen.left_idle),
        ("broken connections", meter.broken.get(), 0),
        ("requests that made no sense", meter.refused.get(), 0),
        ("waits that ended early in the server", meter.early.get(), 0),
        ("answers and closings too early for a client", seen.early, 0),
    ];
    let wrong = must_be_equal.iter().filter(|(_, is, due)| is != due);
    wrong
        .map(|(what, is, due)| format!("{timers}: {is} {what}, not {due}"))
        .collect()
}

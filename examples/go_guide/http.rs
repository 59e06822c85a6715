//! Part 21: an HTTP server whose handlers have a deadline.
//!
//! The server is as small as can be: a thread for each connection, one request on it, and sockets
//! of std. `examples/systems` has the same with hyper.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use reveille::time::{Duration, Instant, sleep};
use reveille::{Context, ContextError};

use crate::guide::Guide;
use crate::timers::ms;

const LIMIT: Duration = Duration::from_millis(200);
/// How long the line of a request may be, and how long the server waits for more of it.
const LONGEST_LINE: u64 = 8 * 1024;
const SILENCE: Duration = Duration::from_secs(30);

pub(crate) fn deadline(guide: &mut Guide) {
    guide.part(
        21,
        "context in an HTTP handler",
        "WithTimeout; the handler ends at the deadline, and the client gets 504",
    );
    if let Err(error) = play(guide) {
        guide.expect("loopback sockets", Err(error.to_string()), Ok(()));
    }
}

fn play(guide: &mut Guide) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let server = Context::background();
    let stopped = Arc::new(AtomicU32::new(0));
    thread::spawn({
        let (server, stopped) = (server.clone(), stopped.clone());
        move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else {
                    // The system is short of something, for now.
                    thread::sleep(ms(100));
                    continue;
                };
                let (server, stopped) = (server.clone(), stopped.clone());
                thread::spawn(move || connection(stream, &server, &stopped));
            }
        }
    });

    let (status, took) = get(address, "/quick")?;
    guide.expect("a handler of 5 ms, limit 200 ms", status, 200);
    guide.at_least("answered after", took, ms(5));
    let (status, took) = get(address, "/slow")?;
    guide.expect("a handler of an hour", status, 504);
    guide.at_least("answered after", took, LIMIT);
    guide.expect(
        "handlers that were stopped",
        stopped.load(Ordering::SeqCst),
        1,
    );

    server.cancel_with("shutting down");
    let (status, _) = get(address, "/quick")?;
    guide.expect("after the server's context was cancelled", status, 503);
    Ok(())
}

/// Serves one request.
fn connection(mut stream: TcpStream, server: &Context, stopped: &AtomicU32) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    let mut line = String::new();
    BufReader::new((&stream).take(LONGEST_LINE)).read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default();

    let request = server.with_timeout(LIMIT); // ctx, cancel := context.WithTimeout(…)
    let _cancel = request.clone().drop_guard(); // defer cancel()
    let answer = match pollster::block_on(request.run(handler(path, stopped))) {
        Ok(()) => "200 OK",
        Err(ContextError::DeadlineExceeded) => "504 Gateway Timeout",
        Err(_) => "503 Service Unavailable",
    };
    write!(
        stream,
        "HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )
}

/// Stands for a query. When its future is dropped at the deadline, it counts that.
async fn handler(path: &str, stopped: &AtomicU32) {
    struct Stop<'a>(&'a AtomicU32);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let unless_done = Stop(stopped);
    sleep(if path == "/quick" {
        ms(5)
    } else {
        ms(3_600_000)
    })
    .await;
    std::mem::forget(unless_done);
}

/// Returns the status of the answer, and after which time it came.
fn get(address: SocketAddr, path: &str) -> io::Result<(u32, Duration)> {
    let start = Instant::now();
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((status.unwrap_or_default(), start.elapsed()))
}

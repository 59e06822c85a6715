//! Servers of HTTP/1 with `header_read_timeout`.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use reveille::ManualClock;
use reveille::adapters::hyper::HyperTimer;
use reveille::rt::{Runtime, io::AsyncFd};
use reveille_ecosystem::{on_rt, on_tokio, watched};

use crate::ms;

const HOUR: Duration = Duration::from_secs(3600);
const LIMIT: Duration = ms(50);
const GOOD: &[u8] = b"POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 5\r\n\r\nhello";
const SLOW: &[u8] = b"GET / HTTP/1.1\r\nho";

/// Serves one connection that echoes.
async fn serve<I>(stream: I, limit: Duration) -> hyper::Result<()>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    http1::Builder::new()
        .timer(HyperTimer::new())
        .header_read_timeout(limit)
        .serve_connection(stream, service_fn(echo))
        .await
}

async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.expect("the whole body");
    Ok(Response::new(Full::new(body.to_bytes())))
}

/// What the clients of a server have seen.
struct Seen {
    answer: String,
    /// How long the slow client has waited for the end of its connection, and what it was sent.
    cut_off: Duration,
    to_slow: Vec<u8>,
}

/// A client that is served, and then one that does not finish its headers.
fn clients(address: std::net::SocketAddr) -> Seen {
    let mut good = TcpStream::connect(address).unwrap();
    good.write_all(GOOD).unwrap();
    let mut answer = [0; 1024];
    let len = good.read(&mut answer).unwrap();
    drop(good);

    let start = Instant::now();
    let mut slow = TcpStream::connect(address).unwrap();
    slow.write_all(SLOW).unwrap();
    let mut to_slow = Vec::new();
    slow.read_to_end(&mut to_slow).unwrap();
    Seen {
        answer: String::from_utf8_lossy(&answer[..len]).into_owned(),
        cut_off: start.elapsed(),
        to_slow,
    }
}

fn check(good: hyper::Result<()>, slow: hyper::Result<()>, seen: Seen) {
    assert!(
        seen.answer.starts_with("HTTP/1.1 200 OK"),
        "{}",
        seen.answer
    );
    assert!(seen.answer.ends_with("hello"), "{}", seen.answer);
    assert!(good.is_ok(), "{good:?}");
    assert!(slow.unwrap_err().is_timeout());
    assert_eq!(seen.to_slow, b"");
    assert!(seen.cut_off >= LIMIT, "{:?}", seen.cut_off);
}

#[test]
fn a_slow_client_is_cut_off_on_rt_alone() {
    on_rt(async {
        let listener = AsyncFd::new(TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
        let address = listener.get_ref().local_addr().unwrap();
        let clients = thread::spawn(move || clients(address));
        let mut ends = Vec::new();
        for limit in [HOUR, LIMIT] {
            let (stream, _) = listener.accept().await.unwrap();
            ends.push(serve(stream, limit).await);
        }
        let slow = ends.pop().unwrap();
        check(ends.pop().unwrap(), slow, clients.join().unwrap());
    });
}

#[test]
fn a_slow_client_is_cut_off_on_tokio() {
    on_tokio(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let clients = thread::spawn(move || clients(address));
        let mut ends = Vec::new();
        for limit in [HOUR, LIMIT] {
            let (stream, _) = listener.accept().await.unwrap();
            ends.push(serve(TokioIo::new(stream), limit).await);
        }
        let slow = ends.pop().unwrap();
        check(ends.pop().unwrap(), slow, clients.join().unwrap());
    });
}

#[test]
fn on_a_manual_clock_a_slow_client_is_cut_off_after_an_hour_at_once() {
    watched(|| {
        let clock = ManualClock::new();
        let start = clock.now();
        let runtime = Runtime::builder().worker_threads(1).clock(&clock).build();
        runtime.unwrap().block_on(async {
            let (stream, client) = UnixStream::pair().unwrap();
            let client = AsyncFd::new(client).unwrap();
            client.write_all(SLOW).await.unwrap();
            let end = serve(AsyncFd::new(stream).unwrap(), HOUR).await;
            assert!(end.unwrap_err().is_timeout());
            assert_eq!(client.read(&mut [0; 16]).await.unwrap(), 0);
        });
        assert_eq!(clock.now() - start, HOUR);
    });
}

#[test]
fn a_long_body_goes_both_ways() {
    on_rt(async {
        let (stream, client) = UnixStream::pair().unwrap();
        let server = reveille::rt::spawn(serve(AsyncFd::new(stream).unwrap(), HOUR));
        let body: Vec<u8> = (0..1_000_003_u32).map(|i| (i % 251) as u8).collect();

        let client = AsyncFd::new(client).unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(client).await.unwrap();
        let connection = reveille::rt::spawn(connection);
        let request = Request::post("/").header("host", "test");
        let request = request.body(Full::new(Bytes::from(body.clone()))).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let echoed = response.into_body().collect().await.unwrap().to_bytes();
        assert!(echoed == body, "{} bytes", echoed.len());

        drop(sender);
        connection.await.unwrap().unwrap();
        server.await.unwrap().unwrap();
    });
}

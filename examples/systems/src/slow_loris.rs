//! A server under attack by clients that send a header byte by byte, and the deadline that ends it.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use reveille::time::{self, Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::select;
use tokio::sync::Semaphore;

/// hyper's timer, on the timers of this crate.
#[derive(Clone, Copy, Debug)]
pub struct HyperTimer;

struct HyperSleep(time::Sleep);

impl hyper::rt::Timer for HyperTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(HyperSleep(time::sleep(duration)))
    }

    fn sleep_until(&self, at: std::time::Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(HyperSleep(time::sleep_until(at.into())))
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into_std()
    }
}

impl hyper::rt::Sleep for HyperSleep {}

impl Future for HyperSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

/// Serves one connection. A client has `header` for each of its headers, if that is given.
///
/// # Errors
///
/// If the connection breaks, or the header takes too long.
pub async fn connection<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    header: Option<Duration>,
) -> Result<(), hyper::Error> {
    let service =
        service_fn(async |_| Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("ok"))));
    http1::Builder::new()
        .timer(HyperTimer)
        // `None` turns the deadline off.
        .header_read_timeout(header)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

/// Serves as many connections at once as there are `places`. The others wait. If the system cannot
/// accept one, such as without a free descriptor, it is asked again after 100 ms.
pub async fn serve(
    listener: TcpListener,
    places: Arc<Semaphore>,
    header: Option<Duration>,
) -> Infallible {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // It is about one client, which has gone again.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            // The system is short of something, for now.
            Err(error) => {
                eprintln!("no client accepted: {error}");
                time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // Nobody closes the semaphore, so there is a place at some time.
        let place = places.clone().acquire_owned().await;
        tokio::spawn(async move {
            let _ = connection(stream, header).await;
            drop(place);
        });
    }
}

/// An attacker: sends the header of a request byte by byte, without end, until it is disconnected.
/// Returns how many bytes it has sent.
pub async fn attack<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, pause: Duration) -> u64 {
    let mut sent = 0;
    let header = b"GET / HTTP/1.1\r\nx-slow: ".iter().copied();
    for byte in header.chain(std::iter::repeat(b'a')) {
        let mut answer = [0; 256];
        let is_open = select! {
            read = stream.read(&mut answer) => matches!(read, Ok(n) if n > 0),
            () = time::sleep(pause) => stream.write_all(&[byte]).await.is_ok(),
        };
        if !is_open {
            break;
        }
        sent += 1;
    }
    sent
}

/// An honest client: returns whether it has got an answer.
///
/// # Errors
///
/// If the connection breaks.
pub async fn request(mut stream: TcpStream) -> io::Result<bool> {
    let request = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.starts_with("HTTP/1.1 200 "))
}

//! The pool of hyper-util's client.

use std::convert::Infallible;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use reveille::adapters::hyper::{HyperConnector, HyperExecutor, HyperTimer};
use reveille::rt::{self, io::AsyncFd};
use reveille_ecosystem::{on_rt, on_tokio, watched};
use tokio::sync::mpsc;

use crate::ms;

const IDLE: Duration = ms(50);

async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from("hello")))
}

/// Tells when a connection has begun or ended.
#[derive(Debug, PartialEq)]
enum Event {
    Begun,
    Ended(Instant),
}

async fn serve<I>(stream: I, events: mpsc::UnboundedSender<Event>)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    events.send(Event::Begun).unwrap();
    let connection = http1::Builder::new().serve_connection(stream, service_fn(hello));
    connection.await.unwrap();
    events.send(Event::Ended(Instant::now())).unwrap();
}

async fn get<C>(client: &Client<C, Empty<Bytes>>, uri: &str) -> Bytes
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let response = client.get(uri.parse().unwrap()).await.unwrap();
    response.into_body().collect().await.unwrap().to_bytes()
}

/// A client, the server that it is for, and what happens to the connections there.
struct Pair<C> {
    client: Client<C, Empty<Bytes>>,
    uri: String,
    events: mpsc::UnboundedReceiver<Event>,
}

impl<C: Connect + Clone + Send + Sync + 'static> Pair<C> {
    /// The connection ends once it has been idle for `IDLE`, while the client lives on. The next
    /// request takes a new one.
    async fn drops_an_idle_connection(mut self) {
        let start = Instant::now();
        assert_eq!(get(&self.client, &self.uri).await, "hello");
        assert_eq!(self.events.recv().await, Some(Event::Begun));
        match self.events.recv().await {
            Some(Event::Ended(at)) => assert!(at - start >= IDLE, "{:?}", at - start),
            other => panic!("the connection should have been dropped, not {other:?}"),
        }
        assert_eq!(get(&self.client, &self.uri).await, "hello");
        assert_eq!(self.events.recv().await, Some(Event::Begun));
    }

    /// Before that it is used again. The pool has it back a moment after the response, so the next
    /// request may be faster.
    async fn uses_a_connection_again(mut self) {
        let (mut requests, mut connections) = (0, 0);
        while requests == connections {
            assert_eq!(get(&self.client, &self.uri).await, "hello");
            requests += 1;
            while self.events.try_recv().is_ok() {
                connections += 1;
            }
            reveille::time::sleep(ms(1)).await;
        }
    }
}

fn on_rt_alone(idle: Duration) -> Pair<HyperConnector> {
    let listener = AsyncFd::new(TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
    let uri = format!("http://{}/", listener.get_ref().local_addr().unwrap());
    let (sender, events) = mpsc::unbounded_channel();
    rt::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            rt::spawn(serve(stream, sender.clone()));
        }
    });
    let client = Client::builder(HyperExecutor::new())
        .pool_timer(HyperTimer::new())
        .pool_idle_timeout(idle)
        .build(HyperConnector::new());
    Pair {
        client,
        uri,
        events,
    }
}

async fn on_tokio_sockets(idle: Duration) -> Pair<HttpConnector> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/", listener.local_addr().unwrap());
    let (sender, events) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(TokioIo::new(stream), sender.clone()));
        }
    });
    let client = Client::builder(TokioExecutor::new())
        .pool_timer(HyperTimer::new())
        .pool_idle_timeout(idle)
        .build(HttpConnector::new());
    Pair {
        client,
        uri,
        events,
    }
}

#[test]
fn an_idle_connection_is_dropped_on_rt_alone() {
    on_rt(async { on_rt_alone(IDLE).drops_an_idle_connection().await });
}

#[test]
fn an_idle_connection_is_dropped_on_tokio() {
    on_tokio(async {
        on_tokio_sockets(IDLE)
            .await
            .drops_an_idle_connection()
            .await
    });
}

#[test]
fn a_connection_is_used_again() {
    let hour = Duration::from_secs(3600);
    on_rt(async move { on_rt_alone(hour).uses_a_connection_again().await });
    on_tokio(async move { on_tokio_sockets(hour).await.uses_a_connection_again().await });
}

#[test]
fn a_client_is_used_from_outside_of_its_runtime() {
    watched(|| {
        let runtime = rt::Runtime::new().unwrap();
        let pair = runtime.block_on(async { on_rt_alone(IDLE) });
        let handle = runtime.handle();
        let client = Client::builder(HyperExecutor::with_runtime(handle.clone()))
            .build(HyperConnector::with_runtime(handle.clone()));
        // For the second request there is a connection, or not yet.
        for _ in 0..2 {
            assert_eq!(pollster::block_on(get(&client, &pair.uri)), "hello");
        }
    });
}

/// Connects to `uri` and returns the stream.
async fn connect(mut connector: HyperConnector, uri: &str) -> io::Result<AsyncFd<TcpStream>> {
    tower::Service::call(&mut connector, uri.parse().unwrap()).await
}

#[test]
fn the_connector_finds_what_an_address_names() {
    on_rt(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["127.0.0.1", "localhost"] {
            let stream = connect(HyperConnector::new(), &format!("http://{host}:{port}/")).await;
            let stream = stream.unwrap();
            assert_eq!(stream.get_ref().peer_addr().unwrap().port(), port);
            assert!(stream.get_ref().nodelay().unwrap());
        }
        // Some machines have no IPv6.
        if let Ok(listener) = TcpListener::bind("[::1]:0") {
            let uri = format!("http://[::1]:{}/", listener.local_addr().unwrap().port());
            let stream = connect(HyperConnector::new(), &uri).await.unwrap();
            assert!(stream.get_ref().peer_addr().unwrap().is_ipv6());
        }
    });
}

#[test]
fn the_connector_tells_why_there_is_no_connection() {
    on_rt(async {
        let kind = async |connector, uri| connect(connector, uri).await.unwrap_err().kind();
        let new = HyperConnector::new;
        assert_eq!(kind(new(), "/path").await, io::ErrorKind::InvalidInput);
        assert_eq!(
            kind(new(), "https://127.0.0.1/").await,
            io::ErrorKind::InvalidInput
        );
        let any = new().enforce_http(false);
        assert_eq!(
            kind(any.clone(), "ftp://127.0.0.1/").await,
            io::ErrorKind::InvalidInput
        );

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let uri = format!("https://127.0.0.1:{port}/");
        assert!(connect(any, &uri).await.is_ok());
        drop(listener);
        let uri = format!("http://127.0.0.1:{port}/");
        assert_eq!(kind(new(), &uri).await, io::ErrorKind::ConnectionRefused);

        // A listener whose queue is full drops what comes, so the client waits.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let uri = format!("http://{}/", listener.local_addr().unwrap());
        let limited = new().connect_timeout(ms(20));
        let mut streams = Vec::new();
        let error = loop {
            match connect(limited.clone(), &uri).await {
                Ok(stream) => streams.push(stream),
                Err(error) => break error,
            }
            assert!(streams.len() < 100);
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    });
}

//! HTTP/2, which spawns tasks and pings a silent peer.

use std::convert::Infallible;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, client, server};
use reveille::adapters::hyper::{HyperExecutor, HyperTimer};
use reveille::rt::{self, io::AsyncFd};
use reveille_ecosystem::on_rt;

use crate::ms;

async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    reveille::time::sleep(ms(1)).await;
    Ok(Response::new(Full::from("hello")))
}

#[test]
fn many_requests_share_a_connection() {
    on_rt(async {
        let (stream, peer) = UnixStream::pair().unwrap();
        let (stream, peer) = (AsyncFd::new(stream).unwrap(), AsyncFd::new(peer).unwrap());
        let connection = server::conn::http2::Builder::new(HyperExecutor::new())
            .timer(HyperTimer::new())
            .keep_alive_interval(ms(5))
            .serve_connection(stream, service_fn(hello));
        let connection = rt::spawn(connection);

        let builder = client::conn::http2::Builder::new(HyperExecutor::new());
        let (sender, client) = builder.handshake(peer).await.unwrap();
        let client = rt::spawn(client);
        let requests = (0..50).map(|_| {
            let mut sender = sender.clone();
            rt::spawn(async move {
                let request = Request::get("http://test/").body(Empty::<Bytes>::new());
                let response = sender.send_request(request.unwrap()).await.unwrap();
                response.into_body().collect().await.unwrap().to_bytes()
            })
        });
        let requests: Vec<_> = requests.collect();
        for request in requests {
            assert_eq!(request.await.unwrap(), "hello");
        }
        drop(sender);
        client.await.unwrap().unwrap();
        // An error if the client has closed its socket with a ping unread.
        let _ = connection.await.unwrap();
    });
}

#[test]
fn a_silent_peer_is_dropped() {
    on_rt(async {
        let (stream, _silent) = UnixStream::pair().unwrap();
        let start = Instant::now();
        let (sender, connection) = client::conn::http2::Builder::new(HyperExecutor::new())
            .timer(HyperTimer::new())
            .keep_alive_interval(ms(20))
            .keep_alive_timeout(ms(20))
            .keep_alive_while_idle(true)
            .handshake::<_, Empty<Bytes>>(AsyncFd::new(stream).unwrap())
            .await
            .unwrap();
        // Which of hyper's two tasks sees it first decides on the result.
        let _ = connection.await;
        assert!(start.elapsed() >= ms(40));
        drop(sender);
    });
}

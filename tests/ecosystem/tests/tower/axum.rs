//! `Deadline` under axum, over real sockets: a client calls a *front*, which calls a *back* for each
//! request.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::error_handling::HandleErrorLayer;
use axum::routing::get;
use axum::{Extension, Router};
use futures::{StreamExt, stream};
use http::{HeaderName, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use reveille::Context;
use reveille::adapters::tower::{
    BoxError, DeadlineBody, DeadlineHeader, DeadlineLayer, Elapsed, TimeoutHeaderError,
};
use reveille_ecosystem::on_tokio;
use tokio::sync::mpsc;
use tower::{Layer, ServiceBuilder, ServiceExt};

use crate::{HOUR, assert_elapsed, ms};

fn seconds() -> DeadlineHeader {
    DeadlineHeader::seconds(HeaderName::from_static("x-timeout"))
}

async fn status(error: BoxError) -> StatusCode {
    if error.is::<Elapsed>() {
        StatusCode::GATEWAY_TIMEOUT
    } else if error.is::<TimeoutHeaderError>() {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::INTERNAL_SERVER_ERROR
    }
}

/// Serves `router` with deadlines.
async fn serve(router: Router, deadline: DeadlineLayer) -> SocketAddr {
    let layers = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(status))
        .layer(deadline);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router.layer(layers)).await });
    address
}

/// Sends a request through a client with this layer.
async fn call(
    layer: DeadlineLayer,
    address: SocketAddr,
    path: &str,
    timeout: Option<&str>,
) -> Result<Response<DeadlineBody<Incoming>>, BoxError> {
    let client: Client<HttpConnector, Empty<Bytes>> =
        Client::builder(TokioExecutor::new()).build(HttpConnector::new());
    let mut request = Request::get(format!("http://{address}{path}"));
    if let Some(timeout) = timeout {
        request = request.header("x-timeout", timeout);
    }
    layer
        .layer(client)
        .oneshot(request.body(Empty::new())?)
        .await
}

/// Calls the front as a program without this crate does.
async fn get_front(
    address: SocketAddr,
    path: &str,
    timeout: &str,
) -> Response<DeadlineBody<Incoming>> {
    call(DeadlineLayer::new(), address, path, Some(timeout))
        .await
        .unwrap()
}

/// The handler of the back that never answers tells this when it is dropped.
struct Ended {
    context: Context,
    /// When it began.
    remaining: Option<Duration>,
    ended: mpsc::UnboundedSender<(Context, Option<Duration>)>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.ended.send((self.context.clone(), self.remaining));
    }
}

struct Servers {
    front: SocketAddr,
    back: SocketAddr,
    ended: mpsc::UnboundedReceiver<(Context, Option<Duration>)>,
}

async fn servers() -> Servers {
    let (sender, ended) = mpsc::unbounded_channel();
    let never = move |Extension(context): Extension<Context>| async move {
        let _ended = Ended {
            remaining: context.remaining(),
            context,
            ended: sender,
        };
        std::future::pending::<()>().await;
    };
    let left = |Extension(context): Extension<Context>| async move {
        format!("{}", context.remaining().is_some_and(|left| left <= HOUR))
    };
    let back = Router::new()
        .route("/never", get(never))
        .route("/left", get(left));
    let back = serve(
        back,
        DeadlineLayer::new().read(DeadlineHeader::grpc_timeout()),
    )
    .await;

    let ask = move |path: &'static str| {
        get(move || async move {
            let client = DeadlineLayer::new().send(DeadlineHeader::grpc_timeout());
            match call(client, back, path, None).await {
                Ok(response) => Ok(Body::new(response.into_body())),
                Err(error) => Err(status(error).await),
            }
        })
    };
    let drip = || async {
        let chunks = stream::iter([Ok::<_, BoxError>("chunk")]);
        Body::from_stream(chunks.chain(stream::pending()))
    };
    let front = Router::new()
        .route("/left", ask("/left"))
        .route("/never", ask("/never"))
        .route("/drip", get(drip));
    let front = serve(front, DeadlineLayer::new().read(seconds())).await;
    Servers { front, back, ended }
}

#[test]
fn a_deadline_travels_from_the_client_to_the_last_server() {
    on_tokio(async {
        let servers = servers().await;
        let response = get_front(servers.front, "/left", "3600").await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(
            response.into_body().collect().await.unwrap().to_bytes(),
            "true"
        );
    });
}

#[test]
fn all_servers_stop_at_the_deadline() {
    on_tokio(async {
        let mut servers = servers().await;
        let start = Instant::now();
        // Retried, because on a busy machine the time may be over before the back is called.
        loop {
            let response = get_front(servers.front, "/never", "0.05").await;
            assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
            assert!(start.elapsed() >= ms(50));
            let ended = reveille::time::timeout(ms(500), servers.ended.recv()).await;
            if let Ok(Some((context, remaining))) = ended {
                // Where the front has closed the connection first, the back drops the handler just
                // before it cancels the context.
                context.done().await;
                assert!(remaining.unwrap() <= ms(50), "{remaining:?}");
                break;
            }
        }
    });
}

#[test]
fn a_body_is_cut_off_at_the_deadline() {
    on_tokio(async {
        let servers = servers().await;
        let start = Instant::now();
        let mut body = get_front(servers.front, "/drip", "2").await.into_body();
        let chunk = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(chunk, "chunk");
        // The server breaks off the connection, since it cannot tell otherwise.
        body.frame().await.unwrap().unwrap_err();
        assert!(start.elapsed() >= ms(2000));
    });
}

#[test]
fn a_header_that_is_not_valid_is_refused() {
    on_tokio(async {
        let servers = servers().await;
        let response = get_front(servers.front, "/left", "soon").await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    });
}

#[test]
fn a_server_stops_when_its_client_is_gone() {
    on_tokio(async {
        let mut servers = servers().await;
        // Retried, because on a busy machine the client may be gone before it is served.
        let (context, remaining) = loop {
            let impatient = DeadlineLayer::new().limit(ms(50));
            // The server is not told about the limit.
            let error = call(impatient, servers.back, "/never", None).await;
            assert_elapsed(&error.unwrap_err());
            let ended = reveille::time::timeout(ms(500), servers.ended.recv()).await;
            if let Ok(Some(ended)) = ended {
                break ended;
            }
        };
        context.done().await;
        assert_eq!(remaining, None);
    });
}

/// The same router, without tokio.
#[cfg(target_os = "linux")]
#[test]
fn a_router_of_axum_runs_on_rt_alone() {
    use hyper::server::conn::http1;
    use hyper_util::service::TowerToHyperService;
    use reveille::adapters::hyper::HyperTimer;
    use reveille::rt::{self, io::AsyncFd};
    use std::os::unix::net::UnixStream;

    reveille_ecosystem::on_rt(async {
        let layers = ServiceBuilder::new()
            .layer(HandleErrorLayer::new(status))
            .layer(DeadlineLayer::new().read(seconds()));
        let router = Router::new()
            .route("/", get(|| async { "hello" }))
            .route("/never", get(std::future::pending::<()>))
            .layer(layers);
        let (stream, client) = UnixStream::pair().unwrap();
        let (stream, client) = (AsyncFd::new(stream).unwrap(), AsyncFd::new(client).unwrap());
        rt::spawn(
            http1::Builder::new()
                .timer(HyperTimer::new())
                .serve_connection(stream, TowerToHyperService::new(router)),
        );
        let (mut sender, connection) = hyper::client::conn::http1::handshake(client).await.unwrap();
        rt::spawn(connection);
        for (path, timeout, expected) in [
            ("/", "3600", StatusCode::OK),
            ("/never", "0.05", StatusCode::GATEWAY_TIMEOUT),
        ] {
            let request = Request::get(path).header("host", "test");
            let request = request.header("x-timeout", timeout);
            let request = request.body(Empty::<Bytes>::new()).unwrap();
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.status(), expected);
            response.into_body().collect().await.unwrap();
        }
    });
}

//! The handler's deadline on a manual clock: a hyper client and server, over a pipe in memory.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::future::pending;

use futures_util::future::{Either, join, select};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, client};
use hyper_util::rt::TokioIo;
use reveille::time::{Duration, Instant, sleep, timeout};
use reveille::{Context, ManualClock};
use reveille_systems::http_deadline::{TIMEOUT, serve};

type Sender = client::conn::http1::SendRequest<Empty<Bytes>>;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Runs a client against a server with a limit of 100 ms.
fn with_server<F: Future, W>(
    server: &Context,
    work: impl Fn(Request<Incoming>) -> W + Clone,
    client: impl FnOnce(Sender) -> F,
) -> F::Output
where
    W: Future<Output = Result<String, Box<dyn Error + Send + Sync>>>,
{
    let (output, _) = ManualClock::new().simulate(async {
        let (near, far) = tokio::io::duplex(1 << 12);
        let (sender, connection) = client::conn::http1::handshake(TokioIo::new(far))
            .await
            .unwrap();
        let both = join(serve(near, server, ms(100), work), connection);
        let client = client(sender);
        let ended = async {
            match select(Box::pin(client), Box::pin(both)).await {
                Either::Left((output, _)) => output,
                // Both ends are closed; the client still has something to look at.
                Either::Right((_, client)) => client.await,
            }
        };
        timeout(Duration::from_secs(3600), ended).await
    });
    output.expect("nothing waits for an hour")
}

/// Sends a request. Returns the status and the body of its answer, and after how many milliseconds
/// it came.
async fn get(client: &mut Sender, gives: Option<&str>) -> (u16, String, u128) {
    let start = Instant::now();
    let mut request = Request::get("/").header("host", "localhost");
    if let Some(seconds) = gives {
        request = request.header(TIMEOUT, seconds);
    }
    let request = request.body(Empty::new()).unwrap();
    let response = client.send_request(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    (status, body, start.elapsed().as_millis())
}

/// Notes when the work that owns it has ended.
struct Stop<'a>(&'a RefCell<Vec<u128>>, Instant);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.borrow_mut().push(self.1.elapsed().as_millis());
    }
}

#[test]
fn a_handler_ends_at_its_deadline_or_that_of_the_client_with_504() {
    let (takes, stopped) = (Cell::new(50), RefCell::new(Vec::new()));
    let work = |_| async {
        let _stop = Stop(&stopped, Instant::now());
        sleep(ms(takes.get())).await;
        Ok("done".to_owned())
    };
    with_server(&Context::background(), work, async |mut client| {
        let quick = get(&mut client, None).await;
        assert_eq!(quick, (200, "done".to_owned(), 50));
        takes.set(3_600_000);
        let slow = get(&mut client, None).await;
        assert_eq!((slow.0, slow.2), (504, 100));
        let (status, _, took) = get(&mut client, Some("0.03")).await;
        assert_eq!((status, took), (504, 30));
        // A client cannot have more than the server gives.
        let (status, _, took) = get(&mut client, Some("60")).await;
        assert_eq!((status, took), (504, 100));
        let (status, _, took) = get(&mut client, Some("soon")).await;
        assert_eq!((status, took), (400, 0));
    });
    // When the answer came, the work had stopped.
    assert_eq!(*stopped.borrow(), [50, 100, 30, 100]);
}

#[test]
fn what_the_handler_has_spawned_finds_the_context_at_its_end() {
    let spawned = RefCell::new(None);
    let work = |_| {
        spawned.replace(Context::current());
        async {
            spawned.replace(Context::current());
            pending().await
        }
    };
    with_server(&Context::background(), work, async |mut client| {
        assert_eq!(get(&mut client, None).await.0, 504);
    });
    assert!(spawned.take().unwrap().is_done());
}

#[test]
fn a_client_that_hangs_up_stops_the_work() {
    let stopped = RefCell::new(Vec::new());
    let spawned = RefCell::new(None);
    let work = |_| async {
        let _stop = Stop(&stopped, Instant::now());
        spawned.replace(Context::current());
        pending().await
    };
    with_server(&Context::background(), work, async |mut client| {
        assert!(timeout(ms(20), get(&mut client, None)).await.is_err());
        drop(client);
        sleep(ms(10)).await;
        assert_eq!(*stopped.borrow(), [20]);
        assert!(spawned.take().unwrap().is_done());
    });
}

#[test]
fn a_server_that_shuts_down_answers_503_at_once() {
    let server = Context::background();
    let work = |_| pending();
    with_server(&server, work, async |mut client| {
        let stop = async {
            sleep(ms(40)).await;
            server.cancel_with("shutting down");
        };
        let (answer, ()) = join(get(&mut client, None), stop).await;
        assert_eq!(answer, (503, "shutting down".to_owned(), 40));
    });
}

/// Work that asks the context gives up at the same time as the handler.
#[test]
fn work_that_gives_up_at_the_deadline_is_answered_with_504_and_other_errors_with_500() {
    let work = |request: Request<Incoming>| async move {
        if request.headers().contains_key(TIMEOUT) {
            Context::current().unwrap().done().await;
        }
        Err("given up".into())
    };
    with_server(&Context::background(), work, async |mut client| {
        let (status, _, took) = get(&mut client, Some("0.03")).await;
        assert_eq!((status, took), (504, 30));
        let answer = get(&mut client, None).await;
        assert_eq!(answer, (500, "given up".to_owned(), 0));
    });
}

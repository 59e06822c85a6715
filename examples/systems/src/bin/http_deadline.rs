//! A hyper server whose handlers have a deadline: it answers 504, and the work has stopped.
//!
//! ```sh
//! cargo run --release --manifest-path examples/systems/Cargo.toml \
//!     --target-dir target/systems --bin http_deadline
//! ```
//!
//! The handler gives its work to a thread that computes, as a query or an image would be. That
//! thread cannot be dropped. It asks the request's context now and then, and ends when that has.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, client};
use hyper_util::rt::TokioIo;
use reveille::Context;
use reveille::time::{Duration, Instant, sleep};
use reveille_systems::http_deadline::{TIMEOUT, serve};
use tokio::net::{TcpListener, TcpStream};

const LIMIT: Duration = Duration::from_millis(300);

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let computing = Arc::new(AtomicUsize::new(0));
    let threads = computing.clone();
    tokio::spawn(async move {
        let server = Context::background();
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // The client is gone again, or the system is short of something, for now.
                sleep(Duration::from_millis(100)).await;
                continue;
            };
            let (server, threads) = (server.clone(), threads.clone());
            tokio::spawn(async move {
                let work = |request: Request<Incoming>| compute(request, threads.clone());
                serve(stream, &server, LIMIT, work).await
            });
        }
    });

    println!("A server with a limit of {LIMIT:?} for each request:");
    let stream = TcpStream::connect(address).await?;
    let (mut client, connection) = client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut good = true;
    // The path is how many milliseconds the work takes; then what the client gives.
    for (path, gives, expected, least) in [
        ("/5", None, 200, 5),
        ("/3600000", None, 504, 300),
        ("/3600000", Some("0.02"), 504, 20),
        ("/5", Some("soon"), 400, 0),
    ] {
        let mut request = Request::get(path).header("host", "localhost");
        if let Some(seconds) = gives {
            request = request.header(TIMEOUT, seconds);
        }
        client.ready().await?;
        let start = Instant::now();
        let response = client
            .send_request(request.body(Empty::<Bytes>::new())?)
            .await?;
        let took = start.elapsed();
        let status = response.status();
        println!("  GET {path}, client gives {gives:?}: {status} after {took:.1?}");
        response.into_body().collect().await?; // the connection is free for the next one
        good &= status == expected && took >= Duration::from_millis(least);
    }
    // The threads look each millisecond, so those of the 504s end soon.
    let patience = Instant::now() + Duration::from_secs(30);
    while computing.load(Ordering::SeqCst) > 0 && Instant::now() < patience {
        sleep(Duration::from_millis(1)).await;
    }
    let left = computing.load(Ordering::SeqCst);
    println!("  threads that still compute: {left}");
    match good && left == 0 {
        true => println!("OK: 504 at the deadline, and the work has stopped."),
        false => println!("FAILED"),
    }
    Ok(if good && left == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Computes for as many milliseconds as the path says, in a thread of its own.
async fn compute(
    request: Request<Incoming>,
    threads: Arc<AtomicUsize>,
) -> Result<String, Box<dyn Error + Send + Sync>> {
    let millis = request.uri().path().trim_start_matches('/').parse()?;
    let context = Context::current().ok_or("no context")?;
    threads.fetch_add(1, Ordering::SeqCst);
    let result = tokio::task::spawn_blocking(move || {
        let end = Instant::now() + Duration::from_millis(millis);
        while Instant::now() < end && !context.is_done() {
            std::thread::sleep(Duration::from_millis(1)); // a step of the work
        }
        threads.fetch_sub(1, Ordering::SeqCst);
        context.err().map_or_else(|| Ok("computed".to_owned()), Err)
    });
    Ok(result.await??)
}

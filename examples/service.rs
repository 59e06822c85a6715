//! A service on `rt`, with other crates for what `rt` does not bring.
//!
//! - `async-net`: sockets, on every system
//! - `async-channel`: a queue of bounded length between connections and workers
//! - `futures`: `select!`, and reading line by line
//! - `ctrlc`: a signal that ends the service
//!
//! A client sends lines, and gets each back in capitals. The work takes some milliseconds and is
//! done by four tasks. Time limits what clients can do: a client may be idle for so long, a request
//! may take so long, with its wait in the queue, and at the end there is some time for the requests
//! that have begun.
//!
//! ```sh
//! cargo run --release --features service --example service                      # with clients
//! cargo run --release --features service --example service -- 127.0.0.1:7000    # until Ctrl-C
//! ```

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use async_net::{TcpListener, TcpStream};
use futures::channel::oneshot;
use futures::future::try_join_all;
use futures::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use futures::{StreamExt, select};
use reveille::FutureExt as _;
use reveille::rt::{self, Runtime};
use reveille::time::{interval, sleep, timeout};

const IDLE: Duration = Duration::from_secs(1);
const REQUEST: Duration = Duration::from_secs(1);
const GRACE: Duration = Duration::from_secs(2);
const REPORT: Duration = Duration::from_millis(100);
const WORKERS: usize = 4;
/// How many requests may wait. Beyond that, connections wait before they read the next line.
const QUEUE: usize = 16;

/// A line, and where its answer goes.
type Job = (String, oneshot::Sender<String>);

fn main() -> Result<(), Box<dyn Error>> {
    let (stop, stopped) = async_channel::bounded(1);
    let by_signal = stop.clone();
    // The handler has a thread of its own. A second Ctrl-C finds the channel full, or closed.
    ctrlc::set_handler(move || {
        let _ = by_signal.try_send(());
    })?;

    let address = std::env::args().nth(1);
    Runtime::new()?.block_on(async {
        let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:0")).await?;
        let local = listener.local_addr()?;
        println!("listening on {local}");
        if address.is_some() {
            return serve(listener, stopped).await;
        }
        let clients = async {
            // In a task, so that the service is stopped also if a client panics.
            let result = rt::spawn(demonstrate(local)).await;
            let _ = stop.send(()).await;
            result
        };
        let (served, demonstrated) = futures::join!(serve(listener, stopped), clients);
        served?;
        Ok(demonstrated??)
    })
}

/// Serves until `stopped`, then lets the connections end.
async fn serve(listener: TcpListener, stopped: Receiver<()>) -> Result<(), Box<dyn Error>> {
    let (jobs, queue) = async_channel::bounded::<Job>(QUEUE);
    for _ in 0..WORKERS {
        rt::spawn(work(queue.clone()));
    }
    // Nothing is sent through these. Each connection has a sender of the first, so that receiving
    // fails once all have ended, and a receiver of the second, so that its end reaches all of them.
    let (open, closed) = async_channel::bounded::<Infallible>(1);
    let (end, ended) = async_channel::bounded::<Infallible>(1);

    let mut incoming = listener.incoming().fuse();
    let mut stopped = pin!(stopped);
    let mut report = interval(REPORT);
    loop {
        select! {
            client = incoming.select_next_some() => match client {
                Ok(client) => {
                    let (jobs, open, ended) = (jobs.clone(), open.clone(), ended.clone());
                    rt::spawn(async move {
                        if let Err(error) = connection(client, jobs, ended).await {
                            println!("a client is disconnected: {error}");
                        }
                        drop(open);
                    });
                }
                // The system is short of something, for now.
                Err(error) => {
                    println!("no client accepted: {error}");
                    sleep(REPORT).await;
                }
            },
            _ = report.select_next_some() => println!(
                "clients: {}, requests in the queue: {}",
                open.sender_count() - 1,
                jobs.len(),
            ),
            _ = stopped.next() => break,
        }
    }

    println!("stopping");
    drop((incoming, open, end));
    // Otherwise the system would still take clients, whom nobody serves.
    drop(listener);
    match timeout(GRACE, closed.recv()).await {
        Ok(_) => println!("all clients have their answers"),
        Err(_) => println!("gave up on {} clients", closed.sender_count()),
    }
    Ok(())
}

/// Answers one client, line by line, until it closes, is idle for too long, or the service ends.
async fn connection(
    client: TcpStream,
    jobs: Sender<Job>,
    ended: Receiver<Infallible>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut answers = client.clone();
    let mut lines = BufReader::new(client).lines().fuse();
    let mut ended = pin!(ended);
    loop {
        let line = select! {
            // The limit begins anew with each line, after the answer to the one before: a client
            // that waits for its answer is not idle.
            line = lines.next().timeout(IDLE) => match line.map_err(|_| "it was idle")? {
                Some(line) => line?,
                None => return Ok(()),
            },
            _ = ended.next() => return Ok(()),
        };
        let answered = async {
            let (answer, answered) = oneshot::channel();
            jobs.send((line, answer)).await.map_err(io::Error::other)?;
            answered.await.map_err(io::Error::other)
        };
        let answer = answered
            .timeout(REQUEST)
            .await
            .map_err(|_| "too much to do")??;
        let written = answers.write_all(answer.as_bytes());
        written
            .timeout(IDLE)
            .await
            .map_err(|_| "it does not read")??;
    }
}

/// Does jobs until no connection can send one any more.
async fn work(queue: Receiver<Job>) {
    let mut queue = pin!(queue);
    while let Some((line, answer)) = queue.next().await {
        // Stands for a query, or a call of another service.
        sleep(Duration::from_millis(5)).await;
        // Fails if the request has taken too long, and the client is gone.
        let _ = answer.send(line.to_uppercase() + "\n");
    }
}

/// Connects clients, one of which falls silent, and waits for the end of all of them.
async fn demonstrate(address: SocketAddr) -> io::Result<()> {
    let silent = TcpStream::connect(address).await?;
    let clients = (0..20).map(|client| async move {
        let mut stream = TcpStream::connect(address).await?;
        let mut answers = BufReader::new(stream.clone()).lines();
        for request in 0..10 {
            let line = format!("client {client}, request {request}");
            stream.write_all((line.clone() + "\n").as_bytes()).await?;
            let answer = answers.next().await.transpose()?;
            assert_eq!(answer, Some(line.to_uppercase()));
        }
        Ok::<_, io::Error>(())
    });
    try_join_all(clients).await?;
    // Until the silent one is disconnected.
    let end = BufReader::new(silent).lines().next().await;
    assert!(end.is_none());
    Ok(())
}

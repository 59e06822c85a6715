//! Tests of sockets and pipes on the executor, which waits for timers and I/O at once.

#![cfg(all(not(loom), feature = "io", target_os = "linux"))]

mod datagrams;
mod ends;
mod manual_clock;
mod mode;
mod outlive;
mod sharing;
mod streams;
#[path = "../support/mod.rs"]
mod support;

use std::future::poll_fn;
use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read, Write, pipe};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::task::Poll;
use std::thread;

use futures::future::join_all;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use reveille::FutureExt;
use reveille::rt::{self, Runtime, io::AsyncFd};
use reveille::time::{sleep, timeout};

use support::{Count, OnDrop, alone, alone_with, keeps_only, ms, panic_of, secs, watched};

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().worker_threads(workers).build().unwrap()
}

/// Runs `test` on one worker and on several.
fn on_each(test: impl AsyncFn() + Send + Sync + 'static) {
    watched(move || {
        for workers in [1, 2, 4] {
            runtime(workers).block_on(test());
        }
    });
}

fn listen() -> (AsyncFd<TcpListener>, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (AsyncFd::new(listener).unwrap(), address)
}

fn stream(stream: TcpStream) -> AsyncFd<TcpStream> {
    AsyncFd::new(stream).unwrap()
}

/// Returns the two ends of a connection.
fn connection() -> (AsyncFd<TcpStream>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let listener = AsyncFd::new(listener).unwrap();
    (pollster::block_on(listener.accept()).unwrap().0, there)
}

fn piped() -> (AsyncFd<PipeReader>, PipeWriter) {
    let (reader, writer) = pipe().unwrap();
    (AsyncFd::new(reader).unwrap(), writer)
}

async fn echo(stream: AsyncFd<TcpStream>) -> io::Result<()> {
    let mut buffer = [0; 512];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            len => stream.write_all(&buffer[..len]).await?,
        }
    }
}

#[test]
fn hundreds_of_connections_work_at_once() {
    on_each(async || {
        const CLIENTS: usize = 300;
        let (listener, address) = listen();
        let server = rt::spawn(async move {
            for _ in 0..CLIENTS {
                let (client, _) = listener.accept().await?;
                rt::spawn(echo(client));
            }
            Ok::<_, io::Error>(())
        });
        let clients = (0..CLIENTS).map(|client| {
            rt::spawn(async move {
                let server = AsyncFd::connect(address).await.unwrap();
                let mut answer = [0; 64];
                for round in 0..10 {
                    let request = format!("{client} {round}");
                    server.write_all(request.as_bytes()).await.unwrap();
                    let len = server.read(&mut answer).await.unwrap();
                    assert_eq!(&answer[..len], request.as_bytes());
                }
            })
        });
        for client in join_all(clients).await {
            client.unwrap();
        }
        server.await.unwrap().unwrap();
    });
}

#[test]
fn a_read_can_be_given_up_after_a_timeout_and_begun_again() {
    on_each(async || {
        let (here, mut there) = connection();
        let mut buffer = [0; 8];
        for _ in 0..3 {
            let late = here.read(&mut buffer).timeout(ms(1)).await;
            assert!(late.is_err());
        }
        there.write_all(b"at last").unwrap();
        let len = here.read(&mut buffer).timeout(secs(60)).await;
        assert_eq!(len.unwrap().unwrap(), 7);
    });
}

#[test]
fn io_and_timers_wake_the_same_worker() {
    on_each(async || {
        let (reader, writer) = piped();
        let writing = rt::spawn(async move {
            for _ in 0..20 {
                sleep(ms(1)).await;
                (&writer).write_all(b"x").unwrap();
            }
        });
        let mut read = 0;
        while read < 20 {
            read += reader
                .read_with(|mut io| io.read(&mut [0; 3]))
                .await
                .unwrap();
        }
        writing.await.unwrap();
        assert_eq!(
            reader.read_with(|mut io| io.read(&mut [0])).await.unwrap(),
            0
        );
    });
}

#[test]
fn a_busy_worker_polls_io() {
    watched(|| {
        for workers in [1, 2] {
            runtime(workers).block_on(async move {
                let busy: Vec<_> = (0..workers * 2)
                    .map(|_| {
                        rt::spawn(async {
                            loop {
                                rt::yield_now().await;
                            }
                        })
                    })
                    .collect();
                let (reader, mut writer) = piped();
                let thread = thread::spawn(move || writer.write_all(b"x").unwrap());
                reader.readable().await.unwrap();
                thread.join().unwrap();
                busy.iter().for_each(rt::JoinHandle::abort);
            });
        }
    });
}

#[test]
fn a_descriptor_that_is_always_ready_does_not_starve_tasks_and_timers() {
    watched(|| {
        runtime(1).block_on(async {
            let (reader, _writer) = piped();
            let greedy = rt::spawn(async move {
                loop {
                    reader.read_with(|_| Ok(())).await.unwrap();
                }
            });
            sleep(ms(1)).await;
            rt::spawn(async {}).await.unwrap();
            greedy.abort();
        });
    });
}

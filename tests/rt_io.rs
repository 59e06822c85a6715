//! Do sockets and pipes wake the tasks of the executor, in the wait that its timers have anyway?

#![cfg(all(not(loom), feature = "poll", target_os = "linux"))]

mod support;

use std::future::poll_fn;
use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read, Write, pipe};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::task::Poll;
use std::thread;

use futures::future::join_all;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use reveille::FutureExt;
use reveille::rt::{self, Runtime, io::AsyncFd};
use reveille::time::{sleep, timeout};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use support::{Count, OnDrop, ms, panic_of, secs, watched};

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
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    (AsyncFd::new(listener).unwrap(), address)
}

fn stream(stream: TcpStream) -> AsyncFd<TcpStream> {
    stream.set_nonblocking(true).unwrap();
    AsyncFd::new(stream).unwrap()
}

/// Two ends of a connection.
fn connection() -> (AsyncFd<TcpStream>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (stream(listener.accept().unwrap().0), there)
}

/// A connection that is made without blocking.
async fn connect(address: SocketAddr) -> io::Result<AsyncFd<TcpStream>> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let stream = AsyncFd::new(TcpStream::from(socket))?;
    stream.writable().await?;
    match stream.get_ref().take_error()? {
        Some(error) => Err(error),
        None => Ok(stream),
    }
}

fn piped() -> (AsyncFd<PipeReader>, PipeWriter) {
    let (reader, writer) = pipe().unwrap();
    rustix::io::ioctl_fionbio(&reader, true).unwrap();
    (AsyncFd::new(reader).unwrap(), writer)
}

async fn read(stream: &AsyncFd<TcpStream>, buffer: &mut [u8]) -> io::Result<usize> {
    stream.read_with(|mut stream| stream.read(buffer)).await
}

async fn write_all(stream: &AsyncFd<TcpStream>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let len = stream.write_with(|mut stream| stream.write(bytes)).await?;
        bytes = &bytes[len..];
    }
    Ok(())
}

async fn echo(stream: AsyncFd<TcpStream>) -> io::Result<()> {
    let mut buffer = [0; 512];
    loop {
        match read(&stream, &mut buffer).await? {
            0 => return Ok(()),
            len => write_all(&stream, &buffer[..len]).await?,
        }
    }
}

#[test]
fn hundreds_of_connections_are_served_at_once() {
    on_each(async || {
        const CLIENTS: usize = 300;
        let (listener, address) = listen();
        let server = rt::spawn(async move {
            for _ in 0..CLIENTS {
                let (client, _) = listener.read_with(|listener| listener.accept()).await?;
                rt::spawn(echo(stream(client)));
            }
            Ok::<_, io::Error>(())
        });
        let clients = (0..CLIENTS).map(|client| {
            rt::spawn(async move {
                let server = connect(address).await.unwrap();
                let mut answer = [0; 64];
                for round in 0..10 {
                    let request = format!("{client} {round}");
                    write_all(&server, request.as_bytes()).await.unwrap();
                    let len = read(&server, &mut answer).await.unwrap();
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
fn datagrams_arrive() {
    on_each(async || {
        let bound = || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_nonblocking(true).unwrap();
            AsyncFd::new(socket).unwrap()
        };
        let (here, there) = (bound(), bound());
        let address = there.get_ref().local_addr().unwrap();
        let answering = rt::spawn(async move {
            let mut buffer = [0; 16];
            loop {
                let received = there
                    .read_with(|socket| socket.recv_from(&mut buffer))
                    .await;
                let (len, from) = received.unwrap();
                let sent = there.write_with(|socket| socket.send_to(&buffer[..len], from));
                sent.await.unwrap();
            }
        });
        for round in 0..100u32 {
            let request = round.to_le_bytes();
            let sent = here.write_with(|socket| socket.send_to(&request, address));
            sent.await.unwrap();
            let mut answer = [0; 4];
            let received = here.read_with(|socket| socket.recv(&mut answer));
            assert_eq!((received.await.unwrap(), answer), (4, request));
        }
        answering.abort();
    });
}

#[test]
fn a_read_that_takes_too_long_is_given_up_and_begun_again() {
    on_each(async || {
        let (here, mut there) = connection();
        let mut buffer = [0; 8];
        for _ in 0..3 {
            let late = read(&here, &mut buffer).timeout(ms(1)).await;
            assert!(late.is_err());
        }
        there.write_all(b"at last").unwrap();
        let len = read(&here, &mut buffer).timeout(secs(60)).await;
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
fn a_busy_worker_collects_io() {
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
fn a_descriptor_that_is_always_ready_lets_tasks_and_timers_have_their_turn() {
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

#[test]
fn every_task_that_waits_for_a_descriptor_is_woken() {
    on_each(async || {
        let (reader, writer) = piped();
        let (reader, woken) = (Arc::new(reader), Count::default());
        let tasks: Vec<_> = (0..10)
            .map(|_| {
                let (reader, woken) = (reader.clone(), woken.clone());
                rt::spawn(async move {
                    reader.readable().await.unwrap();
                    woken.add();
                })
            })
            .collect();
        rt::yield_now().await;
        assert_eq!(woken.get(), 0);
        (&writer).write_all(b"x").unwrap();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(woken.get(), 10);
    });
}

#[test]
fn two_tasks_share_what_arrives() {
    on_each(async || {
        let (here, mut there) = connection();
        let here = Arc::new(here);
        let readers = [(); 2].map(|()| {
            let here = here.clone();
            rt::spawn(async move {
                let mut sum = 0;
                loop {
                    match read(&here, &mut [0; 100]).await.unwrap() {
                        0 => return sum,
                        len => sum += len,
                    }
                }
            })
        });
        let thread = thread::spawn(move || {
            for _ in 0..100 {
                there.write_all(&[0; 1000]).unwrap();
            }
        });
        let [one, other] = readers;
        assert_eq!(one.await.unwrap() + other.await.unwrap(), 100_000);
        thread.join().unwrap();
    });
}

#[test]
fn one_task_reads_while_another_writes() {
    on_each(async || {
        let (here, there) = connection();
        let (here, there) = (Arc::new(here), Arc::new(stream(there)));
        const TOTAL: usize = 1 << 21;
        let tasks = [here, there].map(|end| {
            let reading = end.clone();
            let reader = rt::spawn(async move {
                let (mut sum, mut buffer) = (0, vec![0; 5000]);
                while sum < TOTAL {
                    sum += read(&reading, &mut buffer).await.unwrap();
                }
                sum
            });
            let writer = rt::spawn(async move { write_all(&end, &vec![7; TOTAL]).await });
            (reader, writer)
        });
        for (reader, writer) in tasks {
            writer.await.unwrap().unwrap();
            assert_eq!(reader.await.unwrap(), TOTAL);
        }
    });
}

#[test]
fn a_hang_up_ends_reading_and_writing() {
    on_each(async || {
        let (here, there) = connection();
        while (&mut here.get_ref()).write(&[0; 4096]).is_ok() {}
        let here = Arc::new(here);
        let reading = here.clone();
        let reader = rt::spawn(async move { read(&reading, &mut [0]).await });
        let writer = rt::spawn(async move { write_all(&here, &vec![0; 1 << 24]).await });
        rt::yield_now().await;
        // With data unread, this resets the connection.
        drop(there);
        let _end_or_reset = reader.await.unwrap();
        let error = writer.await.unwrap().unwrap_err();
        let kinds = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
        assert!(kinds.contains(&error.kind()), "{error}");
    });
}

#[test]
fn one_direction_ends_and_the_other_goes_on() {
    on_each(async || {
        let (here, mut there) = connection();
        let waiting = rt::spawn(async move {
            let end = read(&here, &mut [0]).await.unwrap();
            write_all(&here, b"still").await.unwrap();
            end
        });
        there.shutdown(Shutdown::Write).unwrap();
        assert_eq!(waiting.await.unwrap(), 0);
        let mut rest = String::new();
        there.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "still");
    });
}

#[test]
fn a_task_that_is_aborted_while_it_waits_closes_its_descriptor() {
    on_each(async || {
        let (here, mut there) = connection();
        let dropped = Count::default();
        let counted = dropped.clone();
        let task = rt::spawn(async move {
            let _guard = OnDrop(|| counted.add());
            read(&here, &mut [0]).await
        });
        rt::yield_now().await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!((dropped.get(), there.read(&mut [0]).unwrap()), (1, 0));
    });
}

#[test]
fn a_descriptor_dropped_under_a_polling_task_wakes_nobody() {
    on_each(async || {
        let (reader, mut writer) = piped();
        let mut reader = Some(reader);
        let registered = poll_fn(|cx| {
            let polled = reader.as_ref().unwrap().poll_readable(cx);
            Poll::Ready(polled.is_pending())
        });
        assert!(registered.await);
        reader.take();
        assert_eq!(
            writer.write_all(b"x").unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
        // The same number and key for the next one, and nothing of the old one's.
        let (next, mut writer) = piped();
        let early = timeout(ms(1), next.readable()).await;
        assert!(early.is_err());
        writer.write_all(b"x").unwrap();
        next.readable().await.unwrap();
    });
}

#[test]
fn a_descriptor_is_waited_for_on_another_executor() {
    watched(|| {
        let runtime = runtime(2);
        let entered = runtime.enter();
        let (reader, mut writer) = piped();
        drop(entered);
        let thread = thread::spawn(move || {
            pollster::block_on(reader.readable()).unwrap();
            reader
        });
        writer.write_all(b"x").unwrap();
        let reader = thread.join().unwrap();
        assert_eq!(reader.get_ref().read(&mut [0; 2]).unwrap(), 1);
    });
}

#[test]
fn who_waits_when_the_runtime_ends_learns_that_it_has() {
    watched(|| {
        for workers in [1, 2] {
            let runtime = runtime(workers);
            let (reader, _writer) = {
                let _entered = runtime.enter();
                piped()
            };
            let inside = runtime.spawn(async {
                let (reader, _writer) = piped();
                reader.readable().await
            });
            let reader = Arc::new(reader);
            let waiting = reader.clone();
            let waiter = thread::spawn(move || pollster::block_on(waiting.readable()));
            drop(runtime);
            let error = waiter.join().unwrap().unwrap_err();
            assert!(error.to_string().contains("is gone"), "{error}");
            assert!(pollster::block_on(inside).unwrap_err().is_cancelled());
            // And who comes later, too; what needs no waiting still works.
            let operation = |mut io: &PipeReader| io.read(&mut [0]);
            let nothing = reader.read_with(|_| Err::<(), _>(ErrorKind::WouldBlock.into()));
            let error = pollster::block_on(nothing).unwrap_err();
            assert!(error.to_string().contains("is gone"), "{error}");
            (&_writer).write_all(b"x").unwrap();
            assert_eq!(pollster::block_on(reader.read_with(operation)).unwrap(), 1);
        }
    });
}

#[test]
fn a_connection_is_made_without_blocking() {
    on_each(async || {
        let (listener, address) = listen();
        let client = connect(address).await.unwrap();
        let accepted = listener.read_with(|listener| listener.accept()).await;
        let (server, _) = accepted.unwrap();
        drop(client);
        assert_eq!(read(&stream(server), &mut [0]).await.unwrap(), 0);

        drop(listener);
        let error = connect(address).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn crates_with_a_reactor_of_their_own_work_beside() {
    on_each(async || {
        let listener = smol::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = rt::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 5];
            stream.read_exact(&mut request).await.unwrap();
            sleep(ms(1)).await;
            stream.write_all(&request).await.unwrap();
        });
        let mut client = smol::Async::<TcpStream>::connect(address).await.unwrap();
        client.write_all(b"hello").await.unwrap();
        let mut answer = [0; 5];
        let answered = client.read_exact(&mut answer);
        timeout(secs(60), answered).await.unwrap().unwrap();
        assert_eq!(&answer, b"hello");
        server.await.unwrap();
    });
}

#[test]
fn outside_of_a_runtime_making_one_panics_at_the_callers_line() {
    let (message, file) = panic_of(|| AsyncFd::new(pipe().unwrap().0));
    assert!(message.contains("no runtime"), "{message}");
    assert_eq!(file, file!());
}

/// Runs the test of this name, which has the process to itself and few file descriptors.
fn with_few_descriptors(name: &str) {
    let limited = Command::new("sh")
        .args(["-c", "ulimit -n 40 && exec \"$0\" --ignored --exact \"$1\""])
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&limited.stdout);
    assert!(limited.status.success(), "{output}");
    assert!(output.contains("1 passed"), "{output}");
}

#[test]
fn without_descriptors_there_are_timers_and_clear_errors() {
    with_few_descriptors("in_a_process_without_descriptors");
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn in_a_process_without_descriptors() {
    const EMFILE: Option<i32> = Some(24);
    watched(|| {
        let ends = pipe().unwrap();
        let mut taken = Vec::new();
        let error = loop {
            match std::fs::File::open("/dev/null") {
                Ok(file) => taken.push(file),
                Err(error) => break error,
            }
        };
        assert_eq!(error.raw_os_error(), EMFILE);
        let error = Runtime::builder().worker_threads(2).build().unwrap_err();
        assert_eq!(error.raw_os_error(), EMFILE);
        rt::block_on(async {
            sleep(ms(1)).await;
            let error = AsyncFd::new(ends.0).unwrap_err();
            assert!(error.to_string().contains("has no I/O"), "{error}");
        });
        // Some of what a runtime needs can be had, and is given back.
        taken.truncate(taken.len() - 3);
        assert!(Runtime::builder().worker_threads(2).build().is_err());
        assert!(Runtime::builder().worker_threads(2).build().is_err());
        taken.clear();
        // All are given back, however often.
        for workers in [1, 2].repeat(30) {
            runtime(workers).block_on(async {
                let _task = rt::spawn(async { piped().0.readable().await });
                rt::yield_now().await;
            });
        }
        runtime(2).block_on(async {
            let (reader, mut writer) = piped();
            writer.write_all(b"x").unwrap();
            reader.readable().await.unwrap();
        });
    });
}

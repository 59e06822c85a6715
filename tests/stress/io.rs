//! Connections whose server drops its waits, is late, is aborted, or ends with its runtime.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use reveille::rt::{self, JoinHandle, io::AsyncFd};
use reveille::time::{sleep, timeout};

use crate::support::{Count, OnDrop, Random, runtime, secs};
use crate::{Report, micros, wait_until};

/// Sends back what it receives, until the other side ends.
async fn echo(stream: UnixStream, mut random: Random) -> io::Result<()> {
    let stream = Arc::new(AsyncFd::new(stream)?);
    let mut buffer = [0; 64];
    loop {
        let len = loop {
            let read = stream.read_with(|mut stream| stream.read(&mut buffer));
            match random.below(3) {
                // Dropping a wait must not lose an event.
                0 => match timeout(micros(&mut random, 100), read).await {
                    Ok(len) => break len?,
                    Err(_) => continue,
                },
                // Another task waits for the same readiness.
                1 => {
                    let other = stream.clone();
                    let waits = rt::spawn(async move { other.readable().await });
                    let len = read.await?;
                    waits.abort();
                    break len;
                }
                _ => break read.await?,
            }
        };
        if len == 0 {
            return Ok(());
        }
        if random.below(8) == 0 {
            sleep(micros(&mut random, 200)).await;
        }
        let mut left = &buffer[..len];
        while !left.is_empty() {
            let sent = stream.write_with(|mut stream| stream.write(left)).await?;
            left = &left[sent..];
        }
    }
}

/// Sends so many bytes and reads them back. Returns `false` if the server has ended before.
fn client(mut stream: UnixStream, messages: u64, mut random: Random, echoed: &AtomicUsize) -> bool {
    let mut next = 0u8;
    for _ in 0..messages {
        let len = 1 + random.below(40) as usize;
        let sent: Vec<_> = (0..len).map(|n| next.wrapping_add(n as u8)).collect();
        next = next.wrapping_add(len as u8);
        let mut got = vec![0; len];
        let done = stream
            .write_all(&sent)
            .and_then(|()| stream.read_exact(&mut got));
        if done.is_err() {
            return false;
        }
        assert_eq!(got, sent, "received other bytes than were sent");
        echoed.fetch_add(len, Ordering::Relaxed);
        if random.below(4) == 0 {
            thread::sleep(micros(&mut random, 100));
        }
    }
    true
}

pub(crate) fn round(random: &mut Random, report: &Report) {
    let runtime = runtime([1, 2, 3, 8][random.below(4) as usize]);
    let handle = runtime.handle().clone();
    report.add_state("runtime", move || {
        format!("{handle:?}, {} armed", handle.armed())
    });
    let (ended, pairs) = (Count::default(), 2 + random.below(6) as usize);
    let mut servers: Vec<JoinHandle<io::Result<()>>> = Vec::new();
    let clients: Vec<_> = (0..pairs)
        .map(|n| {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let server = echo(theirs, Random::new(random.below(u64::MAX)));
            let ended = ended.clone();
            let guard = OnDrop(move || ended.add());
            servers.push(runtime.spawn(async move {
                let _guard = guard;
                server.await
            }));
            let (seed, messages) = (random.below(u64::MAX), 1 + random.below(200));
            let echoed = Arc::new(AtomicUsize::new(0));
            let seen = echoed.clone();
            report.add_state(format!("client {n}"), move || {
                format!("{seen:?} bytes came back")
            });
            thread::spawn(move || client(ours, messages, Random::new(seed), &echoed))
        })
        .collect();
    // Before or after the clients have finished.
    let aborted = random.below(2) == 0;
    runtime.block_on(async {
        sleep(micros(random, 3_000)).await;
        if aborted {
            for server in &servers[..pairs / 2] {
                server.abort();
            }
        }
    });
    let goes_on = random.below(2) == 0;
    let mut runtime = Some(runtime);
    if !goes_on {
        drop(runtime.take());
    }
    // If a thread has to run the tasks, it is the caller.
    let join = move || {
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .collect()
    };
    let through: Vec<bool> = match &runtime {
        Some(runtime) => {
            let joined = thread::spawn(join);
            runtime.block_on(async {
                while !joined.is_finished() {
                    sleep(micros(random, 500)).await;
                }
            });
            joined.join().unwrap()
        }
        None => join(),
    };
    for (n, (through, server)) in through.into_iter().zip(servers).enumerate() {
        let may_fail = !goes_on || aborted && n < pairs / 2;
        assert!(through || may_fail, "client {n} lost its server");
        if goes_on && !may_fail {
            let runtime = runtime.as_ref().unwrap();
            runtime.block_on(server).unwrap().unwrap();
        }
    }
    if let Some(runtime) = runtime {
        assert!(runtime.shutdown_timeout(secs(100)), "{}", report.state());
    }
    wait_until(|| ended.get() == pairs);
}

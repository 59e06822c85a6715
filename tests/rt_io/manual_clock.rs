//! Tests of I/O on a runtime whose clock is moved by hand.

use std::net::UdpSocket;
use std::os::unix::net::UnixStream;

use reveille::ManualClock;
use reveille::time::Instant;

use crate::*;

/// Runs `test` on a manual clock, on each number of workers.
fn on_manual_clock<const N: usize>(
    workers: [usize; N],
    test: impl AsyncFn() + Send + Sync + 'static,
) {
    watched(move || {
        for workers in workers {
            let clock = ManualClock::new();
            let builder = Runtime::builder().worker_threads(workers).clock(&clock);
            builder.build().unwrap().block_on(test());
        }
    });
}

/// The kernel has the bytes when the task begins to wait, so there is something to do yet.
#[test]
fn what_is_there_is_read_before_time_moves_on() {
    on_manual_clock([1], async || {
        let start = Instant::now();
        let (reader, mut writer) = piped();
        for _ in 0..100 {
            writer.write_all(b"x").unwrap();
            // Waits even though there is a byte, as a task that is told of readiness does.
            let readable = reader.readable().timeout(secs(1)).await;
            readable.expect("time has moved on").unwrap();
            assert_eq!(reader.read(&mut [0; 2]).await.unwrap(), 1);
        }
        // An answer from another thread, and then one that is there at once.
        let hold = rt::hold();
        let thread = thread::spawn(move || {
            thread::sleep(ms(5));
            writer.write_all(b"y").unwrap();
            writer
        });
        reader.readable().await.unwrap();
        drop(hold);
        assert_eq!(reader.read(&mut [0; 2]).await.unwrap(), 1);
        let mut writer = thread.join().unwrap();
        writer.write_all(b"z").unwrap();
        let readable = reader.readable().timeout(secs(1)).await;
        readable.expect("time has moved on").unwrap();
        assert_eq!(start.elapsed(), ms(0));
    });
}

/// A clock that waited for every socket would never move.
#[test]
fn time_moves_on_although_a_task_waits_for_a_peer() {
    on_manual_clock([1, 2, 4], async || {
        let start = Instant::now();
        let (reader, _writer) = piped();
        let mut buffer = [0; 2];
        let late = reader.read(&mut buffer).timeout(secs(3600)).await;
        assert!(late.is_err());
        assert_eq!(start.elapsed(), secs(3600));
    });
}

#[test]
fn a_hold_keeps_time_until_the_peer_has_answered() {
    on_manual_clock([1, 2, 4], async || {
        let start = Instant::now();
        let (reader, mut writer) = piped();
        let hold = rt::hold();
        let thread = thread::spawn(move || {
            thread::sleep(ms(5));
            writer.write_all(b"x").unwrap();
        });
        let mut buffer = [0; 2];
        let answer = reader.read(&mut buffer).timeout(secs(1)).await;
        drop(hold);
        assert_eq!(answer.expect("time has moved on").unwrap(), 1);
        assert_eq!(start.elapsed(), ms(0));
        thread.join().unwrap();
    });
}

/// Time once moved on between the two if there were several workers.
#[test]
fn a_conversation_inside_the_runtime_takes_no_time() {
    on_manual_clock([1, 2, 4], async || {
        let start = Instant::now();
        let (here, there) = UnixStream::pair().unwrap();
        let (here, there) = (AsyncFd::new(here).unwrap(), AsyncFd::new(there).unwrap());
        let server = rt::spawn(async move {
            let mut buffer = [0; 4];
            for _ in 0..100 {
                there.read_exact(&mut buffer).await.unwrap();
                there.write_all(&buffer).await.unwrap();
            }
        });
        let mut buffer = [0; 4];
        for _ in 0..100 {
            here.write_all(b"ping").await.unwrap();
            let answer = here.read_exact(&mut buffer).timeout(secs(1)).await;
            answer.expect("time has moved on").unwrap();
        }
        server.await.unwrap();
        assert_eq!(start.elapsed(), ms(0));
    });
}

/// As above, over a network device.
#[test]
fn a_conversation_over_loopback_takes_no_time() {
    on_manual_clock([1, 2, 4], async || {
        let start = Instant::now();
        let bound = || AsyncFd::new(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
        let (here, there) = (bound(), bound());
        let address = |socket: &AsyncFd<UdpSocket>| socket.get_ref().local_addr().unwrap();
        let (client, server) = (address(&here), address(&there));
        let server_task = rt::spawn(async move {
            let mut buffer = [0; 4];
            for _ in 0..100 {
                there.recv_from(&mut buffer).await.unwrap();
                there.send_to(&buffer, client).await.unwrap();
            }
        });
        let mut buffer = [0; 4];
        for _ in 0..100 {
            here.send_to(b"ping", server).await.unwrap();
            let answer = here.recv_from(&mut buffer).timeout(secs(1)).await;
            answer.expect("time has moved on").unwrap();
        }
        server_task.await.unwrap();
        assert_eq!(start.elapsed(), ms(0));
    });
}

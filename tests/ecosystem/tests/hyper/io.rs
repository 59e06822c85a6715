//! hyper's `Read` and `Write` on an `AsyncFd`, without hyper's connections.

use std::future::poll_fn;
use std::io::IoSlice;
use std::os::unix::net::UnixStream;
use std::pin::Pin;

use hyper::rt::{Read, ReadBuf, Write};
use reveille::rt::io::AsyncFd;
use reveille_ecosystem::on_rt;

/// Reads into a buffer of `size` bytes.
async fn read(stream: &mut AsyncFd<UnixStream>, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    let mut buffer = ReadBuf::new(&mut bytes);
    poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, buffer.unfilled()))
        .await
        .unwrap();
    buffer.filled().to_vec()
}

fn pair() -> (AsyncFd<UnixStream>, AsyncFd<UnixStream>) {
    let (here, there) = UnixStream::pair().unwrap();
    (AsyncFd::new(here).unwrap(), AsyncFd::new(there).unwrap())
}

#[test]
fn a_read_takes_no_more_than_there_is_room_for() {
    on_rt(async {
        let (mut here, there) = pair();
        there.write_all(b"hello").await.unwrap();
        assert_eq!(read(&mut here, 3).await, b"hel");
        assert_eq!(read(&mut here, 3).await, b"lo");
        // More than one call reads.
        there.write_all(&[7; 20_000]).await.unwrap();
        let mut rest = 20_000;
        while rest > 0 {
            let bytes = read(&mut here, 20_000).await;
            assert!(!bytes.is_empty() && bytes.iter().all(|byte| *byte == 7));
            rest -= bytes.len();
        }
        drop(there);
        assert_eq!(read(&mut here, 3).await, b"");
    });
}

#[test]
fn several_buffers_are_written_in_one_call() {
    on_rt(async {
        let (mut here, there) = pair();
        assert!(here.is_write_vectored());
        let buffers = [&b"one "[..], b"", b"two"].map(IoSlice::new);
        let write = poll_fn(|cx| Pin::new(&mut here).poll_write_vectored(cx, &buffers));
        assert_eq!(write.await.unwrap(), 7);
        let mut bytes = [0; 16];
        let len = there.read(&mut bytes).await.unwrap();
        assert_eq!(&bytes[..len], b"one two");
    });
}

#[test]
fn a_shutdown_ends_the_writing_half_alone() {
    on_rt(async {
        let (mut here, there) = pair();
        let shutdown = poll_fn(|cx| Pin::new(&mut here).poll_shutdown(cx));
        shutdown.await.unwrap();
        assert_eq!(there.read(&mut [0; 16]).await.unwrap(), 0);
        there.write_all(b"still").await.unwrap();
        assert_eq!(read(&mut here, 16).await, b"still");
    });
}

#[test]
fn a_write_waits_for_room() {
    on_rt(async {
        let (mut here, there) = pair();
        let bytes = vec![7; 1 << 20];
        let writer = reveille::rt::spawn(async move {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let write = poll_fn(|cx| Pin::new(&mut here).poll_write(cx, rest));
                rest = &rest[write.await.unwrap()..];
            }
        });
        let mut rest = 1 << 20;
        let mut buffer = vec![0; 1 << 16];
        while rest > 0 {
            rest -= there.read(&mut buffer).await.unwrap();
        }
        writer.await.unwrap();
    });
}

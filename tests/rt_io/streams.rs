//! Tests of connections, and of bytes that are read and written.

use std::future::Future;
use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{OFlags, fcntl_getfl};

use crate::*;

fn is_nonblocking(descriptor: impl AsFd) -> bool {
    fcntl_getfl(descriptor).unwrap().contains(OFlags::NONBLOCK)
}

#[test]
fn both_versions_of_the_internet_protocol_connect() {
    on_each(async || {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            // Not every machine has the second.
            let Ok(listener) = TcpListener::bind(any) else {
                continue;
            };
            let address = listener.local_addr().unwrap();
            let listener = AsyncFd::new(listener).unwrap();
            let client = AsyncFd::connect(address).await.unwrap();
            let (server, from) = listener.accept().await.unwrap();
            assert_eq!(from, client.get_ref().local_addr().unwrap());
            assert_eq!(client.get_ref().peer_addr().unwrap(), address);
            assert!(is_nonblocking(client.into_inner()));
            assert!(is_nonblocking(server.into_inner()));
        }
    });
}

#[test]
fn a_connection_is_accepted_on_another_executor() {
    watched(|| {
        let runtime = runtime(2);
        let entered = runtime.enter();
        let (listener, address) = listen();
        drop(entered);
        let client = thread::spawn(move || TcpStream::connect(address).unwrap());
        let (server, _) = pollster::block_on(listener.accept()).unwrap();
        let mut client = client.join().unwrap();
        client.write_all(b"hello").unwrap();
        let mut buffer = [0; 8];
        assert_eq!(pollster::block_on(server.read(&mut buffer)).unwrap(), 5);
    });
}

#[test]
fn waiting_for_a_connection_can_be_given_up() {
    on_each(async || {
        let (listener, address) = listen();
        for _ in 0..3 {
            assert!(listener.accept().timeout(ms(1)).await.is_err());
        }
        let client = AsyncFd::connect(address).await.unwrap();
        let (_, from) = listener.accept().await.unwrap();
        assert_eq!(from, client.get_ref().local_addr().unwrap());
    });
}

#[test]
fn a_peer_that_does_not_read_is_given_up() {
    on_each(async || {
        let (here, there) = connection();
        let much = vec![7; 1 << 24];
        assert!(here.write_all(&much).timeout(ms(5)).await.is_err());
        // What was written so far arrives.
        drop(here);
        let there = stream(there);
        let mut sum = 0;
        let mut buffer = [0; 4096];
        while let len @ 1.. = there.read(&mut buffer).await.unwrap() {
            assert!(buffer[..len].iter().all(|&byte| byte == 7));
            sum += len;
        }
        assert!((1..much.len()).contains(&sum), "{sum}");
    });
}

/// Takes the bytes that it has room for, then none.
struct Short(PipeWriter);

impl AsFd for Short {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Write for &Short {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len().saturating_sub(2))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_takes_no_more_bytes_is_an_error() {
    on_each(async || {
        let (_reader, writer) = pipe().unwrap();
        let short = AsyncFd::new(Short(writer)).unwrap();
        assert_eq!(short.write(b"abc").await.unwrap(), 1);
        short.write_all(b"").await.unwrap();
        let error = short.write_all(b"abc").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WriteZero);
    });
}

#[test]
fn exactly_as_many_bytes_as_asked_for_are_read() {
    on_each(async || {
        let (here, there) = connection();
        let there = stream(there);
        let writing = rt::spawn(async move {
            for byte in 0..100u8 {
                there.write_all(&[byte; 7]).await.unwrap();
                rt::yield_now().await;
            }
            there.write_all(b"end").await.unwrap();
        });
        let mut buffer = [0; 70];
        for round in 0..10u8 {
            here.read_exact(&mut buffer).await.unwrap();
            let expected = (0..70).map(|at| round * 10 + at / 7);
            assert!(buffer.iter().copied().eq(expected));
        }
        here.read_exact(&mut []).await.unwrap();
        writing.await.unwrap();
        // The end comes first: what was there is in the buffer.
        let error = here.read_exact(&mut buffer).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert_eq!(&buffer[..3], b"end");
        here.read_exact(&mut []).await.unwrap();
    });
}

#[test]
fn a_wait_that_owns_its_descriptor_outlives_the_function_that_began_it() {
    fn begin(reader: PipeReader) -> impl Future<Output = io::Result<()>> + Send + 'static {
        Arc::new(AsyncFd::new(reader).unwrap()).readable_owned()
    }
    on_each(async || {
        let (reader, mut writer) = pipe().unwrap();
        let waiting = rt::spawn(begin(reader));
        rt::yield_now().await;
        writer.write_all(b"x").unwrap();
        waiting.await.unwrap().unwrap();

        // The descriptor is closed with the last future.
        let (reader, mut writer) = pipe().unwrap();
        let mut waiting = Box::pin(begin(reader));
        assert!(waiting.as_mut().timeout(ms(1)).await.is_err());
        drop(waiting);
        let error = writer.write_all(b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);

        let (here, _there) = connection();
        Arc::new(here).writable_owned().await.unwrap();
    });
}

#[cfg(feature = "futures-io")]
mod with_the_traits {
    use futures::io::{AsyncBufReadExt, BufReader, copy};
    use futures::{FutureExt as _, TryStreamExt};

    use super::*;

    #[test]
    fn code_for_the_traits_of_futures_io_works() {
        on_each(async || {
            let (listener, address) = listen();
            let server = rt::spawn(async move {
                let (client, _) = listener.accept().await?;
                copy(&client, &mut &client).await
            });
            let client = AsyncFd::connect(address).await.unwrap();
            let (reader, mut writer) = AsyncReadExt::split(client);
            let writing = rt::spawn(async move {
                for line in 0..2000 {
                    let line = format!("{line}\n");
                    let parts = [IoSlice::new(line.as_bytes()), IoSlice::new(b"x\n")];
                    // Small enough to be taken at once, if anything is.
                    let len = writer.write_vectored(&parts).await?;
                    assert_eq!(len, line.len() + 2);
                }
                writer.close().await
            });
            let lines: Vec<_> = BufReader::new(reader).lines().try_collect().await.unwrap();
            assert_eq!(lines.len(), 4000);
            assert_eq!((&*lines[3998], &*lines[3999]), ("1999", "x"));
            writing.await.unwrap().unwrap();
            assert_eq!(server.await.unwrap().unwrap(), 2000 * 2 + 6890 + 2000);
        });
    }

    #[test]
    fn closing_ends_the_writing_half_of_a_socket_only() {
        on_each(async || {
            let (mut here, mut there) = connection();
            here.close().await.unwrap();
            assert_eq!(there.read(&mut [0]).unwrap(), 0);
            there.write_all(b"x").unwrap();
            assert_eq!(AsyncReadExt::read(&mut here, &mut [0; 2]).await.unwrap(), 1);
            // Once more, when the peer is gone, too.
            drop(there);
            assert_eq!(AsyncReadExt::read(&mut here, &mut [0]).await.unwrap(), 0);
            here.close().await.unwrap();

            let (_reader, writer) = pipe().unwrap();
            let mut writer = AsyncFd::new(writer).unwrap();
            writer.close().await.unwrap();
        });
    }

    /// Operations that always succeed let the timer of the same task fire.
    #[test]
    fn a_peer_that_always_sends_does_not_starve_a_timeout() {
        watched(|| {
            runtime(1).block_on(async {
                let zeros = AsyncFd::new(Zeros(pipe().unwrap().0)).unwrap();
                let forever = async {
                    let mut reader = &zeros;
                    loop {
                        AsyncReadExt::read(&mut reader, &mut [0; 8]).await.unwrap();
                    }
                };
                assert!(timeout(ms(2), forever).await.is_err());
                // A read that has its turn is ready.
                rt::yield_now().await;
                let mut reader = &zeros;
                while AsyncReadExt::read(&mut reader, &mut [0; 8])
                    .now_or_never()
                    .is_none()
                {}
            });
        });
    }

    struct Zeros(PipeReader);

    impl AsFd for Zeros {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }

    impl Read for &Zeros {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            buffer.fill(0);
            Ok(buffer.len())
        }
    }
}

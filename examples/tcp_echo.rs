//! A TCP echo server on the executor of this crate, with a limit on how long a client may be idle.
//!
//! There is one task for each client, and no loop that polls: reading, writing and connecting are
//! futures, and `timeout` limits each. One worker runs all of them, and waits for sockets and
//! deadlines in one system call.
//!
//! ```sh
//! cargo run --release --features io --example tcp_echo
//! ```
//!
//! Two clients connect. One talks more often than the limit, until it has said everything, and the
//! other says one thing and falls silent. With `-- 127.0.0.1:7000` it is a server for clients of
//! yours, such as `nc`, until it is stopped.

fn main() -> std::io::Result<()> {
    echo::main()
}

#[cfg(target_os = "linux")]
mod echo {
    use std::io::{self, ErrorKind};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::time::Duration;

    use reveille::FutureExt;
    use reveille::rt::{self, io::AsyncFd};
    use reveille::time::{Instant, sleep};

    pub(crate) fn main() -> io::Result<()> {
        let address = std::env::args().nth(1);
        rt::block_on(async {
            if let Some(address) = address {
                let listener = AsyncFd::new(TcpListener::bind(address)?)?;
                return serve(listener, Duration::from_secs(30)).await;
            }
            let listener = AsyncFd::new(TcpListener::bind("127.0.0.1:0")?)?;
            let address = listener.get_ref().local_addr()?;
            // Much longer than the talker's pauses: a busy machine may stretch these.
            let server = rt::spawn(serve(listener, Duration::from_secs(1)));
            let talker = rt::spawn(client("talker", address, 10));
            let silent = rt::spawn(client("silent", address, 1));
            talker.await??;
            silent.await??;
            server.abort();
            Ok(())
        })
    }

    /// Accepts clients until it is aborted.
    async fn serve(listener: AsyncFd<TcpListener>, idle: Duration) -> io::Result<()> {
        loop {
            match listener.accept().await {
                Ok((stream, address)) => {
                    rt::spawn(async move {
                        match echo(&stream, idle).await {
                            Ok(()) => println!("server: {address} has closed"),
                            Err(error) => println!("server: {address} is closed: {error}"),
                        }
                    });
                }
                // It is about one client, which has gone again.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                // The system is short of something, for now.
                Err(error) => {
                    println!("server: no client accepted: {error}");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Sends back what the client sends, until it closes, or does nothing for `idle`.
    async fn echo(stream: &AsyncFd<TcpStream>, idle: Duration) -> io::Result<()> {
        let mut buffer = [0; 1024];
        loop {
            let len = stream.read(&mut buffer).timeout(idle).await??;
            if len == 0 {
                return Ok(());
            }
            stream.write_all(&buffer[..len]).timeout(idle).await??;
        }
    }

    /// Says something `times` times, every 50 ms, and then waits for the server to close.
    async fn client(name: &str, address: SocketAddr, times: u32) -> io::Result<()> {
        let limit = Duration::from_secs(5);
        let start = Instant::now();
        let stream = AsyncFd::connect(address).timeout(limit).await??;
        let mut buffer = [0; 64];
        for _ in 0..times {
            stream.write_all(b"hello").await?;
            let len = stream.read(&mut buffer).timeout(limit).await??;
            assert_eq!(&buffer[..len], b"hello");
            sleep(Duration::from_millis(50)).await;
        }
        let len = stream.read(&mut buffer).timeout(limit).await??;
        assert_eq!(len, 0);
        println!("{name}: closed by the server after {:?}", start.elapsed());
        Ok(())
    }
}

#[cfg(not(target_os = "linux"))]
mod echo {
    pub(crate) fn main() -> std::io::Result<()> {
        println!("The feature `io` is for Linux only, so far.");
        Ok(())
    }
}

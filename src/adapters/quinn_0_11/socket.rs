//! The UDP sockets that quinn sends and receives by, on `AsyncFd`.

use std::fmt;
use std::future::Future;
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};

use quinn_0_11::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn_0_11::{AsyncUdpSocket, UdpPoller};

use crate::rt::io::{AsyncFd, Writable};

#[derive(Debug)]
pub(super) struct Socket {
    io: Arc<AsyncFd<UdpSocket>>,
    /// What the kernel can do, such as to take several datagrams at once.
    state: UdpSocketState,
    /// Whether the kernel has refused a datagram for lack of room, and no task has found room
    /// since.
    ///
    /// quinn asks whether the socket is writable before it sends, and it nearly always is. The flag
    /// saves a wait for the kernel's answer. It is a hint: a task that finds the socket full sets
    /// it before it waits, and if another task then clears it too early, that costs one more try.
    full: Arc<AtomicBool>,
}

impl Socket {
    /// Opens a socket on the current runtime.
    pub(super) fn new(socket: UdpSocket) -> io::Result<Self> {
        Ok(Self {
            state: UdpSocketState::new((&socket).into())?,
            io: Arc::new(AsyncFd::new(socket)?),
            full: Arc::default(),
        })
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Poller {
            io: self.io.clone(),
            full: self.full.clone(),
            wait: None,
        })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let result = self.state.send((&*self.io).into(), transmit);
        if let Err(error) = &result
            && error.kind() == ErrorKind::WouldBlock
        {
            self.full.store(true, Relaxed);
        }
        result
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        // quinn asks for more until there is nothing, so a wait is for what comes after that.
        self.io.poll_read_with(cx, |socket| {
            loop {
                match self.state.recv(socket.into(), buffers, meta) {
                    // The answer to a datagram that was sent earlier. quinn would give up the
                    // socket, with all its connections.
                    Err(error)
                        if matches!(
                            error.kind(),
                            ErrorKind::ConnectionRefused
                                | ErrorKind::HostUnreachable
                                | ErrorKind::NetworkUnreachable
                        ) => {}
                    received => return received,
                }
            }
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }
}

/// The waits of one task for room in a socket.
struct Poller {
    io: Arc<AsyncFd<UdpSocket>>,
    full: Arc<AtomicBool>,
    wait: Option<Writable<'static, UdpSocket>>,
}

impl UdpPoller for Poller {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let wait = match &mut this.wait {
            Some(wait) => wait,
            None if !this.full.load(Relaxed) => return Poll::Ready(Ok(())),
            none => none.insert(this.io.clone().writable_owned()),
        };
        let result = ready!(Pin::new(wait).poll(cx));
        this.wait = None;
        this.full.store(false, Relaxed);
        Poll::Ready(result)
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::OwnedFd;
    use std::sync::atomic::AtomicUsize;
    use std::task::{Wake, Waker};

    use super::*;
    use crate::rt::Runtime;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    fn poll(poller: &mut Pin<Box<dyn UdpPoller>>, waker: &Waker) -> Poll<io::Result<()>> {
        poller
            .as_mut()
            .poll_writable(&mut Context::from_waker(waker))
    }

    /// UDP on the loopback device never fills up. A TCP stream stands for it, which ignores the
    /// address that a datagram is sent to.
    #[test]
    fn tasks_that_find_the_socket_full_wait_until_there_is_room() {
        let runtime = Runtime::builder().worker_threads(1).build().unwrap();
        let entered = runtime.enter();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stream = TcpStream::connect(address).unwrap();
        let mut receiver = listener.accept().unwrap().0;
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
        let socket = Arc::new(Socket {
            state: UdpSocketState::new((&datagrams).into()).unwrap(),
            io: Arc::new(AsyncFd::new(OwnedFd::from(stream).into()).unwrap()),
            full: Arc::default(),
        });
        let counts = [Arc::new(Count::default()), Arc::new(Count::default())];
        let wakers = counts.clone().map(Waker::from);
        let mut pollers = [(); 2].map(|()| socket.clone().create_io_poller());

        // As long as there is room, nothing is waited for.
        let transmit = Transmit {
            destination: address,
            ecn: None,
            contents: &[0; 1000],
            segment_size: None,
            src_ip: None,
        };
        let error = loop {
            assert!(poll(&mut pollers[0], &wakers[0]).is_ready());
            if let Err(error) = socket.try_send(&transmit) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        for (poller, waker) in pollers.iter_mut().zip(&wakers) {
            assert!(poll(poller, waker).is_pending());
        }
        drop(entered);

        receiver.set_nonblocking(true).unwrap();
        let mut buffer = vec![0; 1 << 16];
        runtime.block_on(async {
            while counts.iter().any(|count| count.0.load(Relaxed) == 0) {
                // Nothing to read is an error, too.
                let _ = receiver.read(&mut buffer);
                crate::rt::yield_now().await;
            }
        });
        for (poller, waker) in pollers.iter_mut().zip(&wakers) {
            assert!(poll(poller, waker).is_ready());
        }
        assert!(poll(&mut pollers[0], &wakers[0]).is_ready());
    }
}

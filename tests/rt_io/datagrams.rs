//! Tests of datagrams over real sockets.

use futures::FutureExt as _;
use rustix::io::Errno;

use crate::*;

fn bound() -> (AsyncFd<UdpSocket>, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (AsyncFd::new(socket).unwrap(), address)
}

/// Returns two sockets, each connected to the other.
fn connected() -> (AsyncFd<UdpSocket>, AsyncFd<UdpSocket>) {
    let ((here, at), (there, to)) = (bound(), bound());
    here.get_ref().connect(to).unwrap();
    there.get_ref().connect(at).unwrap();
    (here, there)
}

#[test]
fn answers_come_from_the_address_that_was_asked() {
    on_each(async || {
        let ((here, at), (there, to)) = (bound(), bound());
        let answering = rt::spawn(async move {
            let mut buffer = [0; 16];
            loop {
                let (len, from) = there.recv_from(&mut buffer).await.unwrap();
                assert_eq!(from, at);
                assert_eq!(there.send_to(&buffer[..len], from).await.unwrap(), len);
            }
        });
        let mut buffer = [0; 16];
        for round in 0..100u32 {
            let request = round.to_le_bytes();
            assert_eq!(here.send_to(&request, to).await.unwrap(), 4);
            assert_eq!(here.recv_from(&mut buffer).await.unwrap(), (4, to));
            assert_eq!(buffer[..4], request);
        }
        answering.abort();
    });
}

#[test]
fn a_connected_socket_hears_its_peer_alone() {
    on_each(async || {
        let (here, there) = connected();
        let (stranger, _) = bound();
        let at = here.get_ref().local_addr().unwrap();
        stranger.send_to(b"stranger", at).await.unwrap();
        assert_eq!(there.send(b"peer").await.unwrap(), 4);
        let mut buffer = [0; 16];
        assert_eq!(here.recv(&mut buffer).await.unwrap(), 4);
        assert_eq!(&buffer[..4], b"peer");
        assert!(here.recv(&mut buffer).now_or_never().is_none());
    });
}

#[test]
fn a_datagram_is_kept_whole_cut_to_the_buffer_or_empty() {
    on_each(async || {
        let (here, there) = connected();
        for datagram in [&b"one"[..], b"", b"longer than the buffer", b"four"] {
            there.send(datagram).await.unwrap();
        }
        let mut buffer = [0; 8];
        for expected in [&b"one"[..], b"", b"longer t", b"four"] {
            let len = here.recv(&mut buffer).await.unwrap();
            assert_eq!(&buffer[..len], expected);
        }
    });
}

#[test]
fn a_wait_for_a_datagram_that_is_given_up_loses_none() {
    on_each(async || {
        let (here, there) = connected();
        let mut buffer = [0; 8];
        for round in 0..20u8 {
            assert!(here.recv(&mut buffer).timeout(ms(0)).await.is_err());
            let mut given_up = Box::pin(here.recv_from(&mut buffer));
            assert!((&mut given_up).now_or_never().is_none());
            there.send(&[round]).await.unwrap();
            // The datagram is there, and the wait is over: nobody polls it any more.
            here.readable().await.unwrap();
            drop(given_up);
            assert_eq!(here.recv(&mut buffer).await.unwrap(), 1);
            assert_eq!(buffer[0], round);
        }
    });
}

#[test]
fn a_peer_that_is_gone_refuses_and_the_socket_goes_on() {
    on_each(async || {
        let ((here, at), (there, to)) = (bound(), bound());
        here.get_ref().connect(to).unwrap();
        drop(there);
        here.send(b"is anybody there").await.unwrap();
        let mut buffer = [0; 8];
        let refused = here.recv(&mut buffer).timeout(secs(60)).await.unwrap();
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        // Another process may have taken the address meanwhile.
        let Ok(there) = UdpSocket::bind(to) else {
            return;
        };
        let there = AsyncFd::new(there).unwrap();
        there.send_to(b"back", at).await.unwrap();
        assert_eq!(here.recv(&mut buffer).await.unwrap(), 4);
    });
}

#[test]
fn what_is_too_long_is_an_error() {
    on_each(async || {
        let (here, there) = connected();
        let to = there.get_ref().local_addr().unwrap();
        let much = vec![0; 65_508];
        assert!(here.send(&much).await.is_err());
        assert!(here.send_to(&much, to).await.is_err());
        assert_eq!(here.send(&much[1..]).await.unwrap(), 65_507);
        let mut buffer = vec![0; 65_535];
        assert_eq!(there.recv(&mut buffer).await.unwrap(), 65_507);
    });
}

#[test]
fn a_socket_that_is_connected_to_none_cannot_send() {
    on_each(async || {
        let (here, _) = bound();
        let error = here.send(b"x").await.unwrap_err();
        assert_eq!(Errno::from_io_error(&error), Some(Errno::DESTADDRREQ));
    });
}

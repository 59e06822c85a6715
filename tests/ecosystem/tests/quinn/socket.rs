//! `quinn::AsyncUdpSocket` by itself.

use std::future::poll_fn;
use std::io::{IoSliceMut, Result};
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Runtime};
use reveille::adapters::quinn_0_11::QuinnRuntime;
use reveille_ecosystem::on_rt;

fn bind() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
}

fn wrap(socket: UdpSocket) -> Arc<dyn AsyncUdpSocket> {
    QuinnRuntime::current().wrap_udp_socket(socket).unwrap()
}

/// Sends as quinn does: it asks for room, and then tries.
async fn send(socket: &Arc<dyn AsyncUdpSocket>, contents: &[u8], to: &UdpSocket) -> Result<()> {
    let mut poller = socket.clone().create_io_poller();
    poll_fn(|cx| poller.as_mut().poll_writable(cx)).await?;
    socket.try_send(&Transmit {
        destination: to.local_addr().unwrap(),
        ecn: None,
        contents,
        segment_size: None,
        src_ip: None,
    })
}

async fn receive(socket: &Arc<dyn AsyncUdpSocket>) -> Result<(Vec<u8>, RecvMeta)> {
    let mut buffer = vec![0; 2_000];
    let mut meta = [RecvMeta::default()];
    let received = poll_fn(|cx| {
        let mut buffers = [IoSliceMut::new(&mut buffer)];
        socket.poll_recv(cx, &mut buffers, &mut meta)
    });
    assert_eq!(received.await?, 1);
    buffer.truncate(meta[0].len);
    Ok((buffer, meta[0]))
}

#[test]
fn sends_and_waits_for_an_answer() {
    on_rt(async {
        let (there, socket) = (bind(), bind());
        let address = socket.local_addr().unwrap();
        let socket = wrap(socket);
        assert_eq!(socket.local_addr().unwrap(), address);
        send(&socket, b"ping", &there).await.unwrap();

        let answer = there.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 16];
            let (len, from) = answer.recv_from(&mut buffer).unwrap();
            answer.send_to(&buffer[..len], from).unwrap();
        });
        let (bytes, meta) = receive(&socket).await.unwrap();
        assert_eq!(
            (&bytes[..], meta.addr),
            (&b"ping"[..], there.local_addr().unwrap())
        );
    });
}

/// One datagram that nobody wanted would otherwise end an endpoint with all its connections.
#[test]
fn a_refused_datagram_is_no_error_of_the_socket() {
    on_rt(async {
        let (there, socket) = (bind(), bind());
        let address = there.local_addr().unwrap();
        socket.connect(address).unwrap();
        let from = socket.local_addr().unwrap();
        // The system answers that nobody is there, and the next call reports it.
        drop(there);
        socket.send(b"lost").unwrap();
        let there = UdpSocket::bind(address).unwrap();
        there.send_to(b"hello", from).unwrap();
        let (bytes, _) = receive(&wrap(socket)).await.unwrap();
        assert_eq!(bytes, b"hello");
    });
}

#[test]
fn a_socket_of_a_runtime_that_is_gone_is_an_error() {
    let runtime = reveille::rt::Runtime::new().unwrap();
    let quinn = QuinnRuntime::new(runtime.handle().clone());
    drop(runtime);
    assert!(quinn.wrap_udp_socket(bind()).is_err());
}

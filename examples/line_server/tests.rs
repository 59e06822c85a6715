//! A test of the limits.

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use reveille::{Driver, ManualClock};

use crate::connection::Connection;
use crate::meter::{End, Meter};

/// Sends as much as the other side has room for.
fn fill(client: &mut TcpStream) {
    loop {
        match client.write(&[b'x'; 4096]) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_client_that_never_stops_sending_is_closed_at_its_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_nonblocking(true).unwrap();
    let (server, _) = listener.accept().unwrap();

    let clock = ManualClock::new();
    let driver = Driver::builder().clock(&clock).build_with_unpark(|| {});
    let mut meter = Meter::default();
    let mut connection = Connection::new(server, driver.handle(), &mut meter).unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    // The line is too long, so the client is told, and given some time to close the connection.
    fill(&mut client);
    assert!(connection.drive(&mut cx, &mut meter).is_pending());
    clock.advance(Duration::from_secs(1));
    fill(&mut client);
    let driven = connection.drive(&mut cx, &mut meter);
    assert_eq!(driven, Poll::Ready(End::LongLine));
}

//! Tests of the arguments, the frames, and the end of a connection.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use reveille::time::timeout;

use super::arguments::{self, Arguments};
use super::end::End;
use super::protocol::{Frame, Malformed, Outcome, Request};
use super::wire::Wire;

fn parse(line: &str) -> Result<Arguments, String> {
    arguments::parse(line.split_whitespace().map(String::from))
}

#[test]
fn without_arguments_each_connection_sends_two_requests_a_second() {
    let arguments = parse("").unwrap();
    assert_eq!(arguments.connections, 2000);
    assert_eq!(arguments.rate, 4000);
    assert_eq!(arguments.length, Duration::from_secs(3));
}

#[test]
fn all_arguments_are_taken_in_any_order() {
    let arguments = parse("--rate 500 --workers 3 --connections 100 --seconds 7").unwrap();
    let expected = Arguments {
        length: Duration::from_secs(7),
        connections: 100,
        rate: 500,
        workers: 3,
        help: false,
    };
    assert_eq!(arguments, expected);
    assert!(parse("-h").unwrap().help);
}

#[test]
fn an_error_names_the_value_and_the_remedy() {
    let errors = [
        (
            "--seconds 0",
            "--seconds \"0\": give a whole number from 1 to 3600",
        ),
        (
            "--connections many",
            "--connections \"many\": give a whole number from 50 to 20000",
        ),
        (
            "--workers",
            "--workers needs a number after it, as in --workers 100",
        ),
        (
            "--rate 10",
            "--rate 10 does not go with 2000 connections, 4000 to 2000000 does: give another rate \
             or --connections",
        ),
    ];
    for (line, error) in errors {
        assert_eq!(parse(line).unwrap_err(), error);
    }
    assert!(
        parse("--fast")
            .unwrap_err()
            .starts_with("unknown argument \"--fast\"")
    );
}

#[test]
fn fewer_connections_keep_the_rate_of_each() {
    let mut arguments = parse("--connections 1000 --rate 5000").unwrap();
    arguments.scale_down(100);
    assert_eq!((arguments.connections, arguments.rate), (100, 500));
}

fn frames() -> Vec<Frame> {
    vec![
        Frame::Hello,
        Frame::Request(Request {
            id: u64::MAX,
            work: Duration::from_micros(1234),
            length: 5,
        }),
        Frame::Answer {
            id: 7,
            outcome: Outcome::Overdue,
            length: 300,
        },
        Frame::Answer {
            id: 8,
            outcome: Outcome::Done,
            length: 0,
        },
        Frame::Ping(1),
        Frame::Pong(2),
        Frame::Bye {
            why: End::Closing,
            taken: 9,
        },
    ]
}

#[test]
fn frames_are_decoded_as_encoded_wherever_they_are_split() {
    let mut bytes = Vec::new();
    for frame in frames() {
        frame.encode(&mut bytes);
    }
    for piece in 1..bytes.len() {
        let (mut input, mut came) = (Vec::new(), Vec::new());
        for bytes in bytes.chunks(piece) {
            input.extend_from_slice(bytes);
            while let Some((frame, length)) = Frame::decode(&input, 400).unwrap() {
                input.drain(..length);
                came.push(frame);
            }
        }
        assert_eq!(came, frames());
        assert!(input.is_empty());
    }
}

#[test]
fn a_frame_that_is_too_long_is_refused_by_its_length_alone() {
    let bytes = 401u32.to_be_bytes();
    let error = Frame::decode(&bytes, 400).unwrap_err();
    let expected = Malformed::TooLong {
        length: 401,
        longest: 400,
    };
    assert_eq!(error, expected);
    assert_eq!(
        error.to_string(),
        "a frame of 401 bytes, where 400 are the most"
    );
}

#[test]
fn a_malformed_frame_is_refused() {
    // Empty; of no kind; a ping that is too short, and too long; a `Bye` without a reason.
    let frames: [&[u8]; 5] = [
        &[],
        &[9],
        &[4, 0],
        &[4, 0, 0, 0, 1, 0],
        &[6, 99, 0, 0, 0, 0, 0, 0, 0, 0],
    ];
    for frame in frames {
        let mut bytes = (frame.len() as u32).to_be_bytes().to_vec();
        bytes.extend(frame);
        let error = Frame::decode(&bytes, 400).unwrap_err();
        assert!(matches!(error, Malformed::Unknown { .. }), "{frame:?}");
    }
}

#[test]
fn a_limit_ends_the_wait_for_a_client_that_never_stops_sending() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    // All that the system has room for, far more than is read before the limit is checked.
    client.set_nonblocking(true).unwrap();
    while client.write(&[0; 4096]).is_ok() {}
    drop(client);
    reveille::rt::block_on(async {
        let mut wire = Wire::new(server, 400).unwrap();
        assert!(timeout(Duration::ZERO, wire.end()).await.is_err());
    });
}

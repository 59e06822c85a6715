//! The protocol between server and clients.
//!
//! It consists of frames: four bytes with the length of the rest, one byte with the kind, and
//! numbers, all big-endian.
//!
//! ```text
//! server                                client
//! Hello, or Bye(server full) ─────────►
//!                            ◄───────── Request(id, work, length), any number ahead
//! Answer(id, outcome, …)     ─────────►
//! Ping(number)               ─────────►
//!                            ◄───────── Pong(number)
//! Bye(why, taken)            ─────────►
//! ```
//!
//! The server answers in the order of the requests. `taken` says how many requests of this
//! connection it has taken: all of them are answered, and the others may be sent to another server.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use super::end::End;

/// The longest frame that a client may send. A longer one is malformed.
pub(crate) const LONGEST_REQUEST: usize = 64;

/// How many bytes of content a client may request.
pub(crate) const LONGEST_CONTENT: u32 = 1 << 20;

/// The longest frame that a server may send: the content and the head of the answer.
pub(crate) const LONGEST_ANSWER: usize = LONGEST_CONTENT as usize + 9;

/// How many bytes the length of a frame takes.
const LENGTH: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// The connection was accepted.
    Hello,
    Request(Request),
    Answer {
        id: u64,
        outcome: Outcome,
        /// Bytes of content.
        length: u32,
    },
    Ping(u32),
    Pong(u32),
    Bye {
        why: End,
        taken: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) id: u64,
    /// How long the work takes, in whole microseconds.
    pub(crate) work: Duration,
    /// How many bytes the answer should have.
    pub(crate) length: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// The handler took too long.
    Overdue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    TooLong { length: usize, longest: usize },
    Unknown { kind: u8, length: usize },
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { length, longest } => {
                write!(f, "a frame of {length} bytes, where {longest} are the most")
            }
            Self::Unknown { kind, length } => {
                write!(f, "no frame of {length} bytes is of the kind {kind}")
            }
        }
    }
}

impl Error for Malformed {}

impl Frame {
    /// Appends the frame to `bytes`.
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        bytes.extend([0; LENGTH]);
        match *self {
            Self::Hello => bytes.push(0),
            Self::Request(Request { id, work, length }) => {
                bytes.push(1);
                bytes.extend(id.to_be_bytes());
                let micros = u32::try_from(work.as_micros()).unwrap_or(u32::MAX);
                bytes.extend(micros.to_be_bytes());
                bytes.extend(length.to_be_bytes());
            }
            Self::Answer {
                id,
                outcome,
                length,
            } => {
                bytes.push(match outcome {
                    Outcome::Done => 2,
                    Outcome::Overdue => 3,
                });
                bytes.extend(id.to_be_bytes());
                bytes.resize(bytes.len() + length as usize, b'.');
            }
            Self::Ping(number) => {
                bytes.push(4);
                bytes.extend(number.to_be_bytes());
            }
            Self::Pong(number) => {
                bytes.push(5);
                bytes.extend(number.to_be_bytes());
            }
            Self::Bye { why, taken } => {
                bytes.push(6);
                bytes.push(why as u8);
                bytes.extend(taken.to_be_bytes());
            }
        }
        let length = (bytes.len() - start - LENGTH) as u32;
        bytes[start..start + LENGTH].copy_from_slice(&length.to_be_bytes());
    }

    /// Returns the frame at the beginning of `bytes` and its length, if it is complete.
    pub(crate) fn decode(bytes: &[u8], longest: usize) -> Result<Option<(Self, usize)>, Malformed> {
        let Some((length, rest)) = bytes.split_first_chunk() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length) as usize;
        if length > longest {
            return Err(Malformed::TooLong { length, longest });
        }
        let Some((&kind, content)) = rest.get(..length).and_then(<[u8]>::split_first) else {
            // A frame without a kind is malformed, however many bytes follow.
            let empty = Malformed::Unknown { kind: 0, length };
            return if length == 0 { Err(empty) } else { Ok(None) };
        };
        let frame = Self::of(kind, content).ok_or(Malformed::Unknown { kind, length })?;
        Ok(Some((frame, LENGTH + length)))
    }

    fn of(kind: u8, mut content: &[u8]) -> Option<Self> {
        let bytes = &mut content;
        let frame = match kind {
            0 => Self::Hello,
            1 => Self::Request(Request {
                id: u64::from_be_bytes(take(bytes)?),
                work: Duration::from_micros(u32::from_be_bytes(take(bytes)?).into()),
                length: u32::from_be_bytes(take(bytes)?),
            }),
            2 | 3 => Self::Answer {
                id: u64::from_be_bytes(take(bytes)?),
                outcome: match kind {
                    2 => Outcome::Done,
                    _ => Outcome::Overdue,
                },
                length: std::mem::take(bytes).len() as u32,
            },
            4 => Self::Ping(u32::from_be_bytes(take(bytes)?)),
            5 => Self::Pong(u32::from_be_bytes(take(bytes)?)),
            6 => {
                let [code] = take(bytes)?;
                let why = *End::ALL.get(usize::from(code))?;
                let taken = u64::from_be_bytes(take(bytes)?);
                Self::Bye { why, taken }
            }
            _ => return None,
        };
        bytes.is_empty().then_some(frame)
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*number)
}

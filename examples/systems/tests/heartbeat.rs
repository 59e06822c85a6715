//! The heartbeat on a manual clock: real WebSockets, over a pipe in memory.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::join;
use futures_util::{SinkExt, StreamExt};
use reveille::ManualClock;
use reveille::time::{Duration, Instant, Sleep, sleep};
use reveille_systems::heartbeat::{Ended, listen, serve};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Serves one client with a ping each 10 s and a patience of 30 s. Returns how the connection has
/// ended, and after which time.
fn served<F: Future>(
    buffer: usize,
    client: impl FnOnce(WebSocketStream<DuplexStream>) -> F,
) -> (Ended, Duration) {
    let (end, _) = ManualClock::new().simulate(async {
        let start = Instant::now();
        let (near, far) = tokio::io::duplex(buffer);
        let server = async {
            let socket = WebSocketStream::from_raw_socket(near, Role::Server, None).await;
            let ended = serve(socket, seconds(10), seconds(30)).await;
            (ended.unwrap(), start.elapsed())
        };
        let client = async {
            client(WebSocketStream::from_raw_socket(far, Role::Client, None).await).await;
        };
        join(server, client).await.0
    });
    end
}

/// Closes a connection as the protocol wants it.
async fn close(mut socket: WebSocketStream<DuplexStream>) {
    socket.close(None).await.unwrap();
    while let Some(Ok(_)) = socket.next().await {}
}

#[test]
fn a_peer_that_only_answers_pings_is_kept_for_an_hour() {
    let ended = served(1024, async |mut socket| {
        let texts = listen(&mut socket, "hello", seconds(3600)).await;
        assert_eq!(texts.unwrap(), ["hello"]);
        close(socket).await;
    });
    assert_eq!(ended, (Ended::Closed, seconds(3600)));
}

#[test]
fn a_peer_that_never_answers_is_dropped_when_the_patience_is_over() {
    let ended = served(1024, async |socket| {
        sleep(seconds(100)).await;
        drop(socket);
    });
    assert_eq!(ended, (Ended::Silent, seconds(30)));
}

#[test]
fn a_peer_that_falls_silent_is_dropped_some_time_after_its_last_frame() {
    let ended = served(1024, async |mut socket| {
        listen(&mut socket, "hello", seconds(95)).await.unwrap();
        sleep(seconds(1000)).await;
        drop(socket);
    });
    // It has answered the ping of second 90.
    assert_eq!(ended, (Ended::Silent, seconds(120)));
}

/// The buffer takes no more than one ping, so the server waits in a send.
#[test]
fn a_peer_that_does_not_read_is_dropped_although_the_server_waits_in_a_send() {
    let ended = served(3, async |socket| {
        sleep(seconds(100)).await;
        drop(socket);
    });
    assert_eq!(ended, (Ended::Silent, seconds(30)));
}

/// Text keeps it alive, too; it is echoed.
#[test]
fn a_peer_that_sends_text_is_kept() {
    let ended = served(1 << 16, async |mut socket| {
        for _ in 0..10 {
            sleep(seconds(29)).await;
            socket.send(Message::text("x")).await.unwrap();
        }
        close(socket).await;
    });
    assert_eq!(ended, (Ended::Closed, seconds(290)));
}

/// A server that has stood still must not drop all its peers: what they have sent counts.
#[test]
fn a_peer_is_kept_whose_frame_came_while_the_server_stood_still() {
    for _ in 0..20 {
        let clock = ManualClock::new();
        let (ended, _) = clock.simulate(async {
            let (near, far) = tokio::io::duplex(1024);
            let server = async {
                let socket = WebSocketStream::from_raw_socket(near, Role::Server, None).await;
                serve(socket, seconds(10), seconds(30)).await.unwrap()
            };
            let client = async {
                let mut socket = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
                socket.send(Message::text("x")).await.unwrap();
                clock.advance(seconds(100)); // the server is not polled meanwhile
                close(socket).await;
            };
            join(server, client).await.0
        });
        assert_eq!(ended, Ended::Closed);
    }
}

/// A pipe from which nothing can be read before an instant, although it is there: as with a socket
/// whose readiness is among the last ones of thousands.
struct LateToRead {
    pipe: DuplexStream,
    from: Sleep,
}

impl AsyncRead for LateToRead {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::task::ready!(Pin::new(&mut self.from).poll(cx));
        Pin::new(&mut self.pipe).poll_read(cx, buffer)
    }
}

impl AsyncWrite for LateToRead {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.pipe).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}

/// The timers are due before the loop knows of what came. A peer that is dead is dropped after it.
#[test]
fn after_a_standstill_a_peer_has_time_to_answer_before_it_is_dropped() {
    for lives in [true, false] {
        let clock = ManualClock::new();
        let (ended, _) = clock.simulate(async {
            let (near, far) = tokio::io::duplex(1024);
            let pipe = LateToRead {
                pipe: near,
                from: sleep(seconds(101)),
            };
            let server = async {
                let socket = WebSocketStream::from_raw_socket(pipe, Role::Server, None).await;
                serve(socket, seconds(10), seconds(30)).await.unwrap()
            };
            let client = async {
                let mut socket = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
                clock.advance(seconds(100)); // the server is not polled meanwhile
                if lives {
                    socket.send(Message::text("x")).await.unwrap();
                    close(socket).await;
                } else {
                    sleep(seconds(1000)).await;
                }
            };
            join(server, client).await.0
        });
        assert_eq!(ended, if lives { Ended::Closed } else { Ended::Silent });
    }
}

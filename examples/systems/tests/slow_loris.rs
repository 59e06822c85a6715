//! Slow clients of a hyper server: over pipes in memory on a manual clock, and over real sockets.

use std::net::IpAddr;
use std::sync::Arc;

use futures_util::future::{join, join_all, select};
use reveille::time::{Duration, Instant, sleep, timeout};
use reveille::{Handle, LimitError, ManualClock};
use reveille_systems::slow_loris::{Peers, attack, connection};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_client_that_sends_its_header_byte_by_byte_is_dropped_at_the_deadline() {
    let ((served, sent), took) = ManualClock::new().simulate(async {
        let (near, far) = tokio::io::duplex(1024);
        join(connection(near, Some(seconds(30))), attack(far, seconds(1))).await
    });
    assert!(served.unwrap_err().is_timeout());
    assert_eq!(took, seconds(30));
    assert!((29..=30).contains(&sent), "{sent}");
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Serves a connection if its peer has not too many. Returns whether it was served.
async fn serve_limited(peers: &Arc<Peers>, peer: &str, stream: DuplexStream) -> bool {
    match peers.admit(address(peer)) {
        Ok(admitted) => {
            admitted.run(connection(stream, Some(seconds(30)))).await;
            true
        }
        Err(_) => false,
    }
}

/// Ten attackers are at one address. Those above the limit are closed before they have sent a byte,
/// and whoever else comes meanwhile is served.
#[test]
fn a_peer_has_no_more_slow_connections_than_its_limit() {
    let peers = Peers::new(3, seconds(3600));
    let ((served, sent, ()), took) = ManualClock::new().simulate(async {
        let (near, far): (Vec<_>, Vec<_>) = (0..10).map(|_| tokio::io::duplex(1024)).unzip();
        let slow = near
            .into_iter()
            .map(|near| serve_limited(&peers, "192.0.2.1", near));
        let attackers = far.into_iter().map(|far| attack(far, seconds(1)));
        let honest = async {
            sleep(seconds(15)).await;
            assert!(peers.admit(address("192.0.2.1")).is_err());
            let (near, mut far) = tokio::io::duplex(1024);
            let client = async move {
                let request = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
                far.write_all(request).await.unwrap();
                let mut answer = String::new();
                far.read_to_string(&mut answer).await.unwrap();
                assert!(answer.starts_with("HTTP/1.1 200 "));
            };
            let start = Instant::now();
            let (served, ()) = join(serve_limited(&peers, "192.0.2.2", near), client).await;
            assert!(served);
            assert_eq!(start.elapsed(), seconds(0));
        };
        let (served, (sent, honest)) =
            join(join_all(slow), join(join_all(attackers), honest)).await;
        // All have ended, so the attacker's address may connect again, and nothing is kept of it.
        assert_eq!(peers.connected(), 0);
        assert!(peers.admit(address("192.0.2.1")).is_ok());
        (served, sent, honest)
    });
    assert_eq!(served.iter().filter(|served| **served).count(), 3);
    assert_eq!(sent.iter().filter(|sent| **sent > 0).count(), 3);
    assert_eq!(took, seconds(30));
}

#[test]
fn a_place_of_a_peer_is_free_when_its_connection_ends_or_its_life_does() {
    let peers = Peers::new(2, seconds(60));
    let peer = address("192.0.2.1");
    ManualClock::new().simulate(async {
        let start = Instant::now();
        let one = peers.admit(peer).unwrap();
        sleep(seconds(20)).await;
        let two = peers.admit(peer).unwrap();
        let refused = peers.admit(peer).unwrap_err();
        assert!(matches!(refused, LimitError::Timers { limit: 2, .. }));
        assert!(!one.run(async {}).await);
        let three = peers.admit(peer).unwrap();
        assert!(peers.admit(peer).is_err());
        assert!(two.run(std::future::pending::<()>()).await);
        assert_eq!(start.elapsed(), seconds(80));
        drop((peers.admit(peer).unwrap(), three));
        assert_eq!(peers.connected(), 0);
    });
}

/// Whoever has one address of IPv6 has its whole network.
#[test]
fn the_addresses_of_one_network_are_one_peer() {
    let peers = Peers::new(1, seconds(60));
    ManualClock::new().simulate(async {
        let admit = |text| peers.admit(address(text));
        let _places = [
            admit("2001:db8::1").unwrap(),
            admit("2001:db8:0:1::1").unwrap(),
            admit("192.0.2.1").unwrap(),
            admit("192.0.2.2").unwrap(),
        ];
        assert!(admit("2001:db8::2:1").is_err());
        assert!(admit("::ffff:192.0.2.1").is_err());
    });
}

/// Two places and one for each peer: of two attackers one is closed, although there is a place.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_server_closes_what_a_peer_opens_above_its_limit() {
    use reveille_systems::slow_loris::{request, serve};
    use tokio::net::{TcpListener, TcpSocket, TcpStream};

    let test = async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        let places = Arc::new(tokio::sync::Semaphore::new(2));
        let peers = Peers::new(1, seconds(3600));
        tokio::spawn(serve(listener, places.clone(), None, Some(peers.clone())));
        let attacker = async || {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
            socket.connect(server).await.unwrap()
        };
        let mut first = attacker().await;
        first.write_all(b"GET /").await.unwrap();
        let mut second = attacker().await;
        // A clean end or a reset.
        assert_eq!(second.read(&mut [0]).await.unwrap_or(0), 0);
        let honest = TcpStream::connect(server).await.unwrap();
        assert!(request(honest).await.unwrap());
        drop(first);
        while peers.connected() > 0 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(seconds(60), test)
        .await
        .expect("the honest client got no answer");
}

/// What hyper itself does about it, which is nothing. (It has a limit for the length of a header.)
#[test]
fn without_a_deadline_it_holds_its_place_for_hours() {
    let (held, _) = ManualClock::new().simulate(async {
        let (near, far) = tokio::io::duplex(1024);
        let both = join(connection(near, None), attack(far, seconds(60)));
        timeout(seconds(4 * 3600), both).await
    });
    assert!(held.is_err());
}

/// The deadline is for each header, so a client that is slow, but not too slow, is served.
#[test]
fn a_client_that_needs_less_than_the_deadline_for_each_header_is_served() {
    ManualClock::new().simulate(async {
        let (near, mut far) = tokio::io::duplex(1024);
        let server = connection(near, Some(seconds(30)));
        let client = async {
            for _ in 0..3 {
                for part in ["GET / HTTP/1.1\r\n", "host: localhost\r\n", "\r\n"] {
                    sleep(seconds(9)).await;
                    far.write_all(part.as_bytes()).await.unwrap();
                }
                let mut answer = [0; 1024];
                let length = far.read(&mut answer).await.unwrap();
                assert!(answer[..length].starts_with(b"HTTP/1.1 200 "));
                assert!(Handle::current().armed() <= 2);
            }
            Instant::now()
        };
        let start = Instant::now();
        match select(Box::pin(server), Box::pin(client)).await {
            futures_util::future::Either::Right((end, _)) => assert_eq!(end - start, seconds(81)),
            futures_util::future::Either::Left((served, _)) => panic!("{served:?}"),
        }
    });
}

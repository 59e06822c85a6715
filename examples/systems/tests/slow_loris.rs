//! A slow client on a manual clock: a hyper server, over a pipe in memory.

use futures_util::future::{join, select};
use reveille::time::{Duration, Instant, sleep, timeout};
use reveille::{Handle, ManualClock};
use reveille_systems::slow_loris::{attack, connection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

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

//! Idle timeouts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::{ConnectionError, Runtime, TokioRuntime};
use reveille::ManualClock;
use reveille::adapters::quinn_0_11::{QuinnRuntime, QuinnTimers};
use reveille::rt;
use reveille_ecosystem::{on_rt, on_tokio, watched};

use crate::peer::Peers;
use crate::{ms, secs};

/// Connects, and is silent until both sides give up.
///
/// On a busy machine they may do so before they are connected.
async fn falls_silent(runtime: Arc<dyn Runtime>, idle: Duration) {
    let peers = Peers::new(idle);
    let (server, client) = (peers.server(&runtime), peers.client(&runtime));
    let address = server.local_addr().unwrap();
    let serve = async { Ok(server.accept().await.unwrap().await?.closed().await) };
    let ask = async {
        Ok(client
            .connect(address, "localhost")
            .unwrap()
            .await?
            .closed()
            .await)
    };
    let (serve, ask): (Result<_, ConnectionError>, Result<_, ConnectionError>) =
        futures::join!(serve, ask);
    for end in [serve, ask] {
        let (Ok(error) | Err(error)) = end;
        assert_eq!(error, ConnectionError::TimedOut);
    }
}

#[test]
fn a_silent_connection_ends_on_rt_alone() {
    on_rt(async {
        let start = Instant::now();
        falls_silent(Arc::new(QuinnRuntime::current()), ms(50)).await;
        assert!(start.elapsed() >= ms(50));
    });
}

#[test]
fn a_silent_connection_ends_on_tokio() {
    on_tokio(async {
        let start = Instant::now();
        falls_silent(Arc::new(QuinnTimers::new(TokioRuntime)), ms(50)).await;
        assert!(start.elapsed() >= ms(50));
    });
}

#[test]
fn on_a_manual_clock_an_hour_of_silence_takes_no_time() {
    watched(|| {
        let clock = ManualClock::new();
        let start = clock.now();
        let runtime = rt::Runtime::builder().worker_threads(1).clock(&clock);
        runtime.build().unwrap().block_on(async {
            falls_silent(Arc::new(QuinnRuntime::current()), secs(3600)).await;
        });
        let elapsed = clock.now() - start;
        // What is retransmitted before takes some milliseconds of this clock.
        assert!(elapsed >= secs(3600) && elapsed < secs(3660), "{elapsed:?}");
    });
}

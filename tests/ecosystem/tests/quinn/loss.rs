//! Exchanges of which datagrams are lost.

use std::sync::Arc;

use quinn::{Endpoint, Runtime, TokioRuntime};
use reveille::ManualClock;
use reveille::adapters::quinn_0_11::{QuinnRuntime, QuinnTimers};
use reveille::rt;
use reveille_ecosystem::{on_rt, on_tokio, watched};

use crate::peer::{Peers, connect, echo, exchange};
use crate::proxy::Proxy;
use crate::{ms, secs};

/// One of seven, and of those the second of the first flight.
fn one_of_seven(number: u32) -> bool {
    number % 7 == 1
}

fn one_of_ten(number: u32) -> bool {
    number % 10 == 3
}

async fn exchange_by(client: &Endpoint, proxy: &Proxy) {
    let connection = connect(client, proxy.address).await;
    exchange(&connection, 60_000).await;
    connection.close(0_u32.into(), b"done");
    assert!(proxy.dropped() >= 5, "{} dropped", proxy.dropped());
}

#[test]
fn what_is_lost_is_sent_again_on_rt_alone() {
    on_rt(async {
        let runtime: Arc<dyn Runtime> = Arc::new(QuinnRuntime::current());
        let peers = Peers::new(secs(30));
        let (server, client) = (peers.server(&runtime), peers.client(&runtime));
        let proxy = Proxy::new(server.local_addr().unwrap(), one_of_seven, one_of_ten);
        rt::spawn(echo(server));
        exchange_by(&client, &proxy).await;
    });
}

#[test]
fn what_is_lost_is_sent_again_on_tokio() {
    let network = rt::Runtime::builder().worker_threads(2).build().unwrap();
    let network = network.handle().clone();
    on_tokio(async move {
        let runtime: Arc<dyn Runtime> = Arc::new(QuinnTimers::new(TokioRuntime));
        let peers = Peers::new(secs(30));
        let (server, client) = (peers.server(&runtime), peers.client(&runtime));
        let address = server.local_addr().unwrap();
        let proxy = network.spawn(async move { Proxy::new(address, one_of_seven, one_of_ten) });
        let proxy = proxy.await.unwrap();
        tokio::spawn(echo(server));
        exchange_by(&client, &proxy).await;
    });
}

/// Only a timer can bring a handshake back whose first datagrams are lost: no answer tells of it.
#[test]
fn on_a_manual_clock_a_handshake_waits_for_no_real_time() {
    watched(|| {
        let clock = ManualClock::new();
        let start = clock.now();
        let runtime = rt::Runtime::builder().worker_threads(1).clock(&clock);
        runtime.build().unwrap().block_on(async {
            let runtime: Arc<dyn Runtime> = Arc::new(QuinnRuntime::current());
            let peers = Peers::new(secs(3600));
            let (server, client) = (peers.server(&runtime), peers.client(&runtime));
            let address = server.local_addr().unwrap();
            let proxy = Proxy::new(address, |number| number < 3, one_of_ten);
            rt::spawn(echo(server));
            let connection = connect(&client, proxy.address).await;
            // Before quinn has measured a round trip, it takes it for 333 ms. It waits for three of
            // these, sends two datagrams, and waits for twice as long.
            assert!(clock.now() - start >= ms(999 + 2 * 999));
            exchange(&connection, 10_000).await;
            assert!(proxy.dropped() >= 3);
        });
    });
}

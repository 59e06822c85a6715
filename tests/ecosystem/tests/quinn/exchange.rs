//! Exchanges without loss, on `rt` alone and on tokio.

use std::sync::Arc;
use std::thread;

use quinn::{Runtime, TokioRuntime};
use reveille::DriverThread;
use reveille::adapters::quinn_0_11::{QuinnRuntime, QuinnTimers};
use reveille::rt;
use reveille_ecosystem::{on_rt, on_tokio, watched};

use crate::peer::{Peers, connect, echo, exchange};
use crate::secs;

#[test]
fn a_long_exchange_on_rt_alone() {
    on_rt(async {
        let runtime: Arc<dyn Runtime> = Arc::new(QuinnRuntime::current());
        let peers = Peers::new(secs(30));
        let (server, client) = (peers.server(&runtime), peers.client(&runtime));
        let address = server.local_addr().unwrap();
        let echo = rt::spawn(echo(server));
        let connection = connect(&client, address).await;
        exchange(&connection, 500_000).await;
        exchange(&connection, 1).await;
        connection.close(0_u32.into(), b"done");
        echo.await.unwrap();
        client.wait_idle().await;
    });
}

#[test]
fn many_streams_at_once_on_rt_alone() {
    on_rt(async {
        let runtime: Arc<dyn Runtime> = Arc::new(QuinnRuntime::current());
        let peers = Peers::new(secs(30));
        let (server, client) = (peers.server(&runtime), peers.client(&runtime));
        let address = server.local_addr().unwrap();
        rt::spawn(echo(server));
        let connection = connect(&client, address).await;
        let exchanges = (0..20).map(|i| {
            let connection = connection.clone();
            rt::spawn(async move { exchange(&connection, i * 1_000).await })
        });
        for exchange in exchanges.collect::<Vec<_>>() {
            exchange.await.unwrap();
        }
    });
}

async fn on_tokio_sockets(runtime: Arc<dyn Runtime>) {
    let peers = Peers::new(secs(30));
    let (server, client) = (peers.server(&runtime), peers.client(&runtime));
    let address = server.local_addr().unwrap();
    let echo = tokio::spawn(echo(server));
    let connection = connect(&client, address).await;
    exchange(&connection, 300_000).await;
    connection.close(0_u32.into(), b"done");
    echo.await.unwrap();
    client.wait_idle().await;
}

#[test]
fn an_exchange_on_the_sockets_of_tokio() {
    on_tokio(on_tokio_sockets(Arc::new(QuinnTimers::new(TokioRuntime))));
    let thread = DriverThread::new().unwrap();
    let runtime = QuinnTimers::with_driver(TokioRuntime, thread.handle().clone());
    on_tokio(on_tokio_sockets(Arc::new(runtime)));
}

/// An endpoint belongs to its runtime, whatever thread uses it.
#[test]
fn a_thread_outside_of_the_runtime_connects() {
    watched(|| {
        let runtime = rt::Runtime::builder().worker_threads(2).build().unwrap();
        let quinn: Arc<dyn Runtime> = Arc::new(QuinnRuntime::new(runtime.handle().clone()));
        let peers = Peers::new(secs(30));
        let (server, client) = (peers.server(&quinn), peers.client(&quinn));
        let address = server.local_addr().unwrap();
        runtime.spawn(echo(server));
        let outside = thread::spawn(move || {
            pollster::block_on(async {
                let connection = connect(&client, address).await;
                exchange(&connection, 100_000).await;
            });
        });
        outside.join().unwrap();
    });
}

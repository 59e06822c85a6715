//! The published server, as its own binary starts it; prints the port that it listens on.

use mini_redis::server;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    server::run(listener, tokio::signal::ctrl_c()).await.unwrap();
}

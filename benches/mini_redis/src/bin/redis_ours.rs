//! The same server with its import changed. SLACK_US sets the slack.

use mini_redis_ported::server;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() {
    if let Ok(us) = std::env::var("SLACK_US") {
        let us = us.parse().expect("SLACK_US is a number");
        reveille::Handle::current().set_slack(std::time::Duration::from_micros(us));
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    server::run(listener, tokio::signal::ctrl_c()).await.unwrap();
}

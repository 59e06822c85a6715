//! A TCP server and its load generator on `reveille::rt` alone: thousands of connections, six
//! timers for each pair of them, no thread but the runtime's workers.
//!
//! ```sh
//! cargo run --release --features io --example tcp_load
//! cargo run --release --features io --example tcp_load -- --help
//! ```
//!
//! The server, in `server.rs` and `connection.rs`, has the limits that a real one needs: for idle
//! clients, for requests that trickle in, for handlers that take too long, for clients that do not
//! answer pings or do not read, for the number of connections, and for how long it takes to shut
//! down. The clients, in `client/`, are well-behaved and badly behaved ones; the server has to
//! disconnect each kind of the latter for a different reason.
//!
//! Requests are sent when the timetable says so, and latency counts from that time, not from when
//! the client really sent them: so a stall that delays both sides is measured, too.
//!
//! The program fails if a timer was early, a request was lost, or the counts of the server and its
//! clients do not match. It only reports how late everything was, because that depends on the
//! machine.

#[cfg(not(target_os = "linux"))]
#[path = "elsewhere.rs"]
mod program;
#[cfg(target_os = "linux")]
mod program;

fn main() -> std::process::ExitCode {
    program::main()
}

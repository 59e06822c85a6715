//! The loop: wait, fire timers, drive connections.
//!
//! Each pass blocks in the poller until a socket is ready or the earliest deadline has come, for at
//! most the driver's timeout; turns the driver, which wakes the connections whose timers are due;
//! wakes those whose sockets are ready; and drives all that were woken. This is all that timers
//! need in a loop: `next_timeout` before the wait, `turn` after it.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use reveille::Driver;
use reveille::time::{Instant, Interval, MissedTickBehavior};

use crate::connection::Connection;
use crate::meter::Meter;
use crate::poll::{Interest, Poll};
use crate::wakes::Wakes;

const REPORT: Duration = Duration::from_millis(250);

/// The keys of the listener and the reporter. Those of connections come after them and are never
/// used twice, so that a late wake has no effect, rather than an effect on another connection.
const LISTENER: u64 = 0;
const REPORTER: u64 = 1;

pub(crate) struct Server {
    poll: Poll,
    driver: Driver<()>,
    wakes: Wakes,
    listener: TcpListener,
    connections: BTreeMap<u64, (Connection, Waker)>,
    next_key: u64,
    started: Instant,
    reports: Interval,
    meter: Meter,
}

impl Server {
    pub(crate) fn new(listener: TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let mut poll = Poll::new()?;
        poll.add(&listener, LISTENER, Interest::Read)?;

        // A timer that another thread arms, due before the loop would wake, interrupts the poll.
        let driver = Driver::with_unpark(poll.notifier());
        let started = driver.handle().now();
        let mut reports = driver.handle().interval_at(started + REPORT, REPORT);
        reports.set_missed_tick_behavior(MissedTickBehavior::Skip);

        let mut meter = Meter::default();
        meter.made += 1;

        Ok(Self {
            poll,
            driver,
            wakes: Wakes::default(),
            listener,
            connections: BTreeMap::new(),
            next_key: REPORTER + 1,
            started,
            reports,
            meter,
        })
    }

    /// Returns a function that makes [`run`](Self::run) check `stop`.
    pub(crate) fn notifier(&self) -> impl Fn() + Send + Sync + 'static {
        self.poll.notifier()
    }

    /// Serves until `stop` is set and the last connection has ended, and returns the measurements.
    ///
    /// Connections do not exceed their limits for long, so this needs no limit of its own.
    pub(crate) fn run(mut self, stop: &AtomicBool) -> io::Result<Meter> {
        let reporter = self.wakes.waker(REPORTER);
        let mut ready = Vec::new();
        self.report(&reporter)?;
        while !stop.load(Ordering::Acquire) || !self.connections.is_empty() {
            // If something was woken already, the poll must not block.
            let timeout = match self.wakes.len() {
                0 => self.driver.next_timeout(),
                _ => Some(Duration::ZERO),
            };
            self.meter.waits += 1;
            let timed_out = self.poll.wait(timeout, &mut ready)?;
            self.meter.interrupted += usize::from(!timed_out);

            self.meter.fired += self.driver.turn().fired();

            for key in ready.drain(..) {
                if key == LISTENER {
                    self.accept()?;
                } else if let Some((connection, waker)) = self.connections.get_mut(&key) {
                    connection.registered = Interest::Nothing;
                    waker.wake_by_ref();
                }
            }
            // Not more than there are now: what is woken by these waits for the next pass, behind
            // the timers and sockets that become ready meanwhile.
            for _ in 0..self.wakes.len() {
                match self.wakes.next() {
                    Some(REPORTER) => self.report(&reporter)?,
                    Some(key) => self.drive(key)?,
                    None => break,
                }
            }
            self.meter.peak = self.meter.peak.max(self.driver.handle().armed());
        }
        Ok(self.end())
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // The client has given up while it waited in the backlog.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                // The system is short of something, for now. The next report tries again.
                Err(error) => {
                    println!("no client accepted: {error}");
                    return Ok(());
                }
            };
            let key = self.next_key;
            self.next_key += 1;
            let timers = self.driver.handle();
            // The client may have gone already, and the poller may be full.
            let added = Connection::new(socket, timers, &mut self.meter).and_then(|connection| {
                self.poll.add(&connection.socket, key, Interest::Nothing)?;
                Ok(connection)
            });
            let connection = match added {
                Ok(connection) => connection,
                Err(error) => {
                    println!("a client is dropped: {error}");
                    continue;
                }
            };
            let waker = self.wakes.waker(key);
            // Driving it once arms its timer, and asks for its first line.
            waker.wake_by_ref();
            self.connections.insert(key, (connection, waker));
            self.meter.accepted += 1;
        }
        self.poll.renew(&self.listener, LISTENER, Interest::Read)
    }

    fn drive(&mut self, key: u64) -> io::Result<()> {
        let Some((connection, waker)) = self.connections.get_mut(&key) else {
            return Ok(());
        };
        let mut cx = Context::from_waker(waker);
        if let std::task::Poll::Ready(end) = connection.drive(&mut cx, &mut self.meter) {
            self.meter.ended(end);
            self.poll.remove(&connection.socket)?;
            self.connections.remove(&key); // and its timers with it
            return Ok(());
        }
        let interest = connection.interest();
        if interest != Interest::Nothing && interest != connection.registered {
            connection.registered = interest;
            self.poll.renew(&connection.socket, key, interest)?;
        }
        Ok(())
    }

    /// Prints a line at each tick, and waits for the next. Clients that could not be accepted before
    /// are tried again.
    fn report(&mut self, waker: &Waker) -> io::Result<()> {
        let mut cx = Context::from_waker(waker);
        while let std::task::Poll::Ready(due) = self.reports.poll_tick(&mut cx) {
            let timers = self.driver.handle();
            self.meter.expired(due, timers.now());
            self.meter.moved += 1;
            println!(
                "  {:>4} ms {:>11} {:>10} {:>10} {:>12} {:>10}",
                (due - self.started).as_millis(),
                self.connections.len(),
                self.meter.answered,
                self.meter.overdue,
                timers.armed(),
                self.meter.fired,
            );
            self.poll.renew(&self.listener, LISTENER, Interest::Read)?;
        }
        Ok(())
    }

    /// Checks that the timers were dropped with their connections.
    fn end(self) -> Meter {
        let left = self.driver.handle().armed();
        assert_eq!(
            left, 1,
            "a timer other than that of the reports is still armed"
        );
        self.meter
    }
}

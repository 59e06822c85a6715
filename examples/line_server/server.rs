//! In what order does a loop wait, fire timers and serve its connections?
//!
//! Each pass: block in the poller until a socket is ready or the earliest deadline has come, no
//! longer than the driver says; turn the driver, which wakes the connections whose timers are due;
//! wake those whose sockets are ready; drive all that were woken. Nothing else is needed to have
//! timers in a loop: `next_timeout` before the wait, `turn` after it.

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

/// The keys of what is not a connection. Theirs come after it and are never used twice: a wake that
/// comes late finds nobody, and not somebody else.
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

        // A timer armed on another thread, due before the loop would wake, interrupts the poll.
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

    /// Returns what makes [`run`](Self::run) look at `stop`.
    pub(crate) fn notifier(&self) -> impl Fn() + Send + Sync + 'static {
        self.poll.notifier()
    }

    /// Serves until `stop` is set and the last connection is over, and returns what was measured.
    ///
    /// No connection outstays the limits for long, so that needs no limit of its own.
    pub(crate) fn run(mut self, stop: &AtomicBool) -> io::Result<Meter> {
        let reporter = self.wakes.waker(REPORTER);
        let mut ready = Vec::new();
        self.report(&reporter);
        while !stop.load(Ordering::Acquire) || !self.connections.is_empty() {
            // What is woken already does not wait for anything that may happen.
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
            // Not more than there are now: whoever is woken by what runs here waits for the next
            // pass, behind the timers and sockets that become ready meanwhile.
            for _ in 0..self.wakes.len() {
                match self.wakes.next() {
                    Some(REPORTER) => self.report(&reporter),
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
                // The client has given up while it waited in line.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            let key = self.next_key;
            self.next_key += 1;
            let timers = self.driver.handle();
            let connection = Connection::new(socket, timers, &mut self.meter)?;
            self.poll.add(&connection.socket, key, Interest::Nothing)?;
            let waker = self.wakes.waker(key);
            // Its first drive arms its timer, and asks for its first line.
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
            self.connections.remove(&key); // and with it its timers
            return Ok(());
        }
        let interest = connection.interest();
        if interest != Interest::Nothing && interest != connection.registered {
            connection.registered = interest;
            self.poll.renew(&connection.socket, key, interest)?;
        }
        Ok(())
    }

    /// Prints a line at each tick, and waits for the next.
    fn report(&mut self, waker: &Waker) {
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
        }
    }

    /// Looks whether the timers went with their connections.
    fn end(self) -> Meter {
        let left = self.driver.handle().armed();
        assert_eq!(
            left, 1,
            "a timer was left behind besides that of the reports"
        );
        self.meter
    }
}

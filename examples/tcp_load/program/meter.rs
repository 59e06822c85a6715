//! What happened, how late was it, and was anything early?
//!
//! Shared by all tasks on all threads. A wait is recorded when the task that waited runs again,
//! against the instant that was asked for. One that ends sooner is not a lateness of zero: it is
//! counted as early, and fails the program.
//!
//! Times are recorded while there is load, and not while all connect or hang up at once, which keeps
//! the processors busy and says little else. Counts, and what is early, count always.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use reveille::time::Instant;

use super::end::{End, Ends};

/// An hour in nanoseconds: what is more counts as that.
const HIGHEST: u64 = 3600 * 1_000_000_000;

/// What is measured, in nanoseconds.
#[derive(Clone, Copy)]
pub(crate) enum Span {
    /// From when a request was due to its answer.
    FromDue,
    /// From when a request was sent to its answer, which leaves out how long it waited to be sent.
    FromSent,
    /// From a deadline to the code that acts on it: the timetable's,
    Arrival,
    /// the end of a handler's work,
    Work,
    /// the deadline of a handler,
    Handler,
    /// of a request,
    Request,
    /// of a client that does not read,
    Read,
    /// of an idle connection,
    Idle,
    /// and a ping's.
    Ping,
}

/// Counts; in no order with anything else.
#[derive(Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

pub(crate) struct Meter {
    /// Of the server.
    pub(crate) accepted: Count,
    pub(crate) taken: Count,
    pub(crate) answered: Count,
    /// Of the clients.
    pub(crate) received: Count,
    /// Timers that ended before their deadline, on either side.
    pub(crate) early: Count,
    ends: [Count; End::ALL.len()],
    recording: AtomicBool,
    spans: [Mutex<Histogram<u64>>; 9],
}

impl Meter {
    pub(crate) fn new() -> Arc<Self> {
        let histogram = |_| {
            let histogram = Histogram::new_with_max(HIGHEST, 3);
            Mutex::new(histogram.expect("3 digits up to an hour are possible"))
        };
        Arc::new(Self {
            accepted: Count::default(),
            taken: Count::default(),
            answered: Count::default(),
            received: Count::default(),
            early: Count::default(),
            ends: Default::default(),
            recording: AtomicBool::new(false),
            spans: std::array::from_fn(histogram),
        })
    }

    /// Somebody waited until `due`, and has just been told.
    pub(crate) fn waited(&self, span: Span, due: Instant) {
        match Instant::now().checked_duration_since(due) {
            Some(late) => self.record(span, late),
            None => self.early.add(1),
        }
    }

    pub(crate) fn record(&self, span: Span, time: Duration) {
        if self.recording.load(Ordering::Relaxed) {
            self.span(span).saturating_record(time.as_nanos() as u64);
        }
    }

    /// Says whether times are recorded from now on.
    pub(crate) fn set_recording(&self, recording: bool) {
        self.recording.store(recording, Ordering::Relaxed);
    }

    pub(crate) fn span(&self, span: Span) -> MutexGuard<'_, Histogram<u64>> {
        let span = self.spans[span as usize].lock();
        span.unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a connection that was accepted; how it ends is noted when the guard is dropped.
    pub(crate) fn accept(self: &Arc<Self>) -> Accepted {
        self.accepted.add(1);
        Accepted {
            meter: self.clone(),
            end: End::Cut,
        }
    }

    /// How the server's connections ended.
    pub(crate) fn ends(&self) -> Ends {
        let mut ends = Ends::default();
        for end in End::ALL {
            ends.add(end, self.ends[end as usize].get());
        }
        ends
    }
}

/// A connection of the server: cut off, unless it comes to another end before it is dropped.
pub(crate) struct Accepted {
    meter: Arc<Meter>,
    end: End,
}

impl Accepted {
    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }

    pub(crate) fn ended(&mut self, end: End) {
        self.end = end;
    }
}

impl Drop for Accepted {
    fn drop(&mut self) {
        self.meter.ends[self.end as usize].add(1);
    }
}

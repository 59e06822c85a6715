//! Counts, latencies, and timers that were early.
//!
//! All tasks on all threads share one meter. A wait is recorded when the task that waited runs
//! again, relative to the instant that it waited for. A wait that ends before that instant is not
//! recorded as a lateness of zero: it is counted as early, and fails the program.
//!
//! Times are recorded while there is load, and not while all clients connect or disconnect at once,
//! because the processors are then too busy for the times to say much. Counts and early timers are
//! recorded always.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use reveille::time::Instant;

use super::end::{End, Ends};

/// An hour in nanoseconds. A longer time counts as that.
const HIGHEST: u64 = 3600 * 1_000_000_000;

/// What is measured, in nanoseconds.
#[derive(Clone, Copy)]
pub(crate) enum Span {
    /// From when a request was due to its answer.
    FromDue,
    /// From when a request was sent to its answer, without the time that it waited to be sent.
    FromSent,
    /// The lateness of the timetable: from a deadline to the code that acts on it.
    Arrival,
    /// The lateness of the end of a handler's work.
    Work,
    /// The lateness of the deadline of a handler.
    Handler,
    /// The lateness of the limit for a request.
    Request,
    /// The lateness of the limit for a client that does not read.
    Read,
    /// The lateness of the limit for an idle connection.
    Idle,
    /// The lateness of a ping.
    Ping,
}

/// A counter. It is not ordered with anything else.
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
    /// Counts of the server.
    pub(crate) accepted: Count,
    pub(crate) taken: Count,
    pub(crate) answered: Count,
    /// Counts of the clients.
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

    /// Records a wait until `due`, which has just ended.
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

    /// Sets whether times are recorded from now on.
    pub(crate) fn set_recording(&self, recording: bool) {
        self.recording.store(recording, Ordering::Relaxed);
    }

    pub(crate) fn span(&self, span: Span) -> MutexGuard<'_, Histogram<u64>> {
        let span = self.spans[span as usize].lock();
        span.unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection that was accepted. When the returned guard is dropped, it records how
    /// the connection ended.
    pub(crate) fn accept(self: &Arc<Self>) -> Accepted {
        self.accepted.add(1);
        Accepted {
            meter: self.clone(),
            end: End::Cut,
        }
    }

    /// Returns how the server's connections ended.
    pub(crate) fn ends(&self) -> Ends {
        let mut ends = Ends::default();
        for end in End::ALL {
            ends.add(end, self.ends[end as usize].get());
        }
        ends
    }
}

/// A connection of the server. It counts as cut off, unless another end is recorded before it is
/// dropped.
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

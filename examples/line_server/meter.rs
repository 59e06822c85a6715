//! What did the server do, and how late was it?

use std::time::Duration;

use reveille::time::Instant;

/// Why a connection is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client hung up after its last line.
    Left,
    /// The client hung up in the middle of a line.
    LeftMidLine,
    /// No line came within the limit.
    Idle,
    /// A line was begun, and not ended within the limit.
    SlowLine,
    /// A line had too many bytes.
    LongLine,
    /// The socket failed.
    Broken,
}

impl End {
    pub(crate) const ALL: [Self; 6] = [
        Self::Left,
        Self::LeftMidLine,
        Self::Idle,
        Self::SlowLine,
        Self::LongLine,
        Self::Broken,
    ];

    /// What the client is told, in the end.
    pub(crate) fn message(self) -> Option<&'static str> {
        match self {
            Self::Idle => Some("408 idle"),
            Self::SlowLine => Some("408 line too slow"),
            Self::LongLine => Some("413 line too long"),
            Self::Left | Self::LeftMidLine | Self::Broken => None,
        }
    }
}

/// Counters of the loop and its connections.
#[derive(Default)]
pub(crate) struct Meter {
    pub(crate) accepted: usize,
    pub(crate) ends: [usize; End::ALL.len()],
    /// Requests answered in time, whatever the answer.
    pub(crate) answered: usize,
    /// Requests answered with `504 deadline`.
    pub(crate) overdue: usize,
    /// Times that the one blocking call was made, and how many of them a socket or another thread
    /// ended; the others ran until a deadline.
    pub(crate) waits: usize,
    pub(crate) interrupted: usize,
    /// Timers made, moved in place, and fired by a turn of the driver; most armed at once.
    pub(crate) made: usize,
    pub(crate) moved: usize,
    pub(crate) fired: usize,
    pub(crate) peak: usize,
    /// Nanoseconds from a deadline to the code that acts on it.
    late: Vec<u64>,
}

impl Meter {
    /// Notes that something due at `deadline` is attended to at `now`.
    pub(crate) fn expired(&mut self, deadline: Instant, now: Instant) {
        // Instants subtract to zero at the least; an early timer must not pass for a punctual one.
        assert!(now >= deadline, "a timer ended early");
        self.late.push((now - deadline).as_nanos() as u64);
    }

    pub(crate) fn ended(&mut self, end: End) {
        self.ends[end as usize] += 1;
    }

    pub(crate) fn count(&self, end: End) -> usize {
        self.ends[end as usize]
    }

    /// How many deadlines were attended to, and the p50, p90, p99 and maximum of the lateness.
    pub(crate) fn lateness(&mut self) -> (usize, [Duration; 4]) {
        self.late.sort_unstable();
        let last = self.late.len().saturating_sub(1);
        let at = |percent| self.late.get(last * percent / 100).copied().unwrap_or(0);
        let quantiles = [50, 90, 99, 100].map(|percent| Duration::from_nanos(at(percent)));
        (self.late.len(), quantiles)
    }
}

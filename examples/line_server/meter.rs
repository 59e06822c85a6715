//! What the server did, and how late its timers were.

use std::time::Duration;

use reveille::time::Instant;

/// Why a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client closed the connection after its last line.
    Left,
    /// The client closed the connection in the middle of a line.
    LeftMidLine,
    /// No line came within the limit.
    Idle,
    /// A line was begun, but not ended within the limit.
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

    /// Returns the last message to the client.
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
    /// How often the blocking call was made, and how many of these calls a socket or another thread
    /// ended; the others lasted until a deadline.
    pub(crate) waits: usize,
    pub(crate) interrupted: usize,
    /// Timers made, moved in place, and fired by a turn of the driver, and the most armed at once.
    pub(crate) made: usize,
    pub(crate) moved: usize,
    pub(crate) fired: usize,
    pub(crate) peak: usize,
    /// Nanoseconds from a deadline to the code that acts on it.
    late: Vec<u64>,
}

impl Meter {
    /// Records that the loop acts at `now` on a timer due at `deadline`.
    pub(crate) fn expired(&mut self, deadline: Instant, now: Instant) {
        // The difference of instants is never negative, so an early timer would look punctual.
        assert!(now >= deadline, "a timer ended early");
        self.late.push((now - deadline).as_nanos() as u64);
    }

    pub(crate) fn ended(&mut self, end: End) {
        self.ends[end as usize] += 1;
    }

    pub(crate) fn count(&self, end: End) -> usize {
        self.ends[end as usize]
    }

    /// Returns how many deadlines were acted on, and the p50, p90, p99 and maximum of the lateness.
    pub(crate) fn lateness(&mut self) -> (usize, [Duration; 4]) {
        self.late.sort_unstable();
        let last = self.late.len().saturating_sub(1);
        let at = |percent| self.late.get(last * percent / 100).copied().unwrap_or(0);
        let quantiles = [50, 90, 99, 100].map(|percent| Duration::from_nanos(at(percent)));
        (self.late.len(), quantiles)
    }
}

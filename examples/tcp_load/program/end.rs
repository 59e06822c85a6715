//! The ways in which a connection can end.

/// How a connection ended, as the server or its client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client closed the connection between two requests.
    Left,
    /// The client closed the connection with a request begun, or an answer on its way.
    MidRequest,
    /// No request came for too long.
    Idle,
    /// A request was begun, but not complete in time.
    SlowRequest,
    /// A ping was not answered by the time of the next.
    NoPong,
    /// The client sent something invalid.
    Malformed,
    /// The server has as many connections as it allows.
    Full,
    /// The server shuts down.
    Closing,
    /// The client did not read what it had asked for.
    NotReading,
    /// The server had no time left to shut down.
    Cut,
}

impl End {
    pub(crate) const ALL: [Self; 10] = [
        Self::Left,
        Self::MidRequest,
        Self::Idle,
        Self::SlowRequest,
        Self::NoPong,
        Self::Malformed,
        Self::Full,
        Self::Closing,
        Self::NotReading,
        Self::Cut,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Left => "hung up",
            Self::MidRequest => "hung up mid-request",
            Self::Idle => "idle",
            Self::SlowRequest => "slow request",
            Self::NoPong => "no pong",
            Self::Malformed => "malformed",
            Self::Full => "server full",
            Self::Closing => "shutdown",
            Self::NotReading => "not reading",
            Self::Cut => "cut off",
        }
    }

    /// Returns whether the client is told in a last frame. In the other cases it sees that the
    /// connection is closed, or is gone itself.
    pub(crate) fn is_told(self) -> bool {
        !matches!(
            self,
            Self::Left | Self::MidRequest | Self::NotReading | Self::Cut
        )
    }
}

/// How many connections ended in each way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ends([u64; End::ALL.len()]);

impl Ends {
    pub(crate) fn add(&mut self, end: End, count: u64) {
        self.0[end as usize] += count;
    }

    pub(crate) fn count(&self, end: End) -> u64 {
        self.0[end as usize]
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Describes the ends that occurred, the most frequent first.
    pub(crate) fn describe(&self) -> String {
        let mut ends: Vec<_> = End::ALL.iter().map(|&end| (self.count(end), end)).collect();
        ends.retain(|&(count, _)| count > 0);
        ends.sort_by_key(|&(count, _)| std::cmp::Reverse(count));
        let one = |&(count, end): &(u64, End)| format!("{count} {}", end.name());
        ends.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

//! [`Turn`], the result of a driver's turn.

/// What a [`turn`](crate::Driver::turn) did.
///
/// # Examples
///
/// ```
/// let mut driver = reveille::Driver::new(reveille::ThreadPark::new());
/// let turn = driver.turn();
/// assert!(turn.fired() == 0 && !turn.is_unfinished());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    pub(super) fired: usize,
    pub(super) unfinished: bool,
}

impl Turn {
    /// Returns how many timers fired.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// assert_eq!(driver.turn().fired(), 0);
    /// ```
    #[must_use]
    pub fn fired(&self) -> usize {
        self.fired
    }

    /// Returns whether the turn ended before all timers that were due had fired, so that tasks get
    /// to run.
    ///
    /// A turn fires about a thousand timers at most, and passes about four thousand that were put
    /// off or removed. If it ended because of that, run the tasks, then turn again:
    /// [`next_timeout`](crate::Driver::next_timeout) is zero as long as more timers may be due.
    /// There may be none left.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// assert!(!driver.turn().is_unfinished());
    /// ```
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        self.unfinished
    }
}

//! The token between a thread that parks and the threads that unpark it: one word, three states.
//!
//! Every parker of this crate has one, in front of whatever it blocks in, so that unparking a
//! thread that runs stays out of the kernel.
//!
//! | state    | meaning                                | set by               | left by            |
//! |----------|----------------------------------------|----------------------|--------------------|
//! | EMPTY    | no token, the thread runs              | the parking thread   | either             |
//! | PARKED   | the thread is blocked, or is about to  | the parking thread   | either             |
//! | NOTIFIED | a token is there to be taken           | any unparking thread | the parking thread |
//!
//! One thread at a time parks on a token. PARKED is seen only between [`begin_park`] and
//! [`end_park`], so an unpark that finds anything else has nobody to wake. An unpark that finds
//! PARKED must make the thread's block return: the one that it is in, or is about to begin. How it
//! does so is up to the parker.
//!
//! [`begin_park`]: Token::begin_park
//! [`end_park`]: Token::end_park

use crate::sync::atomic::{AtomicU32, Ordering};

// Neighbours on purpose: the same subtraction takes the token (NOTIFIED to EMPTY) or begins to
// park (EMPTY to PARKED), so a park that finds a token makes a single atomic step.
pub(super) const PARKED: u32 = u32::MAX;
const EMPTY: u32 = 0;
const NOTIFIED: u32 = 1;

pub(super) struct Token(AtomicU32);

impl Token {
    pub(super) fn new() -> Self {
        Self(AtomicU32::new(EMPTY))
    }

    /// Takes the token if it is there, and otherwise marks the thread as parked. Returns whether
    /// the thread has to block, and then to call [`end_park`](Self::end_park).
    pub(super) fn begin_park(&self) -> bool {
        // Acquire, here and below: pairs with the release in `set`. Taking the token shows
        // everything that was written before it was set.
        match self.0.fetch_sub(1, Ordering::Acquire) {
            NOTIFIED => false,
            state => {
                debug_assert_eq!(state, EMPTY, "two threads park on one token");
                true
            }
        }
    }

    /// Takes the token, or takes back PARKED, or does nothing if there is neither.
    ///
    /// One step, so that a token that is set at this very moment is not wiped out unseen: it counts
    /// as taken by this park, and what it published is visible.
    pub(super) fn end_park(&self) {
        self.0.swap(EMPTY, Ordering::Acquire);
    }

    /// Sets the token. Returns whether the thread is parked, so that the caller has to end its
    /// block.
    pub(super) fn set(&self) -> bool {
        // A swap even when the token is there already: only a write of its own releases what this
        // thread published. (The parking thread acquires from the last of several swaps, and
        // through the release sequence from those before it.)
        self.0.swap(NOTIFIED, Ordering::Release) == PARKED
    }

    /// Returns whether a park is going on, and no token has come since it began.
    ///
    /// Relaxed: `EpollPark::set_io` takes the answer as a hint; `portable` asks under its own lock,
    /// which orders the load.
    #[cfg(any(feature = "rt", not(target_os = "linux"), loom, shuttle))]
    pub(super) fn is_parked(&self) -> bool {
        self.0.load(Ordering::Relaxed) == PARKED
    }

    /// Returns the word itself, for a kernel that compares it with [`PARKED`].
    #[cfg(all(target_os = "linux", not(any(loom, shuttle))))]
    pub(super) fn word(&self) -> &AtomicU32 {
        &self.0
    }
}

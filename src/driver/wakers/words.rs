//! The word of a timer: one integer, which its owner reaches without a lock.
//!
//! The word of an armed timer is its deadline; that of an entry whose timer was fired by a turn is
//! [`FREE`]. A timer that its owner removes, because it is dropped or found due, leaves its word as
//! it is; and the owner never asks for it again. A word is 8 bytes, so that those of a hundred
//! thousand timers stay in the second-level cache.
//!
//! - V1 to a timer's owner, the word at its index equals the timer's deadline if and only if it is
//!   armed. When it fires, its deadline has elapsed. A timer that gets its index later is armed, or
//!   moved to an earlier time, only for deadlines that have not elapsed, and put off only to later
//!   ones; and when it is dropped, the word stays at one of these. So the word at a fired timer's
//!   index never again equals that timer's deadline. To all others, the entry tells whether it is
//!   armed.
//! - V2 a word is written under the lock of its chunk, or by the owner of the armed timer that it
//!   belongs to. Without the lock the owner only exchanges its own deadline for one that is not
//!   earlier. To fire, the driver exchanges the deadline of the slot for `FREE`. So a timer that
//!   was put off is not fired for its old deadline, and one that has fired is not put off.

use crate::sync::atomic::{AtomicU64, Ordering};

/// The word of an entry that was never armed, whose timer was fired by a turn, or whose driver is
/// gone. Zero is the deadline of no
/// timer, since it has elapsed before the driver begins.
pub(crate) const FREE: u64 = 0;

/// See the head of this file.
pub(crate) struct Word(AtomicU64);

impl Word {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(FREE))
    }

    /// Returns the word, without a lock.
    #[inline]
    pub(super) fn load(&self) -> u64 {
        // Acquire: pairs with the release of `store` and `claim`. The owner of a timer that finds
        // that it has fired also sees what the turn did before.
        self.0.load(Ordering::Acquire)
    }

    /// Returns the word, under the lock of its chunk.
    #[inline]
    pub(super) fn get(&self) -> u64 {
        // Relaxed: the lock orders it after all that was stored under it. Only a put-off, which
        // takes no lock, may be missed. What was read is then earlier than the deadline: a slot
        // that is filed by it is early enough, and is filed again when the heap gets to it.
        self.0.load(Ordering::Relaxed)
    }

    /// Writes the word, under the lock of its chunk, if its timer is not armed or the caller owns
    /// it.
    #[inline]
    pub(super) fn store(&self, word: u64) {
        self.0.store(word, Ordering::Release);
    }

    /// Frees the word of an armed timer if it is `deadline`, under the lock of its chunk. If it is
    /// not, its owner has put the timer off.
    #[inline]
    pub(super) fn claim(&self, deadline: u64) -> bool {
        // Release: as in `store`. Acquire: what the owner did before it put the timer off comes
        // before its task is woken.
        self.0
            .compare_exchange(deadline, FREE, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// Moves the deadline of the caller's timer to a later one, without a lock. Returns whether it
    /// was armed.
    #[inline]
    pub(super) fn put_off(&self, from: u64, to: u64) -> bool {
        debug_assert!(from <= to, "put off from {from} to {to}");
        // Acquire: as in `load`, and pairs with `rewrite`. Release: as in `claim`.
        self.0
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Writes the word as it is. If its timer is put off after that, its owner sees what this
    /// thread did before.
    #[cfg(feature = "rt")]
    pub(super) fn rewrite(&self) {
        // A read-modify-write, because the owner may put the timer off just now. Release: pairs
        // with `put_off`.
        self.0.fetch_add(0, Ordering::AcqRel);
    }
}

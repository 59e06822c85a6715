//! The words of a driver's timers: one integer for each, which its index reaches without a lock.
//!
//! The word of an armed timer is its deadline; that of a free entry is [`FREE`]. It is 8 bytes, so
//! that those of a hundred thousand timers stay in the second-level cache.
//!
//! - V1 the word at a timer's index equals the timer's deadline if and only if it is armed. When it
//!   fires, its deadline has elapsed. A timer that gets its index later is armed, or moved to an
//!   earlier time, only for deadlines that have not elapsed, and put off only to later ones. So no
//!   word is ever again what the owner of a fired timer compares it with.
//! - V2 a word is written under the driver's lock, or by the owner of the armed timer that it
//!   belongs to. Without the lock the owner only exchanges its own deadline for one that is not
//!   earlier. To fire, the driver exchanges the deadline of the slot for `FREE`. So a timer that
//!   was put off is not fired for its old deadline, and one that has fired is not put off.
//!
//! The words lie in pieces of one size, which never move. Under the lock a piece is reached through
//! the block of entries that it belongs to, and without it through lists, each as long as all those
//! before it together. So to add a piece copies nothing.

use std::sync::{Arc, OnceLock};

use crate::sync::{
    self,
    atomic::{AtomicU64, Ordering},
};

/// The word of an entry that is not armed. Zero is the deadline of no timer, since it has elapsed
/// before the driver begins.
pub(crate) const FREE: u64 = 0;

/// How many words a piece has: 4 KiB.
pub(crate) const PIECE: usize = sync::in_models(4, 512);

/// How many lists there are: enough for every index.
const LISTS: usize = 33 - PIECE.ilog2() as usize;

/// See the head of this file.
pub(crate) struct Word(AtomicU64);

pub(crate) type Piece = Arc<[Word; PIECE]>;

impl Word {
    #[inline]
    pub(crate) fn load(&self) -> u64 {
        // Acquire: pairs with the release of `store` and `claim`. The owner of a timer that finds
        // that it has fired also sees what the turn did before.
        self.0.load(Ordering::Acquire)
    }

    /// Writes the word, under the driver's lock, if its timer is not armed or the caller owns it.
    #[inline]
    pub(crate) fn store(&self, word: u64) {
        self.0.store(word, Ordering::Release);
    }

    /// Frees the word if it is `deadline`, under the driver's lock. If it is not, its owner has put
    /// the timer off, or removed it.
    #[inline]
    pub(crate) fn claim(&self, deadline: u64) -> bool {
        // Release: as in `store`. Acquire: what the owner did before it put the timer off comes
        // before its task is woken.
        self.0
            .compare_exchange(deadline, FREE, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    fn put_off(&self, from: u64, to: u64) -> bool {
        // Acquire: as in `load`, and pairs with `rewrite`. Release: as in `claim`.
        self.0
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

/// Finds a word by its index, without the lock.
pub(crate) struct Words {
    lists: [OnceLock<Box<[OnceLock<Piece>]>>; LISTS],
}

impl Words {
    pub(crate) const fn new() -> Self {
        Self {
            lists: [const { OnceLock::new() }; LISTS],
        }
    }

    /// Returns in which list a piece is, and at which place of that list.
    #[inline]
    fn place(piece: usize) -> (usize, usize) {
        let list = (piece + 1).ilog2();
        (list as usize, (piece + 1) ^ 1 << list)
    }

    #[inline]
    fn get(&self, index: u32) -> Option<&Word> {
        let (list, at) = Self::place(index as usize / PIECE);
        let piece = self.lists.get(list)?.get()?.get(at)?.get()?;
        Some(&piece[index as usize % PIECE])
    }

    /// Adds the next piece, under the driver's lock.
    pub(crate) fn add(&self, piece: usize) -> Piece {
        let (list, at) = Self::place(piece);
        let pieces = || (0..1_usize << list).map(|_| OnceLock::new()).collect();
        let words = || Arc::new(std::array::from_fn(|_| Word(AtomicU64::new(FREE))));
        let list = self.lists[list].get_or_init(pieces);
        list[at].get_or_init(words).clone()
    }

    /// Returns the word of an index.
    #[inline]
    pub(crate) fn load(&self, index: u32) -> u64 {
        self.get(index).map_or(FREE, Word::load)
    }

    /// Moves the deadline of the caller's timer to a later one. Returns whether it was armed.
    #[inline]
    pub(crate) fn put_off(&self, index: u32, from: u64, to: u64) -> bool {
        debug_assert!(from <= to, "put off from {from} to {to}");
        self.get(index).is_some_and(|word| word.put_off(from, to))
    }

    /// Writes every word of a piece as it is, under the driver's lock. Timers that are put off
    /// after that see what this thread did before. Returns whether there is such a piece.
    #[cfg(feature = "rt")]
    pub(crate) fn rewrite(&self, piece: usize) -> bool {
        let (list, at) = Self::place(piece);
        let list = self.lists.get(list).and_then(OnceLock::get);
        let Some(piece) = list.and_then(|list| list.get(at)?.get()) else {
            return false;
        };
        for word in piece.iter() {
            // A read-modify-write, because the owner may put the timer off just now. Release: pairs
            // with `put_off`, which reads this, or what was written after it under the lock.
            word.0.fetch_add(0, Ordering::AcqRel);
        }
        true
    }
}

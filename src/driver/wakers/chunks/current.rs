//! The current chunk, from which new timers take their entries, and which chunk is the next one.
//!
//! Another chunk becomes current, or is added, under the driver's lock. An entry is added to the
//! current chunk (`grow`) under that chunk's lock. [`Available`] has a lock of its own.

use std::collections::VecDeque;
use std::sync::OnceLock;
use std::sync::atomic::AtomicUsize;
use std::task::Waker;

use super::entries::{ArmingState, Entries, NONE, Unfiled};
use super::{CHUNK, Chunk, Chunks};
use crate::driver::counters::bump;
use crate::sync::{Mutex, MutexGuard, atomic::Ordering, lock};

/// What the driver's lock guards of the chunks: which one is current.
pub(in crate::driver::wakers) struct CurrentChunk {
    /// `NONE` before the first timer.
    number: u32,
    /// How many chunks there are.
    chunks: u32,
}

impl CurrentChunk {
    pub(in crate::driver::wakers) fn new() -> Self {
        Self {
            number: NONE,
            chunks: 0,
        }
    }
}

/// A queue of the chunks that have a free entry, other than the current one.
pub(super) struct Available {
    pub(super) chunks: Mutex<VecDeque<u32>>,
    /// How many there are. Written under the lock. It is only a hint, so it is not modelled.
    len: AtomicUsize,
}

impl Available {
    pub(super) fn new() -> Self {
        Self {
            chunks: Mutex::new(VecDeque::new()),
            len: AtomicUsize::new(0),
        }
    }

    /// Returns whether there is none, without the lock: one that another thread adds meanwhile may
    /// be missed.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        // Relaxed: what a missed chunk costs is an entry more than is needed.
        self.len.load(Ordering::Relaxed) == 0
    }

    #[cold]
    pub(super) fn push(&self, chunk: u32) {
        self.with(|chunks| chunks.push_back(chunk));
    }

    /// Takes out the chunk that has waited longest.
    pub(super) fn pop(&self) -> Option<u32> {
        self.with(VecDeque::pop_front)
    }

    pub(super) fn remove(&self, chunk: u32) {
        self.with(|chunks| chunks.retain(|&other| other != chunk));
    }

    fn with<T>(&self, f: impl FnOnce(&mut VecDeque<u32>) -> T) -> T {
        let mut chunks = lock(&self.chunks);
        let result = f(&mut chunks);
        self.len.store(chunks.len(), Ordering::Relaxed);
        result
    }
}

impl Chunks {
    /// Arms a timer in a free entry, under the driver's lock. Moves what is unfiled to `buffer`:
    /// the slot of this timer, too, if it needs one. Returns its index.
    #[inline]
    pub(in crate::driver::wakers) fn arm_locked(
        &self,
        current: &mut CurrentChunk,
        deadline: u64,
        waker: &mut Option<Waker>,
        buffer: &mut Unfiled,
    ) -> Option<u32> {
        let (chunk, mut entries) = self.lock_current(current);
        let index = chunk.arm(&mut entries, current.number, deadline, waker)?;
        let arming = entries.arming.as_deref_mut()?;
        // P2: the loop is interrupted if it waits for longer. (`Order::reset` need not lower
        // `unfiled_from`: its slot is filed at once.)
        arming.unfiled_from = arming.unfiled_from.min(deadline);
        arming.take_unfiled(buffer);
        Some(index)
    }

    /// Locks the current chunk, under the driver's lock, and calls `f`, if there is one.
    #[inline]
    pub(in crate::driver::wakers) fn with_current<T>(
        &self,
        current: &CurrentChunk,
        f: impl FnOnce(&mut ArmingState) -> T,
    ) -> Option<T> {
        let mut entries = self.get(current.number)?.lock();
        entries.arming.as_deref_mut().map(f)
    }

    /// Locks the current chunk, with a free entry in it. If it has none and cannot get one, another
    /// chunk becomes current first.
    #[inline]
    fn lock_current(&self, current: &mut CurrentChunk) -> (&Chunk, MutexGuard<'_, Entries>) {
        if let Some(chunk) = self.get(current.number) {
            let mut entries = chunk.lock();
            if entries.first_free != NONE || self.grow(&mut entries, current.number) {
                return (chunk, entries);
            }
            return self.find_free(current, Some((chunk, entries)));
        }
        self.find_free(current, None)
    }

    /// Adds a free entry to the current chunk, if that has room and no other chunk has a free
    /// entry. Returns whether it did.
    #[inline(never)]
    pub(super) fn grow(&self, entries: &mut Entries, number: u32) -> bool {
        self.available.is_empty() && self.add_entry(entries, number)
    }

    /// Adds a free entry to the current chunk, if that has room. Returns whether it had.
    fn add_entry(&self, entries: &mut Entries, number: u32) -> bool {
        let has_room = entries.add(number == 0);
        if has_room {
            bump(&self.peak, 1);
        }
        has_room
    }

    /// Takes a chunk that has a free entry. An entry is added only if none is found in any chunk,
    /// so there are about as many entries as timers were ever armed at the same time. Then only the
    /// last chunk has room for more.
    #[cold]
    fn find_free<'a>(
        &'a self,
        current: &mut CurrentChunk,
        locked: Option<(&'a Chunk, MutexGuard<'a, Entries>)>,
    ) -> (&'a Chunk, MutexGuard<'a, Entries>) {
        let available = self.available.pop();
        let entries = self.peak.load(Ordering::Relaxed);
        let has_room = entries < u64::from(current.chunks) * CHUNK as u64;
        if available.is_none() && !has_room {
            // Here, because `make_current` takes `arming` out: a panic after that would lose the
            // unfiled slots of other timers.
            assert!(
                current.chunks < NONE / CHUNK as u32,
                "a driver holds at most {NONE} timers at once"
            );
            current.chunks += 1;
        }
        let next = available.unwrap_or(current.chunks - 1);
        let (chunk, mut entries) = match locked {
            Some(locked) if next == current.number => locked,
            locked => self.make_current(current, next, locked),
        };
        if available.is_none() && entries.first_free != NONE {
            // One of its entries has become free since `available` was found empty, so the chunk
            // was put there. It is current now, and does not belong there.
            self.available.remove(next);
        }
        if entries.first_free == NONE {
            self.add_entry(&mut entries, next);
        }
        (chunk, entries)
    }

    /// Makes `next` the current chunk instead of the one that is locked, and locks it.
    fn make_current<'a>(
        &'a self,
        current: &mut CurrentChunk,
        next: u32,
        locked: Option<(&'a Chunk, MutexGuard<'a, Entries>)>,
    ) -> (&'a Chunk, MutexGuard<'a, Entries>) {
        let arming = locked.and_then(|(_, mut entries)| entries.arming.take());
        current.number = next;
        let chunk = self.get_or_add(next);
        let mut entries = chunk.lock();
        entries.arming = arming.or_else(|| Some(Box::new(ArmingState::new())));
        self.current.0.store(next, Ordering::Relaxed);
        (chunk, entries)
    }

    pub(super) fn get_or_add(&self, number: u32) -> &Chunk {
        let (list, at) = Self::locate(number);
        let chunks = || (0..1_usize << list).map(|_| OnceLock::new()).collect();
        let list = self.lists[list].get_or_init(chunks);
        list[at].get_or_init(|| Box::new(Chunk::new()))
    }
}

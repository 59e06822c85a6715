//! From which chunk new timers take their entries, and how chunks are added: under the driver's
//! lock, except for `grow`, which takes that of the current chunk alone.

use std::sync::OnceLock;
use std::task::Waker;

use super::entries::{Arming, Entries, NONE, Pending};
use super::{CHUNK, Chunk, Chunks};
use crate::driver::counters::bump;
use crate::sync::{MutexGuard, atomic::Ordering};

/// What the driver's lock guards of the chunks.
pub(in crate::driver::wakers) struct Growth {
    current: u32,
    /// How many chunks there are.
    len: u32,
}

impl Growth {
    pub(in crate::driver::wakers) fn new() -> Self {
        Self {
            current: NONE,
            len: 0,
        }
    }
}

impl Chunks {
    /// Arms a timer in a free entry, under the driver's lock, and takes out what is pending: the
    /// slot of this timer, too, if it needs one. Returns its index.
    #[inline]
    pub(in crate::driver::wakers) fn insert(
        &self,
        growth: &mut Growth,
        deadline: u64,
        waker: &mut Option<Waker>,
        pending: &mut Pending,
    ) -> Option<u32> {
        let (chunk, mut entries) = self.lock_current(growth);
        let index = chunk.arm(&mut entries, growth.current, deadline, waker)?;
        let arming = entries.arming.as_deref_mut()?;
        // P2: the loop is interrupted if it waits for longer. (`Wakers::reset` need not lower it: its slot is filed
        // at once.)
        arming.pends_from = arming.pends_from.min(deadline);
        arming.take_pending(pending);
        Some(index)
    }

    /// Locks the current chunk, under the driver's lock, and calls `f`, if there is one.
    #[inline]
    pub(in crate::driver::wakers) fn with_current<T>(
        &self,
        growth: &Growth,
        f: impl FnOnce(&mut Arming) -> T,
    ) -> Option<T> {
        let mut entries = self.get(growth.current)?.lock();
        entries.arming.as_deref_mut().map(f)
    }

    /// Locks the current chunk, which has a free entry; if it had none, another one is current now.
    #[inline]
    fn lock_current(&self, growth: &mut Growth) -> (&Chunk, MutexGuard<'_, Entries>) {
        if let Some(chunk) = self.get(growth.current) {
            let mut entries = chunk.lock();
            if entries.free != NONE || self.grow(&mut entries, growth.current) {
                return (chunk, entries);
            }
            return self.find_free(growth, Some((chunk, entries)));
        }
        self.find_free(growth, None)
    }

    /// Adds a free entry to the current chunk, if that has room and no other chunk has a free entry.
    /// Returns whether it did.
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

    /// Takes a chunk that has a free entry. An entry is added only if none is found in any chunk, so
    /// there are about as many entries as there were timers at once. Then only the last chunk has
    /// room for more.
    #[cold]
    fn find_free<'a>(
        &'a self,
        growth: &mut Growth,
        locked: Option<(&'a Chunk, MutexGuard<'a, Entries>)>,
    ) -> (&'a Chunk, MutexGuard<'a, Entries>) {
        let available = self.available.pop();
        let entries = self.peak.load(Ordering::Relaxed);
        let has_room = entries < u64::from(growth.len) * CHUNK as u64;
        if available.is_none() && !has_room {
            // Before `arming` is taken out, since it has slots of other timers.
            assert!(
                growth.len < NONE / CHUNK as u32,
                "a driver holds at most {NONE} timers at once"
            );
            growth.len += 1;
        }
        let next = available.unwrap_or(growth.len - 1);
        let (chunk, mut entries) = match locked {
            Some(locked) if next == growth.current => locked,
            locked => self.make_current(growth, next, locked),
        };
        if available.is_none() && entries.free != NONE {
            // One of its entries has become free since `available` was found empty, so the chunk
            // was put there. It is current now, and does not belong there.
            self.available.remove(next);
        }
        if entries.free == NONE {
            self.add_entry(&mut entries, next);
        }
        (chunk, entries)
    }

    /// Makes `next` the current chunk instead of the one that is locked, and locks it.
    fn make_current<'a>(
        &'a self,
        growth: &mut Growth,
        next: u32,
        locked: Option<(&'a Chunk, MutexGuard<'a, Entries>)>,
    ) -> (&'a Chunk, MutexGuard<'a, Entries>) {
        let arming = locked.and_then(|(_, mut entries)| entries.arming.take());
        growth.current = next;
        let chunk = self.get_or_add(next);
        let mut entries = chunk.lock();
        entries.arming = arming.or_else(|| Some(Box::new(Arming::new())));
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

//! From which chunk new timers take their entries, and how chunks are added: all of this under the
//! driver's lock.

use std::sync::OnceLock;
use std::task::Waker;

use super::entries::{Entries, Filed, NONE};
use super::{CHUNK, Chunk, Chunks};
use crate::driver::counters::bump;
use crate::sync::{MutexGuard, atomic::Ordering, lock};

/// What the driver's lock guards of the chunks.
pub(in crate::driver::wakers) struct Growth {
    current: u32,
    /// How many chunks there are.
    len: u32,
    /// How many entries can be added to the last chunk.
    room: usize,
}

impl Growth {
    pub(in crate::driver::wakers) fn new() -> Self {
        Self {
            current: NONE,
            len: 0,
            room: 0,
        }
    }
}

impl Chunks {
    /// Arms a timer in a free entry, under the driver's lock. Returns its index, and what has to be
    /// filed: see [`Entry::file`].
    #[inline]
    pub(in crate::driver::wakers) fn insert(
        &self,
        growth: &mut Growth,
        deadline: u64,
        waker: Waker,
    ) -> Option<(u32, Option<Filed>)> {
        let (chunk, mut guard) = self.lock_current(growth);
        let at = guard.free as usize;
        let entry = guard.arm(waker)?;
        bump(&chunk.head.0.armed, 1);
        chunk.words.get(at)?.store(deadline);
        let index = growth.current * CHUNK as u32 + at as u32;
        let filed = entry.file(index, deadline);
        let adopt_from = match filed {
            Some(_) => NONE,
            None => growth.current,
        };
        if self.adopt_from.0.load(Ordering::Relaxed) != adopt_from {
            self.adopt_from.0.store(adopt_from, Ordering::Relaxed);
        }
        Some((index, filed))
    }

    /// Returns the next sequence number, under the driver's lock.
    pub(in crate::driver::wakers) fn next_seq(&self, growth: &Growth) -> u32 {
        let Some(chunk) = self.get(growth.current) else {
            return 0;
        };
        chunk.lock().next_seq()
    }

    /// Locks the current chunk, which has a free entry; if it had none, another one is current now.
    #[inline]
    fn lock_current(&self, growth: &mut Growth) -> (&Chunk, MutexGuard<'_, Entries>) {
        if let Some(chunk) = self.get(growth.current) {
            let entries = chunk.lock();
            if entries.free != NONE {
                return (chunk, entries);
            }
            return self.find_free(growth, Some((chunk, entries)));
        }
        self.find_free(growth, None)
    }

    /// Takes a chunk that has a free entry. An entry is added only if there is none in any chunk, so
    /// there are as many entries as there were timers at once. Then only the last chunk has room
    /// for more.
    #[cold]
    fn find_free<'a>(
        &'a self,
        growth: &mut Growth,
        current: Option<(&'a Chunk, MutexGuard<'a, Entries>)>,
    ) -> (&'a Chunk, MutexGuard<'a, Entries>) {
        let available = lock(&self.available).pop_front();
        if available.is_none() && growth.room == 0 {
            growth.room = CHUNK;
            growth.len += 1;
            assert!(
                growth.len <= NONE / CHUNK as u32,
                "a driver holds at most {NONE} timers at once"
            );
        }
        let next = available.unwrap_or(growth.len - 1);
        let (chunk, mut entries) = match current {
            Some(current) if next == growth.current => current,
            current => self.make_current(growth, next, current),
        };
        if available.is_none() && entries.free != NONE {
            // It has become free since there was none. The chunk is current now, so it does not
            // belong into the list.
            lock(&self.available).retain(|&chunk| chunk != next);
        }
        if entries.free == NONE && entries.add(next == 0) {
            growth.room -= 1;
            bump(&self.peak, 1);
        }
        (chunk, entries)
    }

    /// Makes `next` the current chunk instead of `current`, and locks it.
    fn make_current<'a>(
        &'a self,
        growth: &mut Growth,
        next: u32,
        current: Option<(&'a Chunk, MutexGuard<'a, Entries>)>,
    ) -> (&'a Chunk, MutexGuard<'a, Entries>) {
        let mut seq = 0;
        if let Some((_, mut entries)) = current {
            entries.is_current = false;
            seq = entries.seq;
        }
        growth.current = next;
        let chunk = self.get_or_add(next);
        let mut entries = chunk.lock();
        entries.is_current = true;
        entries.seq = seq;
        (chunk, entries)
    }

    pub(super) fn get_or_add(&self, number: u32) -> &Chunk {
        let (list, at) = Self::place(number);
        let chunks = || (0..1_usize << list).map(|_| OnceLock::new()).collect();
        let list = self.lists[list].get_or_init(chunks);
        list[at].get_or_init(|| Box::new(Chunk::new()))
    }
}

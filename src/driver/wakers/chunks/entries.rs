//! What belongs to one timer: its word and its entry; and the entries of one chunk.
//!
//! The word is one integer, which the timer's owner reaches without a lock. As long as a timer is
//! armed, its word is its deadline. A turn that fires it exchanges the word for [`NO_DEADLINE`]. An
//! owner that removes its timer, because it drops the timer or finds it due, leaves the word as it
//! is. A word is 8 bytes, so that the words of a hundred thousand timers stay in the second-level
//! cache.
//!
//! - V1 as long as a timer is armed, its word is its deadline. After a turn has fired timer A, the
//!   word at A's index never equals A's deadline again. The next timer at that index is armed only
//!   for a deadline that has not elapsed, which is after A's. From there it is put off to later
//!   times, or moved to an earlier one that has not elapsed either. So A's owner compares the two
//!   to learn whether A has fired. (After A's owner has removed A, the word may be A's deadline.
//!   That does no harm: A's owner no longer reads it, and the driver fires a timer only if the
//!   entry, too, says that it is armed.)
//! - V2 a word is written under the lock of its chunk, or by the owner of the armed timer that it
//!   belongs to. Without the lock the owner only exchanges its own deadline for one that is not
//!   earlier. To fire, the driver exchanges the deadline of the slot for `NO_DEADLINE`. So a
//!   timer that was put off is not fired for its old deadline, and one that has fired is not put
//!   off.

use std::mem;
use std::task::Waker;

use super::CHUNK;
use crate::driver::limits::Permit;
use crate::heap::Slot;
use crate::instant::NEVER;
use crate::prefetch;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The end of the list of free entries.
pub(super) const NONE: u32 = u32::MAX;

/// The word of an entry that was never armed, whose timer was fired by a turn, or whose driver is
/// gone. A free entry may still have the deadline of its last timer as its word. Zero is the
/// deadline of no timer, since it has elapsed before the driver begins.
pub(in crate::driver::wakers) const NO_DEADLINE: u64 = 0;

/// See the head of this file.
pub(in crate::driver::wakers) struct Word(AtomicU64);

impl Word {
    pub(in crate::driver::wakers) fn new() -> Self {
        Self(AtomicU64::new(NO_DEADLINE))
    }

    /// Returns the word, without a lock.
    #[inline]
    pub(in crate::driver::wakers) fn load(&self) -> u64 {
        // Acquire: pairs with the release of `store` and `claim`. The owner of a timer that finds
        // that it has fired also sees what the turn did before.
        self.0.load(Ordering::Acquire)
    }

    /// Returns the word, under the lock of its chunk.
    #[inline]
    pub(in crate::driver::wakers) fn load_locked(&self) -> u64 {
        // Relaxed: the lock orders it after all that was stored under it. Only a put-off, which
        // takes no lock, may be missed. What was read is then earlier than the deadline: a slot
        // filed at that time is early enough, and is filed again when the heap gets to it.
        self.0.load(Ordering::Relaxed)
    }

    /// Writes the word, under the lock of its chunk, if its timer is not armed or is the caller's,
    /// or if the driver is gone.
    #[inline]
    pub(in crate::driver::wakers) fn store(&self, word: u64) {
        self.0.store(word, Ordering::Release);
    }

    /// Exchanges the word of an armed timer for `NO_DEADLINE` if it is `deadline`, under the lock
    /// of its chunk. If the word is another one, the owner has put the timer off.
    #[inline]
    pub(in crate::driver::wakers) fn claim(&self, deadline: u64) -> bool {
        // Release: as in `store`. Acquire: what the owner did before it put the timer off comes
        // before its task is woken.
        self.0
            .compare_exchange(deadline, NO_DEADLINE, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// Moves the deadline of the caller's timer to one that is not earlier, without a lock. Returns
    /// whether it was armed.
    #[inline]
    pub(in crate::driver::wakers) fn put_off(&self, from: u64, to: u64) -> bool {
        debug_assert!(from <= to, "put off from {from} to {to}");
        // Acquire: as in `load`, and pairs with `rewrite`. Release: as in `claim`.
        self.0
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Writes the word as it is. If its timer is put off after that, its owner sees what this
    /// thread did before.
    #[cfg(feature = "rt")]
    pub(in crate::driver::wakers) fn rewrite(&self) {
        // A read-modify-write, because the owner may put the timer off just now. Release: pairs
        // with `put_off`.
        self.0.fetch_add(0, Ordering::AcqRel);
    }
}

/// What belongs to a timer, beside its word. It is aligned so that it lies on one cache line.
#[repr(align(32))]
pub(in crate::driver::wakers) struct Entry {
    /// The time of the entry's slot, or [`NEVER`] if it has none.
    pub(in crate::driver::wakers) slot_when: u64,
    /// The sequence number of that slot. It differs from `seq` if the timer has adopted the slot,
    /// or was reset under the driver's lock since: then the slot is filed anew before the timer
    /// fires.
    pub(in crate::driver::wakers) slot_seq: u32,
    /// The sequence number of the timer that is armed, or was last.
    pub(in crate::driver::wakers) seq: u32,
    /// Its waker, or where the list of free entries goes on.
    pub(super) state: EntryState,
}

/// The waker of an armed timer, or the next free entry of the chunk.
pub(super) enum EntryState {
    Armed(Waker),
    Free(u32),
}

/// A new slot of an entry, to be added to the heap after the chunk is unlocked: the heap may lock
/// a chunk.
pub(in crate::driver::wakers) struct NewSlot {
    pub(in crate::driver::wakers) slot: Slot,
    /// The time of the slot that it replaces, or [`NEVER`] if it replaces none.
    pub(in crate::driver::wakers) old: u64,
}

/// What the lock of a chunk guards. All but `permits` is on one cache line.
#[repr(C)]
pub(super) struct Entries {
    pub(super) all: Vec<Entry>,
    /// The first free entry, counted from the first one of the chunk; or `NONE`.
    pub(super) first_free: u32,
    /// How many entries have an armed timer.
    pub(super) armed: u16,
    /// Whether any timer of the chunk has ever had a permit.
    pub(super) has_permits: bool,
    /// What the current chunk has beside its entries, `None` if this is another one.
    pub(super) arming: Option<Box<ArmingState>>,
    /// The permits of timers that have one (see `limits`), by their entries.
    pub(super) permits: Option<Box<[Option<Permit>; CHUNK]>>,
}

/// What arming a timer needs: the current chunk has it, and hands it on to the next one.
pub(in crate::driver::wakers) struct ArmingState {
    /// The last sequence number.
    pub(super) seq: u32,
    /// The slots of timers that are due at this time or later are left in `unfiled`.
    pub(in crate::driver::wakers) unfiled_from: u64,
    pub(in crate::driver::wakers) unfiled: Unfiled,
}

/// Slots that are not in the heap yet. One becomes stray here if its entry is freed and then armed
/// for an earlier time, or if its timer is reset to an earlier time.
#[derive(Default)]
pub(in crate::driver::wakers) struct Unfiled {
    pub(in crate::driver::wakers) slots: Vec<Slot>,
    /// How many of them have made an older slot of their entry stray.
    pub(in crate::driver::wakers) replacing: usize,
}

impl Unfiled {
    #[inline]
    pub(in crate::driver::wakers) fn add(&mut self, NewSlot { slot, old }: NewSlot) {
        self.slots.push(slot);
        self.replacing += usize::from(old != NEVER);
    }
}

impl ArmingState {
    pub(super) fn new() -> Self {
        Self {
            seq: 0,
            unfiled_from: NEVER,
            unfiled: Unfiled::default(),
        }
    }

    /// Returns the next sequence number.
    #[inline]
    pub(in crate::driver::wakers) fn next_seq(&mut self) -> u32 {
        self.seq = self.seq.wrapping_add(1);
        self.seq
    }

    /// Moves the unfiled slots to `buffer`, which is empty: its memory is used for later ones.
    #[inline]
    pub(in crate::driver::wakers) fn take_unfiled(&mut self, buffer: &mut Unfiled) {
        debug_assert!(buffer.slots.is_empty() && buffer.replacing == 0);
        mem::swap(&mut self.unfiled, buffer);
    }
}

impl Entry {
    /// Returns whether a timer is armed in the entry.
    #[inline]
    pub(in crate::driver::wakers) fn is_armed(&self) -> bool {
        matches!(self.state, EntryState::Armed(_))
    }

    /// Puts a waker into the entry, which is free, and returns the next free one.
    #[inline]
    pub(super) fn arm(&mut self, waker: Waker, seq: u32) -> u32 {
        self.seq = seq;
        match mem::replace(&mut self.state, EntryState::Armed(waker)) {
            EntryState::Free(next) => next,
            EntryState::Armed(_) => NONE,
        }
    }

    /// If the entry has no slot, or one that is later than `deadline`, gives it a new one for the
    /// timer that is armed there, and returns that.
    #[inline]
    pub(in crate::driver::wakers) fn renew_slot(
        &mut self,
        index: u32,
        deadline: u64,
    ) -> Option<NewSlot> {
        if self.slot_when <= deadline {
            return None;
        }
        self.slot_seq = self.seq;
        let old = mem::replace(&mut self.slot_when, deadline);
        let slot = Slot::new(deadline, self.seq, index);
        Some(NewSlot { slot, old })
    }
}

impl Entries {
    /// Returns whether this is the current chunk.
    #[inline]
    pub(super) fn is_current(&self) -> bool {
        self.arming.is_some()
    }

    pub(super) fn new() -> Self {
        Self {
            all: Vec::new(),
            first_free: NONE,
            armed: 0,
            has_permits: false,
            arming: None,
            permits: None,
        }
    }

    /// Adds a free entry, where there is none. Returns whether there is one now.
    pub(super) fn add(&mut self, is_first_chunk: bool) -> bool {
        let len = self.all.len();
        if len == CHUNK {
            return false;
        }
        // The first chunk grows as it fills.
        if len == 0 && !is_first_chunk {
            self.all.reserve_exact(CHUNK);
        }
        self.all.push(Entry {
            slot_when: NEVER,
            slot_seq: 0,
            seq: 0,
            state: EntryState::Free(NONE),
        });
        self.first_free = len as u32;
        true
    }

    /// Arms a timer in the first free entry of this chunk, which is the current one. Returns its
    /// index, `None` if no entry is free. If it needs a slot, that is unfiled.
    // Always inlined: a call would cost 20 instructions of 400.
    #[inline(always)]
    pub(super) fn arm(
        &mut self,
        chunk: u32,
        words: &[Word; CHUNK],
        deadline: u64,
        waker: &mut Option<Waker>,
    ) -> Option<u32> {
        let arming = self.arming.as_deref_mut()?;
        let at = self.first_free as usize;
        let (entry, word) = (self.all.get_mut(at)?, words.get(at)?);
        self.first_free = entry.arm(waker.take()?, arming.next_seq());
        self.armed += 1;
        word.store(deadline);
        let index = chunk * CHUNK as u32 + at as u32;
        if let Some(slot) = entry.renew_slot(index, deadline) {
            arming.unfiled.add(slot);
        }
        if let Some(next) = self.all.get(self.first_free as usize) {
            prefetch::to_write(next);
        }
        Some(index)
    }

    /// Fetches what belongs to a timer that will be needed soon.
    #[inline]
    pub(super) fn prefetch(&self, at: usize, words: &[Word; CHUNK]) {
        if let Some(entry) = self.all.get(at) {
            prefetch::to_write(entry);
            prefetch::to_write(&words[at]);
        }
    }

    /// Takes the waker out of an entry and makes that the first free one.
    #[inline]
    pub(super) fn free(&mut self, at: usize) -> Option<Waker> {
        let entry = self.all.get_mut(at)?;
        let next = mem::replace(&mut self.first_free, at as u32);
        self.armed -= 1;
        match mem::replace(&mut entry.state, EntryState::Free(next)) {
            EntryState::Armed(waker) => Some(waker),
            EntryState::Free(_) => {
                debug_assert!(false, "entry {at} has a deadline and no waker");
                None
            }
        }
    }

    /// Keeps the permit of the timer that is armed in an entry, until that is freed.
    #[cold]
    pub(super) fn keep(&mut self, at: usize, permit: Permit) {
        self.has_permits = true;
        let none = || Box::new([const { None }; CHUNK]);
        self.permits.get_or_insert_with(none)[at] = Some(permit);
    }

    /// Gives back the permit of a timer, if it has one, because its entry is freed.
    pub(super) fn give_back(&mut self, at: usize) {
        if let Some(permits) = &mut self.permits {
            permits[at] = None;
        }
    }

    /// Takes all entries out, because the driver is gone, and gives all permits back. Returns the
    /// entries, and how many timers were armed.
    pub(super) fn close(&mut self) -> (Vec<Entry>, u16) {
        self.first_free = NONE;
        self.arming = None;
        self.has_permits = false;
        self.permits = None;
        (mem::take(&mut self.all), mem::take(&mut self.armed))
    }
}

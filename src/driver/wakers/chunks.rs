//! The entries of a driver's timers, in chunks that have a lock each.
//!
//! A chunk holds up to [`CHUNK`] entries, and the [words](entries) of their timers. A timer
//! finds its chunk by its index, without the driver's lock: the chunks lie in lists of 1, 2, 4 and
//! so on, each twice as long as the one before, so adding one copies nothing. A chunk's lock guards
//! its entries, and is held to arm a timer, to remove it, to exchange its waker, and to fire it.
//!
//! New timers take entries of one chunk, the *current* one, until that has no free entry. So a
//! program that keeps arming timers on one thread and dropping them on another takes two different
//! locks; and the chunk that comes next has collected free entries in the meantime.
//!
//! Most timers that need a slot of their own do not take the driver's lock for it either: the slot
//! is *unfiled*, in a list of the current chunk, until a thread that holds the driver's lock files
//! it. So a program that arms many timers in a row files their slots together.
//!
//! - C1 all timers are armed under the lock of the chunk that is current at that moment. It hands
//!   its sequence number, and the unfiled slots, on to the next one. So the numbers rise in the
//!   order in which timers are armed.
//! - C2 a chunk that has a free entry is the current one, or is in `available`, exactly once. An
//!   entry is added only to the current chunk, under its lock, and only where `available` is found
//!   empty: so there are as many entries as timers were ever armed at the same time, and only the
//!   last chunk has room for more. (Another thread may put a chunk into `available` at that moment,
//!   and may not be seen. That costs one entry, as if it had removed its timer a moment later.)
//! - C3 locks are taken in this order: the driver's, that of one chunk, that of `available`.
//! - P1 the current chunk has a time, `unfiled_from`. A timer that is due then or later may leave
//!   its slot unfiled; one that is due earlier takes the driver's lock. At any time the driver's
//!   `next` <= `unfiled_from` <= the time of each unfiled slot. So a turn that asks only `next`
//!   overlooks no unfiled timer that is due. To raise `unfiled_from`, a thread that has the
//!   driver's lock takes the chunk's lock, takes the list of unfiled slots out, raises the time,
//!   and only then releases the chunk's lock. After that it may raise `next`, while it still has
//!   the driver's lock.
//! - P2 the loop looks at its timers at `unfiled_from` or earlier. (If a slack or a `Hold` delays
//!   the loop, unfiled timers are late by the delay, as all others are.) Before the loop waits for
//!   a later time, it raises `unfiled_from` to that time, as in P1. A thread that arms a timer
//!   under the driver's lock lowers `unfiled_from` to the deadline, and interrupts the loop if the
//!   loop waits for longer. A loop that wakes some time before its deadline (the *margin*, see
//!   `slack`) lowers `unfiled_from` to the time at which it wakes.
//!
//! Let the loop wait until the time 100. A timer due at 120 leaves its slot unfiled. One due at 90
//! takes the driver's lock, files both slots, lowers `unfiled_from` to 90, and interrupts the loop.
//! One due at 95 leaves its slot unfiled again: the loop files it before the next wait.

mod current;
mod entries;

use std::mem;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::task::Waker;

pub(super) use self::current::CurrentChunk;
pub(super) use self::entries::{ArmingState, Entry, NO_DEADLINE, Unfiled};

use self::current::Available;
use self::entries::{Entries, EntryState, NONE, Word};
use crate::driver::counters::bump;
use crate::driver::limits::Permit;
use crate::driver::stats::Stats;
use crate::heap::Slot;
use crate::instant::NEVER;
use crate::sync::{
    self, CachePadded, Mutex, MutexGuard,
    atomic::{AtomicU32, Ordering},
    lock,
};

/// How many entries a chunk holds.
pub(super) const CHUNK: usize = sync::under_loom_or(2, 512);

/// How many slots are unfiled at most.
pub(super) const MOST_UNFILED: usize = sync::under_loom_or(2, 256);

/// How many lists there are: enough for every index.
const LISTS: usize = 33 - CHUNK.ilog2() as usize;

/// See the head of this file.
struct Chunk {
    head: CachePadded<Head>,
    words: [Word; CHUNK],
}

/// What is written whenever a timer is armed or removed, on one cache line.
#[repr(C)]
struct Head {
    /// How many timers were ever armed. Written under the lock, as is `cancelled_total`.
    armed_total: AtomicU64,
    /// How many were removed before they fired.
    cancelled_total: AtomicU64,
    entries: Mutex<Entries>,
}

/// Why a timer is removed. The value is what is added to the count of those that were cancelled.
#[derive(Clone, Copy)]
#[repr(u64)]
pub(crate) enum Removal {
    /// It was found due.
    Fired = 0,
    /// It is not needed any longer.
    Cancelled = 1,
}

type List = OnceLock<Box<[OnceLock<Box<Chunk>>]>>;

/// Finds an entry by its index.
pub(crate) struct Chunks {
    lists: [List; LISTS],
    /// The current chunk, or `NONE`: a copy of the one in [`CurrentChunk`], to be read without the
    /// driver's lock. It may be old, and then that chunk has no [`ArmingState`].
    current: CachePadded<AtomicU32>,
    /// Chunks that have a free entry, other than the current one.
    available: Available,
    /// How many entries there have been: about the most timers that were armed at the same time.
    /// Written under the lock of the current chunk.
    peak: AtomicU64,
}

/// A chunk that is locked, and one of its entries.
pub(super) struct Locked<'a> {
    entries: MutexGuard<'a, Entries>,
    chunk: &'a Chunk,
    number: u32,
    at: usize,
}

impl Chunk {
    fn new() -> Self {
        Self {
            head: CachePadded(Head {
                armed_total: AtomicU64::new(0),
                cancelled_total: AtomicU64::new(0),
                entries: Mutex::new(Entries::new()),
            }),
            words: std::array::from_fn(|_| Word::new()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        lock(&self.head.0.entries)
    }

    /// Arms a timer in the first free entry of this chunk, which is the current one, and counts it.
    /// Returns its index, `None` if no entry is free.
    // Always inlined, as is `Entries::arm`: a call would cost 20 instructions of 400.
    #[inline(always)]
    fn arm(
        &self,
        entries: &mut Entries,
        number: u32,
        deadline: u64,
        waker: &mut Option<Waker>,
    ) -> Option<u32> {
        let index = entries.arm(number, &self.words, deadline, waker)?;
        bump(&self.head.0.armed_total, 1);
        Some(index)
    }
}

impl Chunks {
    pub(crate) fn new() -> Self {
        Self {
            lists: [const { OnceLock::new() }; LISTS],
            current: CachePadded(AtomicU32::new(NONE)),
            available: Available::new(),
            peak: AtomicU64::new(0),
        }
    }

    /// Returns in which list a chunk is, and at which place of that list.
    #[inline]
    fn locate(chunk: u32) -> (usize, usize) {
        let nth = u64::from(chunk) + 1;
        let list = nth.ilog2();
        (list as usize, (nth ^ 1 << list) as usize)
    }

    #[inline]
    fn get(&self, chunk: u32) -> Option<&Chunk> {
        let (list, at) = Self::locate(chunk);
        let chunk = self.lists.get(list)?.get()?.get(at)?.get()?;
        Some(chunk)
    }

    #[inline]
    fn word(&self, index: u32) -> Option<&Word> {
        let chunk = self.get(index / CHUNK as u32)?;
        Some(&chunk.words[index as usize % CHUNK])
    }

    /// Locks the chunk of an entry, if there is one.
    #[inline]
    pub(super) fn lock(&self, index: u32) -> Option<Locked<'_>> {
        let number = index / CHUNK as u32;
        let chunk = self.get(number)?;
        Some(Locked {
            entries: chunk.lock(),
            chunk,
            number,
            at: index as usize % CHUNK,
        })
    }

    /// Returns the word of an index.
    #[inline]
    pub(crate) fn load(&self, index: u32) -> u64 {
        self.word(index).map_or(NO_DEADLINE, Word::load)
    }

    /// Moves the deadline of the caller's timer to one that is not earlier. Returns whether it was
    /// armed.
    #[inline]
    pub(crate) fn put_off(&self, index: u32, from: u64, to: u64) -> bool {
        self.word(index).is_some_and(|word| word.put_off(from, to))
    }

    /// Arms a timer in the current chunk, if its slot may be unfiled, and returns its index. The
    /// loop need not be told: see P2.
    ///
    /// `has_elapsed` tells whether the deadline has elapsed. `waker` is taken only if the timer is
    /// armed.
    #[inline]
    pub(crate) fn arm_unfiled(
        &self,
        deadline: u64,
        waker: &mut Option<Waker>,
        has_elapsed: impl FnOnce() -> bool,
    ) -> Option<u32> {
        let number = self.current.0.load(Ordering::Relaxed);
        let chunk = self.get(number)?;
        let mut entries = chunk.lock();
        let arming = entries.arming.as_deref()?;
        // `has_elapsed` is asked under the lock. So if a turn has fired the timer that had this
        // entry before, this thread sees the time that the turn has published (V1). It also sees
        // whether the driver has ended.
        if deadline < arming.unfiled_from
            || arming.unfiled.slots.len() >= MOST_UNFILED
            || has_elapsed()
        {
            return None;
        }
        if entries.first_free == NONE && !self.grow(&mut entries, number) {
            return None;
        }
        chunk.arm(&mut entries, number, deadline, waker)
    }

    /// Removes a timer that was armed for `deadline` and returns its waker, if it has not fired.
    /// `has_elapsed` tells whether the deadline has elapsed.
    #[inline]
    pub(crate) fn take(
        &self,
        index: u32,
        deadline: u64,
        removal: Removal,
        has_elapsed: impl FnOnce() -> bool,
    ) -> Option<Waker> {
        let (number, at) = (index / CHUNK as u32, index as usize % CHUNK);
        let chunk = self.get(number)?;
        let mut entries = chunk.lock();
        // Asked under the lock: if the deadline has not elapsed, the timer cannot have fired, so it
        // is armed, and its word need not be read: in a large driver that is a cache miss.
        if has_elapsed() && chunk.words[at].load_locked() != deadline {
            return None;
        }
        bump(&chunk.head.0.cancelled_total, removal as u64);
        self.free(&mut entries, number, at)
    }

    /// Frees an entry and returns its waker. If its timer has a permit, that is given back.
    #[inline]
    fn free(&self, entries: &mut Entries, number: u32, at: usize) -> Option<Waker> {
        if entries.has_permits {
            return self.free_with_permit(entries, number, at);
        }
        self.free_entry(entries, number, at)
    }

    #[cold]
    #[inline(never)]
    fn free_with_permit(&self, entries: &mut Entries, number: u32, at: usize) -> Option<Waker> {
        entries.give_back(at);
        self.free_entry(entries, number, at)
    }

    #[inline]
    fn free_entry(&self, entries: &mut Entries, number: u32, at: usize) -> Option<Waker> {
        let had_none = entries.first_free == NONE;
        let waker = entries.free(at);
        if had_none && !entries.is_current() {
            self.available.push(number);
        }
        waker
    }

    /// Exchanges the waker of a timer, if it is armed for `deadline`. Returns whether it was.
    pub(crate) fn replace_waker(&self, index: u32, deadline: u64, waker: &mut Waker) -> bool {
        let Some(mut locked) = self.lock(index) else {
            return false;
        };
        if locked.word().load_locked() != deadline {
            return false;
        }
        match locked.entry().map(|entry| &mut entry.state) {
            Some(EntryState::Armed(armed)) => {
                mem::swap(armed, waker);
                true
            }
            _ => false,
        }
    }

    /// Keeps the permit of a timer that has just been armed, under the driver's lock: it cannot
    /// have fired yet.
    pub(crate) fn keep(&self, index: u32, permit: Permit) {
        if let Some(mut locked) = self.lock(index) {
            let at = locked.at;
            locked.entries.keep(at, permit);
        }
    }

    /// Returns whether the driver holds a waker of the same task as `waker`, for a timer that comes
    /// due some day. Looks at all timers.
    pub(crate) fn has_waker_of(&self, waker: &Waker) -> bool {
        let mut chunks = (0..).map_while(|chunk| self.get(chunk));
        chunks.any(|chunk| {
            let entries = chunk.lock();
            let mut timers = entries.all.iter().zip(&chunk.words);
            timers.any(|(entry, word)| match &entry.state {
                EntryState::Armed(armed) => word.load_locked() != NEVER && armed.will_wake(waker),
                EntryState::Free(_) => false,
            })
        })
    }

    /// Returns how many timers are armed.
    pub(crate) fn armed(&self) -> usize {
        let chunks = (0..).map_while(|chunk| self.get(chunk));
        chunks.map(|chunk| chunk.lock().armed as usize).sum()
    }

    /// Adds what was counted to `stats`, without a lock.
    pub(in crate::driver) fn add_to(&self, stats: &mut Stats) {
        let chunks = || (0..).map_while(|chunk| self.get(chunk).map(|chunk| &chunk.head.0));
        let sum = |count: fn(&Head) -> &AtomicU64| -> u64 {
            chunks()
                .map(|head| count(head).load(Ordering::Relaxed))
                .sum()
        };
        // What ends a timer is read before what begins one.
        stats.cancelled += sum(|head| &head.cancelled_total);
        stats.armed += sum(|head| &head.armed_total);
        stats.peak += self.peak.load(Ordering::Relaxed);
    }

    /// Returns how many entries there are.
    #[cfg(test)]
    pub(crate) fn entries(&self) -> usize {
        let chunks = (0..).map_while(|chunk| self.get(chunk));
        chunks.map(|chunk| chunk.lock().all.len()).sum()
    }

    /// Locks all chunks.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn lock_all(&self) -> impl Sized {
        let chunks = (0..).map_while(|chunk| self.get(chunk));
        chunks.map(Chunk::lock).collect::<Vec<_>>()
    }

    /// Takes all entries out of a chunk of a driver that is gone and returns their wakers, `None`
    /// if there is no such chunk.
    pub(crate) fn close(&self, chunk: u32) -> Option<impl Iterator<Item = Waker> + use<>> {
        let chunk = self.get(chunk)?;
        let mut entries = chunk.lock();
        // The owner of a timer may put it off at this moment, and finds at its next poll that the
        // driver is gone.
        chunk.words.iter().for_each(|word| word.store(NO_DEADLINE));
        let (all, armed) = entries.close();
        bump(&chunk.head.0.cancelled_total, u64::from(armed));
        Some(all.into_iter().filter_map(|entry| match entry.state {
            EntryState::Armed(waker) => Some(waker),
            EntryState::Free(_) => None,
        }))
    }

    /// Locks a chunk and writes each of its words as it is. Timers of it that are put off or
    /// removed after that see what this thread did before. Returns whether there is such a chunk.
    #[cfg(feature = "rt")]
    pub(crate) fn rewrite(&self, chunk: u32) -> bool {
        let Some(chunk) = self.get(chunk) else {
            return false;
        };
        let _entries = chunk.lock();
        chunk.words.iter().for_each(Word::rewrite);
        true
    }
}

impl Locked<'_> {
    #[inline]
    pub(super) fn word(&self) -> &Word {
        &self.chunk.words[self.at]
    }

    /// Goes to another entry, if that is in the same chunk. Returns whether it is: if not, the lock
    /// is of no use any more.
    #[inline]
    pub(super) fn go_to(&mut self, index: u32) -> bool {
        self.at = index as usize % CHUNK;
        index / CHUNK as u32 == self.number
    }

    /// Fetches an entry that will be needed soon, if it is in this chunk: where the entries of
    /// another one lie is known only under its lock.
    #[inline]
    pub(super) fn prefetch(&self, index: u32) {
        if index / CHUNK as u32 == self.number {
            let at = index as usize % CHUNK;
            self.entries.prefetch(at, &self.chunk.words);
        }
    }

    /// Returns the entry, `None` if the driver is gone.
    #[inline]
    pub(super) fn entry(&mut self) -> Option<&mut Entry> {
        self.entries.all.get_mut(self.at)
    }

    /// Frees the entry of a slot that has left the heap and returns the waker, if the slot is live.
    #[inline]
    pub(super) fn claim(&mut self, chunks: &Chunks, slot: Slot) -> Option<Waker> {
        let entries = &mut *self.entries;
        let entry = entries.all.get_mut(self.at)?;
        // The sequence number is compared, too: a slot that was adopted has that of an earlier
        // timer. Then the slot is filed anew with the number of this timer. Otherwise it would
        // leave before equal deadlines that were armed earlier.
        let is_live = entry.seq == slot.seq() && entry.has_slot(slot) && entry.is_armed();
        if !is_live || !self.chunk.words.get(self.at)?.claim(slot.when()) {
            return None;
        }
        entry.slot_when = NEVER;
        chunks.free(entries, self.number, self.at)
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

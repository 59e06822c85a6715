//! Tests of the chunks: how entries are found, given out and taken back.

use super::*;

impl Chunks {
    /// Checks the lists of free entries, the counts, and C2; calls `each` for every entry with its
    /// word.
    pub(in crate::driver::wakers) fn verify(&self, mut each: impl FnMut(&Entry, u64)) {
        let available = lock(&self.available.chunks);
        assert_eq!(self.available.is_empty(), available.is_empty());
        let (mut with_free, mut current) = (0, 0);
        let chunks = (0..).map_while(|chunk| self.get(chunk));
        for (number, chunk) in (0..).zip(chunks) {
            let entries = chunk.lock();
            let mut armed = 0;
            for (entry, word) in entries.all.iter().zip(&chunk.words) {
                let word = word.load_locked();
                assert!(word != NO_DEADLINE || !entry.is_armed());
                armed += usize::from(entry.is_armed());
                each(entry, word);
            }
            assert_eq!(armed, entries.armed as usize);
            let (mut free, mut at) = (0, entries.first_free);
            while at != NONE {
                let EntryState::Free(next) = entries.all[at as usize].state else {
                    panic!("entry {at} of chunk {number} is armed and free");
                };
                (at, free) = (next, free + 1);
                assert!(free <= CHUNK, "a circle of free entries");
            }
            assert_eq!(free + armed, entries.all.len());
            current += usize::from(entries.arming.is_some());
            if free > 0 && entries.arming.is_none() {
                with_free += 1;
                assert!(available.contains(&number), "C2");
            }
        }
        assert_eq!(with_free, available.len(), "C2");
        let entries: usize = (0..)
            .map_while(|chunk| self.get(chunk))
            .map(|chunk| chunk.lock().all.len())
            .sum();
        assert_eq!(self.peak.load(Ordering::Relaxed), entries as u64);
        assert!(current <= 1, "{current} chunks are current");
    }
}

#[test]
fn a_place_is_as_large_as_a_waker_and_an_entry_is_thirty_two_bytes() {
    assert_eq!(size_of::<EntryState>(), size_of::<Waker>());
    assert_eq!(size_of::<Entry>(), 32);
    assert_eq!(size_of::<Chunk>(), 128 + 8 * CHUNK);
    // What every timer needs is on the first cache line: the counts, the lock, the entries.
    let rest = size_of::<Mutex<Entries>>() - size_of::<Entries>();
    let permits =
        std::mem::offset_of!(Head, entries) + rest + std::mem::offset_of!(Entries, permits);
    assert_eq!(permits, 64);
}

#[test]
fn each_index_has_a_word_of_its_own() {
    let chunks = Chunks::new();
    let far = [1 << 22, (1 << 23) - 1];
    let numbers = (0..200).chain(far.map(|index| index / CHUNK as u32));
    for number in numbers {
        for (at, word) in chunks.get_or_add(number).words.iter().enumerate() {
            word.store((number as usize * CHUNK + at) as u64 + 1);
        }
    }
    for index in (0..200 * CHUNK as u32).chain(far) {
        assert_eq!(chunks.load(index), u64::from(index) + 1);
    }
    for index in [200 * CHUNK as u32, 1 << 24, u32::MAX - 1, u32::MAX] {
        assert_eq!(chunks.load(index), NO_DEADLINE, "one that was never made");
    }
}

//! Tests of the table alone: which slot an entry owns, which entry the next timer gets.

use super::*;

impl<V> Table<V> {
    /// Returns whether a slot is live.
    pub(crate) fn is_live(&self, slot: Slot) -> bool {
        let block = &self.blocks[slot.key() as usize / BLOCK];
        let entry = &block.entries[slot.key() as usize % BLOCK];
        entry.is_armed() && entry.live_slot(slot.key()) == Some(slot)
    }

    /// Checks T2, the values, and the list of free entries. Returns how many live slots
    /// there must be.
    pub(crate) fn verify(&self) -> usize {
        let all: Vec<_> = self
            .blocks
            .iter()
            .flat_map(|block| &block.entries)
            .collect();
        let values: Vec<_> = self.blocks.iter().flat_map(|block| &block.values).collect();
        assert_eq!(
            (all.len(), values.len()),
            (self.len as usize, self.len as usize)
        );
        assert!(
            all.iter()
                .zip(&values)
                .all(|(entry, value)| entry.is_armed() == value.is_some()),
            "an entry has a value if and only if it is armed"
        );
        let mut idle = 0;
        let mut at = self.free;
        while at != NONE {
            assert!(!all[at as usize].is_armed(), "entry {at} is armed and free");
            (at, idle) = (all[at as usize].next(), idle + 1);
            assert!(idle <= all.len(), "a circle of free entries");
        }
        let armed: Vec<_> = all.iter().filter(|entry| entry.is_armed()).collect();
        assert_eq!((armed.len(), all.len() - idle), (self.armed, self.armed));
        assert!(
            armed.iter().all(|entry| entry.slot_when <= entry.when),
            "T2"
        );
        armed
            .iter()
            .filter(|entry| entry.live_slot(0).is_some())
            .count()
    }
}

#[test]
fn an_entry_is_twenty_four_bytes_without_its_value() {
    assert_eq!(size_of::<Entry>(), 24);
}

#[test]
fn no_timer_has_the_number_that_means_unarmed() {
    let mut table = Table::new(u32::MAX - 1);
    for value in 0..3 {
        table.arm(1, value);
    }
    table.verify();
    assert_eq!(table.reset(2, 2), Some((Some(Slot::new(1, 2, 2)), None)));
    assert_eq!(table.disarm(2), Some((2, None)));
    assert_eq!(table.reset(2, 3), None);
}

#[test]
fn the_next_timer_adopts_the_slot_of_the_last_removed() {
    let mut table = Table::new(0);
    let (index, slot) = table.arm(10, 'a');
    assert_eq!(slot, Some(Slot::new(10, 1, 0)));
    assert_eq!(table.disarm(index), Some(('a', slot)));
    assert_eq!(
        table.arm(12, 'b'),
        (index, None),
        "filed at 10, early enough for 12"
    );
    assert_eq!(
        table.resolve(Slot::new(10, 1, 0), OnMove::Refile),
        SlotState::Moved(Slot::new(12, 2, 0))
    );
    assert_eq!(
        table.resolve(Slot::new(12, 2, 0), OnMove::Refile),
        SlotState::Live
    );
}

#[test]
fn an_earlier_timer_leaves_the_slot_of_the_last_removed_dead() {
    let mut table = Table::new(0);
    let (index, _) = table.arm(10, 'a');
    table.disarm(index);
    assert_eq!(table.arm(9, 'b'), (index, Some(Slot::new(9, 2, 0))));
    assert_eq!(
        table.resolve(Slot::new(10, 1, 0), OnMove::Refile),
        SlotState::Dead
    );
    assert_eq!(
        table.resolve(Slot::new(9, 2, 0), OnMove::Refile),
        SlotState::Live
    );
}

#[test]
fn a_fired_entry_goes_to_the_next_timer() {
    let mut table = Table::new(0);
    table.arm(1, 'a');
    assert_eq!(table.fire(0), Some('a'));
    assert_eq!(table.disarm(0), None);
    assert_eq!(table.arm(1, 'b').0, 0);
    table.verify();
}

#[test]
fn entries_stay_in_place_as_the_table_grows() {
    let mut table = Table::new(0);
    table.reserve(3 * BLOCK + 1);
    assert_eq!(
        table
            .blocks
            .iter()
            .map(|block| block.entries.capacity())
            .collect::<Vec<_>>(),
        [BLOCK, BLOCK, BLOCK, 1]
    );
    for value in 0..4 * BLOCK {
        assert_eq!(table.arm(value as u64, value).0 as usize, value);
    }
    assert!((0..4 * BLOCK).all(|i| table.get(i as u32) == Some((i as u64, &i))));
    assert_eq!(table.get(4 * BLOCK as u32), None);
}

#[test]
fn reserving_again_fills_up_the_last_block() {
    let mut table = Table::<()>::new(0);
    table.reserve(BLOCK + 1);
    assert_eq!(table.capacity(), BLOCK + 1);
    table.reserve(2 * BLOCK - 1);
    assert_eq!(table.capacity(), 2 * BLOCK - 1);
    table.reserve(1);
    assert_eq!(table.capacity(), 2 * BLOCK - 1);
}

#[test]
fn a_compacted_table_has_no_spare_capacity_and_grows_again() {
    let mut table = Table::new(0);
    for value in 0..3 * BLOCK {
        table.arm(value as u64, value);
    }
    for value in (0..3 * BLOCK).filter(|value| value % 2 == 0) {
        table.disarm(value as u32);
    }
    let slots = table.compact(|&value| usize::MAX - value);
    table.verify();
    assert_eq!(table.capacity(), 3 * BLOCK / 2);
    assert!(slots.is_sorted() && slots.iter().all(|&slot| table.is_live(slot)));
    // The value inserted last was ranked first.
    let last = 3 * BLOCK - 1;
    assert_eq!(table.get(0), Some((last as u64, &last)));
    assert_eq!(table.arm(0, 0).0 as usize, 3 * BLOCK / 2);
    assert_eq!(table.capacity(), 2 * BLOCK);
    table.verify();
}

#[test]
fn compacting_an_empty_table_leaves_nothing() {
    let mut table = Table::new(0);
    let (index, _) = table.arm(1, ());
    table.disarm(index);
    assert_eq!(table.compact(|()| 0), []);
    assert_eq!(table.capacity(), 0);
    table.verify();
}

//! [`List`]: the children of a context, or what waits for its end, in the order of insertion.
//!
//! Most contexts have one waiter and at most one child. The first entry lies in the list itself, so
//! that these allocate nothing. Further ones lie in a table whose places are used again, so that a
//! parent whose children come and go needs no more memory than for the most that it had at once.
//! When the last one leaves a table that has grown large, the table is freed.

/// Identifies an entry. Numbers are never used again, so a stale key finds nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    number: u64,
    index: usize,
}

/// The index of the entry that lies in the list itself.
const FIRST: usize = usize::MAX;

/// The end of the list of free places.
const NONE: usize = usize::MAX;

/// An empty table with more places than this is freed.
const KEPT: usize = 32;

pub(super) struct List<T> {
    first: Option<Entry<T>>,
    rest: Option<Box<Table<T>>>,
    next_number: u64,
}

struct Entry<T> {
    number: u64,
    value: T,
}

struct Table<T> {
    places: Vec<Place<T>>,
    /// The free place that is used next.
    free: usize,
    used: usize,
}

enum Place<T> {
    Used(Entry<T>),
    /// The next free place.
    Free(usize),
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self {
            first: None,
            rest: None,
            next_number: 0,
        }
    }
}

impl<T> List<T> {
    pub(super) fn insert(&mut self, value: T) -> Key {
        let number = self.next_number;
        self.next_number += 1;
        let entry = Entry { number, value };
        let index = if self.first.is_none() {
            self.first = Some(entry);
            FIRST
        } else {
            self.rest.get_or_insert_default().insert(entry)
        };
        Key { number, index }
    }

    /// Removes an entry, unless it is gone. The caller drops it with no lock held.
    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        if key.index == FIRST {
            let entry = self.first.take_if(|entry| entry.number == key.number);
            return entry.map(|entry| entry.value);
        }
        let table = self.rest.as_mut()?;
        let value = table.remove(key)?;
        if table.used == 0 && table.places.len() > KEPT {
            self.rest = None;
        }
        Some(value)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let entry = match key.index {
            FIRST => self.first.as_mut()?,
            index => match self.rest.as_mut()?.places.get_mut(index)? {
                Place::Used(entry) => entry,
                Place::Free(_) => return None,
            },
        };
        (entry.number == key.number).then_some(&mut entry.value)
    }

    pub(super) fn len(&self) -> usize {
        let rest = self.rest.as_ref().map_or(0, |table| table.used);
        usize::from(self.first.is_some()) + rest
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns whether the list is empty and has no table either.
    pub(super) fn has_no_memory(&self) -> bool {
        self.first.is_none() && self.rest.is_none()
    }

    /// Brings the entries into the order of insertion. Keys find nothing, or their own entry,
    /// afterwards.
    pub(super) fn sort(&mut self) {
        let Some(table) = &mut self.rest else { return };
        table.places.sort_unstable_by_key(Place::number);
        // The first entry may have been inserted after some in the table. It changes places with
        // the earliest one, as another place might have to be allocated.
        if let Some(first) = &mut self.first {
            let number = first.number;
            let earlier = table
                .places
                .partition_point(|place| place.number() < number);
            let earlier = &mut table.places[..earlier];
            if let Some(Place::Used(earliest)) = earlier.first_mut() {
                std::mem::swap(first, earliest);
                earlier.rotate_left(1);
            }
        }
        // The places have moved, so the list of free ones is void.
        table.free = NONE;
    }

    /// Returns the entries, by insertion if the list was [sorted](Self::sort).
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        let rest = self.rest.iter().flat_map(|table| &table.places);
        let rest = rest.filter_map(|place| match place {
            Place::Used(entry) => Some(entry),
            Place::Free(_) => None,
        });
        self.first.iter().chain(rest).map(|entry| &entry.value)
    }

    /// Takes all entries out, by insertion.
    pub(super) fn into_sorted(mut self) -> impl Iterator<Item = T> {
        self.sort();
        let rest = self.rest.into_iter().flat_map(|table| table.places);
        let rest = rest.filter_map(|place| match place {
            Place::Used(entry) => Some(entry),
            Place::Free(_) => None,
        });
        let all = self.first.into_iter().chain(rest);
        all.map(|entry| entry.value)
    }
}

impl<T> Place<T> {
    /// Returns the number of its entry; that of a free place is the largest.
    fn number(&self) -> u64 {
        match self {
            Self::Used(entry) => entry.number,
            Self::Free(_) => u64::MAX,
        }
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: NONE,
            used: 0,
        }
    }
}

impl<T> Table<T> {
    fn insert(&mut self, entry: Entry<T>) -> usize {
        self.used += 1;
        let index = self.free;
        if let Some(place) = self.places.get_mut(index)
            && let Place::Free(next) = *place
        {
            self.free = next;
            *place = Place::Used(entry);
            return index;
        }
        self.places.push(Place::Used(entry));
        self.places.len() - 1
    }

    fn remove(&mut self, key: Key) -> Option<T> {
        let place = self.places.get_mut(key.index)?;
        match place {
            Place::Used(entry) if entry.number == key.number => {}
            _ => return None,
        }
        let freed = std::mem::replace(place, Place::Free(self.free));
        self.free = key.index;
        self.used -= 1;
        match freed {
            Place::Used(entry) => Some(entry.value),
            Place::Free(_) => None,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::List;

    #[test]
    fn entries_leave_in_the_order_of_insertion_whatever_places_they_have() {
        let mut list = List::default();
        let keys: Vec<_> = (0..6).map(|value| list.insert(value)).collect();
        assert_eq!(list.remove(keys[0]), Some(0));
        assert_eq!(list.remove(keys[3]), Some(3));
        // They take the place in the list itself and the free one of the table.
        list.insert(6);
        list.insert(7);
        assert_eq!(list.len(), 6);
        assert_eq!(list.into_sorted().collect::<Vec<_>>(), [1, 2, 4, 5, 6, 7]);
    }

    #[test]
    fn a_key_whose_entry_is_gone_finds_nothing_even_if_its_place_is_used_again() {
        let mut list = List::default();
        let keys: Vec<_> = (0..3).map(|value| list.insert(value)).collect();
        for key in keys.iter().rev() {
            assert!(list.remove(*key).is_some());
        }
        let _again: Vec<_> = (10..13).map(|value| list.insert(value)).collect();
        for key in keys {
            assert_eq!((list.remove(key), list.get_mut(key)), (None, None));
        }
        assert_eq!(list.len(), 3);
    }

    #[test]
    fn a_large_table_is_freed_when_its_last_entry_leaves() {
        let mut list = List::default();
        let keys: Vec<_> = (0..1000).map(|value| list.insert(value)).collect();
        assert_eq!(
            list.rest.as_ref().map(|table| table.places.len()),
            Some(999)
        );
        for key in keys {
            list.remove(key);
        }
        assert!(list.rest.is_none() && list.is_empty());
    }

    #[test]
    fn places_are_used_again() {
        let mut list = List::default();
        list.insert(0);
        for value in 0..1000 {
            let key = list.insert(value);
            list.remove(key);
        }
        assert_eq!(list.rest.as_ref().map(|table| table.places.len()), Some(1));
    }
}

//! What a process has of its own, and does not share with the one that it was forked from.
//!
//! A child process has a copy of all memory, but only the thread that forked. A lock that another
//! thread held at that moment stays locked there for ever. So a child takes no lock of its parent:
//! it claims the next entry of a [`PerProcess`].

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many processes, each forked from the one before, may have an entry.
pub(crate) const DEPTH: usize = 64;

/// A value for this process, and those of the processes that it was forked from, the oldest first,
/// as far as they needed one.
pub(crate) struct PerProcess<T>([Entry<T>; DEPTH]);

struct Entry<T> {
    /// The id of the process, zero while no process has claimed the entry. (A process may have the
    /// id of an ancestor: if ids have wrapped and the ancestor ended long ago, or if the process is
    /// in a new PID namespace. This is not noticed.)
    process: AtomicU32,
    /// Never dropped. It is made by the process that has claimed the entry, and by no other.
    value: OnceLock<T>,
}

impl<T: Default> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        Self([const { Entry::new() }; DEPTH])
    }

    /// Returns the value of the process `id`. If it has none yet, calls `leave` with the values of
    /// those that it was forked from, and claims an entry. Several threads may do this at once.
    ///
    /// # Errors
    ///
    /// If no entry is left: returns the last value, which is another process's, too.
    pub(crate) fn own(&self, id: u32, leave: impl Fn(&T)) -> Result<&T, &T> {
        for (at, entry) in self.0.iter().enumerate() {
            // Acquire: pairs with the exchange below. A thread that finds the entry claimed also
            // finds what `leave` has done.
            match entry.process.load(Ordering::Acquire) {
                0 => {}
                known if known == id => return Ok(entry.value()),
                _ => continue,
            }
            self.0[..at]
                .iter()
                .filter_map(|entry| entry.value.get())
                .for_each(&leave);
            // If another thread claims the entry first, it is this one's, too: both are in this
            // process.
            let (success, failure) = (Ordering::Release, Ordering::Relaxed);
            let _ = entry.process.compare_exchange(0, id, success, failure);
            return Ok(entry.value());
        }
        Err(self.0[DEPTH - 1].value())
    }

    /// Returns whether a process has claimed an entry.
    #[inline]
    pub(crate) fn is_used(&self) -> bool {
        self.0[0].process.load(Ordering::Relaxed) != 0
    }

    /// Returns the values that there are.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        // Entries are claimed in order, so there is no value after the first that is not claimed. A
        // process mostly has one entry, and goes through them each time that it arms a timer.
        let claimed = |entry: &&Entry<T>| entry.process.load(Ordering::Relaxed) != 0;
        let claimed = self.0.iter().take_while(claimed);
        claimed.filter_map(|entry| entry.value.get())
    }
}

impl<T: Default> Entry<T> {
    const fn new() -> Self {
        Self {
            process: AtomicU32::new(0),
            value: OnceLock::new(),
        }
    }

    fn value(&self) -> &T {
        self.value.get_or_init(T::default)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Each arming on any driver goes through the values, once the process-wide thread was used.
    #[test]
    fn entries_after_the_first_that_is_not_claimed_are_not_visited() {
        let entries = PerProcess::<u32>::new();
        // No process has such a value: it only shows whether its entry is visited.
        entries.0[2].value.set(7).unwrap();
        assert_eq!(entries.own(1, |_| {}), Ok(&0));
        assert_eq!(entries.values().count(), 1);
        assert_eq!(entries.own(2, |_| {}), Ok(&0));
        assert_eq!(entries.values().count(), 2);
    }
}

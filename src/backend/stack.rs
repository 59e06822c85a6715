//! [`Stack`], the values that a thread has entered, of which the innermost is current.
//!
//! Guards may be dropped in any order. Each removes exactly the entry that it made, so that the
//! innermost entry whose guard lives is always current.

/// The entries of one thread. The innermost is kept apart: finding it costs one load, and entering
/// allocates only where entries nest.
pub(crate) struct Stack<T> {
    innermost: Option<Entry<T>>,
    /// The others, the outermost first.
    outer: Vec<Entry<T>>,
    next_key: u64,
}

struct Entry<T> {
    value: T,
    key: u64,
}

/// Identifies one entry of one [`Stack`]. Keys are never used again.
#[derive(Debug)]
pub(crate) struct Key(u64);

impl<T> Stack<T> {
    pub(crate) const fn new() -> Self {
        Self {
            innermost: None,
            outer: Vec::new(),
            next_key: 0,
        }
    }

    pub(crate) fn push(&mut self, value: T) -> Key {
        let key = self.next_key;
        self.next_key += 1;
        if let Some(outer) = self.innermost.replace(Entry { value, key }) {
            self.outer.push(outer);
        }
        Key(key)
    }

    /// Removes an entry and returns its value, `None` if it was removed before. The caller drops
    /// the value when the stack is no longer borrowed: the drop may run foreign code.
    #[must_use]
    pub(crate) fn remove(&mut self, key: &Key) -> Option<T> {
        let entry = if self.innermost.as_ref()?.key == key.0 {
            std::mem::replace(&mut self.innermost, self.outer.pop())
        } else {
            let at = self.outer.iter().rposition(|entry| entry.key == key.0)?;
            Some(self.outer.remove(at))
        };
        entry.map(|entry| entry.value)
    }

    #[inline]
    pub(crate) fn innermost(&self) -> Option<&T> {
        self.innermost.as_ref().map(|entry| &entry.value)
    }

    /// Returns the entries around the innermost one, from the inside out.
    pub(crate) fn outer(&self) -> impl Iterator<Item = &T> {
        self.outer.iter().rev().map(|entry| &entry.value)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Calls `check` with every order in which the entries can be removed.
    fn permute(left: &[usize], taken: &mut Vec<usize>, check: &mut impl FnMut(&[usize])) {
        if left.is_empty() {
            check(taken);
        }
        for (at, &entry) in left.iter().enumerate() {
            let rest: Vec<usize> = [&left[..at], &left[at + 1..]].concat();
            taken.push(entry);
            permute(&rest, taken, check);
            taken.pop();
        }
    }

    #[test]
    fn the_innermost_entry_that_is_left_is_current() {
        let mut orders = 0;
        permute(&[0, 1, 2, 3, 4], &mut Vec::new(), &mut |order| {
            orders += 1;
            let mut stack = Stack::new();
            let keys = [0, 1, 2, 3, 4].map(|value| stack.push(value));
            let mut left = vec![0, 1, 2, 3, 4];
            for &entry in order {
                assert_eq!(stack.remove(&keys[entry]), Some(entry), "{order:?}");
                assert_eq!(stack.remove(&keys[entry]), None, "{order:?}");
                left.retain(|value| *value != entry);
                assert_eq!(stack.innermost(), left.last(), "{order:?}");
                let outer = stack.outer().copied().collect::<Vec<_>>();
                let expected = left.iter().rev().skip(1).copied().collect::<Vec<_>>();
                assert_eq!(outer, expected, "{order:?}");
            }
            // A key is not used again.
            let key = stack.push(9);
            assert!(keys.iter().all(|key| stack.remove(key).is_none()));
            assert_eq!(stack.remove(&key), Some(9));
        });
        assert_eq!(orders, 120);
    }
}

//! Entries that are removed in every order.

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

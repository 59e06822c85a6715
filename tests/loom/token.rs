//! Is an unpark lost by a thread that is about to park, or what it published?
//!
//! The token is the one that every parker ships with; the block is that of the portable parker.
//! What goes wrong when one of these fails: a thread stays parked, which loom reports as a
//! deadlock, or runs on without the work that it was unparked for.

use std::sync::Arc;

use crate::{Park, ThreadPark, Unpark};
use loom::sync::atomic::{AtomicUsize, Ordering};

use super::support::{Race, check};

/// The unpark comes before, in the middle of, or after the decision to block.
#[test]
fn unpark_against_park() {
    check(None, || {
        let race = Race::new();
        let mut park = ThreadPark::new();
        let unpark = park.unparker();
        let work = Arc::new(AtomicUsize::new(0));
        let published = work.clone();
        let other = race.spawn(move || {
            published.store(1, Ordering::Relaxed);
            unpark.unpark();
        });
        race.enter();
        park.park(None);
        assert_eq!(work.load(Ordering::Relaxed), 1);
        other.join().unwrap();
    });
}

/// Two unparks may merge. The park that took the token shows what both have published, unless one
/// of them has left another token.
#[test]
fn two_unparks_against_parks() {
    check(Some(2), || {
        let race = Race::new();
        let mut park = ThreadPark::new();
        let work = Arc::new(AtomicUsize::new(0));
        let others = [(); 2].map(|()| {
            let (published, unpark) = (work.clone(), park.unparker());
            race.spawn(move || {
                published.fetch_add(1, Ordering::Relaxed);
                unpark.unpark();
            })
        });
        race.enter();
        while work.load(Ordering::Relaxed) < 2 {
            park.park(None);
        }
        for other in others {
            other.join().unwrap();
        }
    });
}

//! A cache whose entries expire, and a store of sessions, on one [`DelayQueue`].
//!
//! ```sh
//! cargo run --release --features patterns --example session_store
//! ```
//!
//! The deadlines are in a queue with one timer. An entry that is read, moved or removed costs no
//! system call, and what has expired is dropped when it has, not when somebody looks for it.
//! (`moka` does more for a cache that has to choose what to keep. It has no timer: what has expired
//! stays until the next operations.)

use std::collections::HashMap;
use std::future::poll_fn;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use reveille::time::{DelayQueue, Instant, sleep};
use reveille::{Key, rt};

/// Values that expire, for any number of tasks.
pub(crate) struct Expiring<K, V> {
    inner: Mutex<Inner<K, V>>,
}

struct Inner<K, V> {
    values: HashMap<K, (V, Key)>,
    deadlines: DelayQueue<K>,
}

impl<K: Hash + Eq + Clone, V: Clone> Expiring<K, V> {
    pub(crate) fn new() -> Self {
        let inner = Inner {
            values: HashMap::new(),
            deadlines: DelayQueue::new(),
        };
        Self {
            inner: Mutex::new(inner),
        }
    }

    /// Puts in a value that expires after `life`. Returns the one that it replaces.
    pub(crate) fn insert(&self, key: K, value: V, life: Duration) -> Option<V> {
        let mut inner = self.lock();
        let deadline = inner.deadlines.insert(key.clone(), life);
        let replaced = inner.values.remove_entry(&key);
        inner.values.insert(key, (value, deadline));
        let (its_key, (old, old_deadline)) = replaced?;
        let its_deadline = inner.deadlines.try_remove(&old_deadline);
        drop(inner); // before the keys: their destructors may use the store
        drop((its_key, its_deadline));
        Some(old)
    }

    /// Returns the value, unless it has expired. This is what a cache does.
    pub(crate) fn get(&self, key: &K) -> Option<V> {
        self.lock().live(key).map(|(value, _)| value.clone())
    }

    /// Returns the value, unless it has expired, and lets it live for `life` from now. This is what
    /// a store of sessions does at each request.
    pub(crate) fn touch(&self, key: &K, life: Duration) -> Option<V> {
        let mut inner = self.lock();
        let (value, deadline) = inner.live(key)?.clone();
        inner.deadlines.reset(&deadline, life);
        Some(value)
    }

    /// Removes a value, as when its user logs out, and returns it. One that has expired is left to
    /// [`next_expired`](Self::next_expired), so that each value is returned by one of the two.
    pub(crate) fn remove(&self, key: &K) -> Option<V> {
        let mut inner = self.lock();
        let deadline = inner.live(key)?.1;
        let (its_key, (value, _)) = inner.values.remove_entry(key)?;
        let its_deadline = inner.deadlines.try_remove(&deadline);
        drop(inner); // before the keys: their destructors may use the store
        drop((its_key, its_deadline));
        Some(value)
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().values.len()
    }

    /// Waits for the next value that expires, and removes it.
    ///
    /// One task calls this in a loop. It also waits while there is nothing in the store.
    pub(crate) async fn next_expired(&self) -> (K, V) {
        poll_fn(|cx| {
            let mut inner = self.lock();
            let Poll::Ready(Some(expired)) = inner.deadlines.poll_expired(cx) else {
                return Poll::Pending; // an insertion wakes this task, too
            };
            let removed = inner.values.remove_entry(expired.get_ref());
            drop(inner); // before the second key
            let (key, (value, _)) = removed.expect("each deadline has a value");
            Poll::Ready((key, value))
        })
        .await
    }

    fn lock(&self) -> MutexGuard<'_, Inner<K, V>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq, V: Clone> Inner<K, V> {
    /// Returns a value that has not expired. One that has may still be here, if the task that
    /// removes it is busy.
    fn live(&self, key: &K) -> Option<&(V, Key)> {
        let entry = self.values.get(key)?;
        (self.deadlines.deadline(&entry.1) > Instant::now()).then_some(entry)
    }
}

#[allow(dead_code, reason = "the tests include this file as a module")]
fn main() {
    const IDLE: Duration = Duration::from_millis(30);
    let start = Instant::now();
    let millis = move || start.elapsed().as_millis();
    rt::block_on(async {
        let sessions = Arc::new(Expiring::new());
        let removed = sessions.clone();
        rt::spawn(async move {
            loop {
                let (user, session) = removed.next_expired().await;
                println!("  {:>3} ms  {user} has expired ({session})", millis());
            }
        });
        println!("Sessions that end after {IDLE:?} without a request:");
        for (user, session) in [("Ada", "a1"), ("Bob", "b2"), ("Cy", "c3")] {
            sessions.insert(user, session, IDLE);
        }
        sessions.remove(&"Cy");
        println!("  {:>3} ms  Cy logs out", millis());
        for _ in 0..4 {
            sleep(IDLE / 2).await;
            let session = sessions.touch(&"Ada", IDLE);
            println!("  {:>3} ms  Ada requests: {session:?}", millis());
        }
        let session = sessions.get(&"Ada");
        println!(
            "  {:>3} ms  a look that is no request: {session:?}",
            millis()
        );
        sleep(IDLE * 2).await;
        println!("  {:>3} ms  {} sessions are left", millis(), sessions.len());
    });
}

//! Work that is done later, unless it is cancelled: a reminder, if nobody has paid by then.
//!
//! ```sh
//! cargo run --release --features patterns --example delayed_work
//! ```
//!
//! [`go::after_func`] spawns the work as a task when it is due. Of a `cancel` that comes just then,
//! the answer is exact: either the work is cancelled, or its task was spawned, and does it. What has
//! to outlive the process belongs into a database: `examples/systems` has that, and
//! `docs/durable.md` tells when.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reveille::go::{self, FuncTimer};
use reveille::rt;
use reveille::time::{Instant, sleep};

/// Work that was put off, by key.
pub(crate) struct Delayed<K> {
    timers: Timers<K>,
    /// How often work was scheduled: a number for each.
    scheduled: AtomicU64,
}

/// The number and the timer of what is to be done.
type Timers<K> = Arc<Mutex<HashMap<K, (u64, FuncTimer)>>>;

impl<K: Hash + Eq + Clone + Send + 'static> Delayed<K> {
    pub(crate) fn new() -> Self {
        Self {
            timers: Arc::default(),
            scheduled: AtomicU64::new(0),
        }
    }

    /// Has `work` done after `delay`, in a task. Returns false, and does nothing, if there is work
    /// for this key already.
    pub(crate) fn schedule(
        &self,
        key: K,
        delay: Duration,
        work: impl FnOnce() + Send + 'static,
    ) -> bool {
        // Locked until the timer is in the map: the work may be due at once, and removes it.
        let mut timers = self.lock();
        if timers.contains_key(&key) {
            return false;
        }
        // Not a handle that keeps the map alive: the map owns the timer, which owns this.
        let owner = Arc::downgrade(&self.timers);
        let its_key = key.clone();
        let number = self.scheduled.fetch_add(1, Ordering::Relaxed);
        let timer = go::after_func(delay, move || {
            if let Some(timers) = owner.upgrade() {
                let mut timers = lock(&timers);
                // Unless it was cancelled too late, and there is new work for the key.
                let is_its = timers.get(&its_key).is_some_and(|(its, _)| *its == number);
                let entry = is_its.then(|| timers.remove_entry(&its_key));
                drop(timers); // before the key: its destructor may schedule work
                drop(entry);
            }
            work();
        });
        timers.insert(key, (number, timer));
        true
    }

    /// Cancels work. Returns false if there is none, or its task was spawned.
    pub(crate) fn cancel(&self, key: &K) -> bool {
        // The lock is released before the key, a stopped function, and what it owns, are dropped.
        let entry = self.lock().remove_entry(key);
        entry.is_some_and(|(_, (_, timer))| timer.stop())
    }

    /// Puts work off until `delay` from now. Returns false if there is none, or its task was
    /// spawned.
    pub(crate) fn put_off(&self, key: &K, delay: Duration) -> bool {
        self.lock()
            .get(key)
            .is_some_and(|(_, timer)| timer.reset(delay))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, (u64, FuncTimer)>> {
        lock(&self.timers)
    }
}

impl<K> Drop for Delayed<K> {
    /// Cancels everything.
    fn drop(&mut self) {
        let timers = std::mem::take(&mut *lock(&self.timers));
        for (_, timer) in timers.into_values() {
            timer.stop();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[allow(dead_code, reason = "the tests include this file as a module")]
fn main() {
    const MS: Duration = Duration::from_millis(1);
    let start = Instant::now();
    let say = move |what: &str| println!("{:>4} ms  {what}", start.elapsed().as_millis());
    rt::block_on(async {
        let reminders = Delayed::new();
        for (customer, delay) in [("Ada", 10), ("Bob", 20), ("Cy", 30)] {
            reminders.schedule(customer, delay * MS, move || {
                say(&format!("a reminder for {customer}"));
            });
        }
        sleep(15 * MS).await;
        say(&format!(
            "Ada pays, cancelled: {}",
            reminders.cancel(&"Ada")
        ));
        say(&format!(
            "Bob pays, cancelled: {}",
            reminders.cancel(&"Bob")
        ));
        say(&format!(
            "Cy asks for time: {}",
            reminders.put_off(&"Cy", 40 * MS)
        ));
        sleep(60 * MS).await;
    });
}

//! What if the first value comes where there is no driver?
//!
//! Then the queue is *unbound*, like a [`Sleep`](crate::time::Sleep) that is made there, until it is
//! first polled, or given a value, where a driver is current. Its deadlines are on the system's clock
//! meanwhile. On a driver whose clock shows another time, each value that was inserted for a while
//! waits for the whole of it from then on; one that was inserted for an instant keeps that.

use std::collections::HashMap;
use std::time::Duration;

use super::{DelayQueue, Home, Key};
use crate::driver::Handle;
use crate::instant::Instant;
use crate::queue::TimerQueue;
use crate::system;

/// For how long the values of an unbound queue were inserted, those that were for an instant left
/// out; empty once it is bound.
#[derive(Debug, Default)]
pub(super) struct Waits(HashMap<Key, Duration>);

impl Waits {
    pub(super) fn insert(&mut self, key: Key, wait: Duration) {
        self.0.insert(key, wait);
    }

    pub(super) fn remove(&mut self, key: Key) {
        // The map first: of a bound queue there is nothing in it.
        if !self.0.is_empty() {
            self.0.remove(&key);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn clear(&mut self) {
        self.0 = HashMap::new();
    }

    /// Has each wait begin at `now`. Equal ones keep their order.
    fn begin<T>(&mut self, queue: &mut TimerQueue<T>, now: Instant) {
        let mut waits: Vec<_> = std::mem::take(&mut self.0)
            .into_iter()
            .filter_map(|(key, wait)| Some((wait, queue.deadline(key)?, key)))
            .collect();
        // Of equal waits the one that began first would have ended first.
        waits.sort_by_key(|(wait, deadline, key)| (*wait, *deadline, key.number()));
        for (wait, _, key) in waits {
            queue.reset(key, now + wait);
        }
    }
}

impl<T> DelayQueue<T> {
    /// Takes the driver that is current here, if the queue has none yet.
    pub(super) fn bind_if_unbound(&mut self) {
        if self.is_unbound()
            && let Some(driver) = Handle::living()
        {
            self.bind(driver);
        }
    }

    pub(super) fn is_unbound(&self) -> bool {
        self.home.as_ref().is_some_and(Home::is_unbound)
    }

    /// Takes the driver that is current here, or the process-wide thread.
    #[cold]
    pub(super) fn bind_to_serving(&mut self) {
        self.bind(Handle::serving(system::monotonic()));
    }

    fn bind(&mut self, driver: Handle) {
        let Some(home) = &mut self.home else {
            return;
        };
        home.bind(driver);
        if home.is_real() {
            self.waits.clear();
            return;
        }
        self.waits.begin(&mut self.queue, home.now());
        self.find_first();
    }
}

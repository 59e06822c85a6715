//! What is kept for a time: `session_store.rs`, `timer_reuse.rs`.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{self, Waker};

use reveille::go::Timer;
use reveille::time::{Instant, sleep, timeout};
use reveille::{ManualClock, rt};

use crate::session_store::Expiring;
use crate::support::{Count, watched};
use crate::timer_reuse::{TimerPool, measure};
use crate::{Key, ms, simulated};

type Log = Arc<Mutex<Vec<(&'static str, u128)>>>;

/// A store, and a log of what a task has removed from it, and when.
fn store() -> (Arc<Expiring<&'static str, u32>>, Log) {
    let start = Instant::now();
    let (store, log) = (Arc::new(Expiring::new()), Log::default());
    let (removed, noted) = (store.clone(), log.clone());
    rt::spawn(async move {
        loop {
            let (key, _) = removed.next_expired().await;
            noted
                .lock()
                .unwrap()
                .push((key, start.elapsed().as_millis()));
        }
    });
    (store, log)
}

#[test]
fn an_entry_of_a_cache_is_removed_when_it_expires() {
    simulated(async {
        let (cache, log) = store();
        sleep(ms(10)).await; // the task waits while the cache is empty
        cache.insert("long", 1, ms(200));
        cache.insert("short", 2, ms(50));
        assert_eq!(cache.get(&"short"), Some(2));
        sleep(ms(49)).await;
        assert_eq!(cache.get(&"short"), Some(2)); // this does not make it live longer
        sleep(ms(2)).await;
        assert_eq!((cache.get(&"short"), cache.len()), (None, 1));
        sleep(ms(1000)).await;
        assert_eq!(*log.lock().unwrap(), [("short", 60), ("long", 210)]);
        assert_eq!(cache.len(), 0);
    });
}

#[test]
fn a_session_lives_as_long_as_it_is_used() {
    simulated(async {
        let (sessions, log) = store();
        sessions.insert("Ada", 1, ms(100));
        sessions.insert("Bob", 2, ms(100));
        for _ in 0..10 {
            sleep(ms(90)).await;
            assert_eq!(sessions.touch(&"Ada", ms(100)), Some(1));
        }
        assert_eq!(*log.lock().unwrap(), [("Bob", 100)]);
        assert_eq!(sessions.touch(&"Bob", ms(100)), None);
        sleep(ms(1000)).await;
        assert_eq!(*log.lock().unwrap(), [("Bob", 100), ("Ada", 1000)]);
    });
}

#[test]
fn a_session_that_is_replaced_or_removed_does_not_expire() {
    simulated(async {
        let (sessions, log) = store();
        sessions.insert("Ada", 1, ms(100));
        assert_eq!(sessions.insert("Ada", 2, ms(300)), Some(1));
        sessions.insert("Bob", 3, ms(100));
        assert_eq!(sessions.remove(&"Bob"), Some(3));
        assert_eq!(sessions.remove(&"Bob"), None);
        sleep(ms(200)).await;
        assert_eq!(sessions.get(&"Ada"), Some(2));
        sleep(ms(200)).await;
        assert_eq!(*log.lock().unwrap(), [("Ada", 300)]);
    });
}

/// The task that removes what has expired may be late; nobody gets an expired value because of it.
#[test]
fn what_has_expired_is_not_returned_where_no_task_removes_it() {
    ManualClock::new().simulate(async {
        let cache = Expiring::new();
        cache.insert("a", 1, ms(100));
        cache.insert("b", 2, ms(100));
        sleep(ms(100)).await;
        assert_eq!(cache.len(), 2);
        assert_eq!(cache.get(&"a"), None);
        assert_eq!(cache.touch(&"a", ms(100)), None);
        assert_eq!(cache.remove(&"b"), None);
    });
}

/// As when the user logs out before the task that removes what has expired gets to it.
#[test]
fn an_expired_value_that_is_removed_is_still_reported() {
    ManualClock::new().simulate(async {
        let cache = Expiring::new();
        cache.insert("a", 1, ms(100));
        sleep(ms(100)).await;
        assert_eq!(cache.remove(&"a"), None);
        let reported = timeout(ms(1000), cache.next_expired()).await;
        assert_eq!(reported, Ok(("a", 1)));
    });
}

/// Each of the calls drops one of two equal keys.
#[test]
fn the_destructor_of_a_key_may_use_the_store() {
    watched(|| {
        ManualClock::new().simulate(async {
            let (cache, dropped) = (Arc::new(Expiring::new()), Count::default());
            let key = |name| {
                let (cache, dropped) = (Arc::downgrade(&cache), dropped.clone());
                Key::new(name, move || {
                    cache
                        .upgrade()
                        .map(|cache: Arc<Expiring<_, _>>| cache.len());
                    dropped.add();
                })
            };
            assert_eq!(cache.insert(key("a"), 1, ms(100)), None);
            assert_eq!(cache.insert(key("a"), 2, ms(100)), Some(1));
            assert_eq!(cache.insert(key("b"), 3, ms(200)), None);
            assert_eq!(cache.remove(&Key::plain("b")), Some(3));
            assert_eq!(cache.next_expired().await.1, 2);
            assert_eq!((cache.len(), dropped.get()), (0, 6));
        });
    });
}

#[test]
fn a_timer_out_of_a_pool_yields_no_stale_value() {
    ManualClock::new().simulate(async {
        let start = Instant::now();
        let pool = TimerPool::default();
        let mut timer = pool.get(ms(10));
        let look = |timer: &mut Timer| {
            let mut cx = task::Context::from_waker(Waker::noop());
            Pin::new(timer).poll(&mut cx).is_ready()
        };
        assert!(!look(&mut timer));
        sleep(ms(20)).await;
        pool.put(timer); // due, and not received
        let mut timer = pool.get(ms(1000));
        assert!(!look(&mut timer));
        let due = timeout(ms(5000), &mut timer).await;
        assert_eq!(due.unwrap() - start, ms(1020));
        pool.put(timer); // received
        let due = timeout(ms(5000), pool.get(ms(5))).await;
        assert_eq!(due.unwrap() - start, ms(1025));
    });
}

#[test]
fn the_measurement_of_timers_runs() {
    assert_eq!(measure(10).len(), 3);
}

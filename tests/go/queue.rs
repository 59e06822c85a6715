//! Go's `TestAfterQueuing` and `TestAfterStop`, each with a channel timer and with a function.

use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc;
use futures::stream::FuturesUnordered;
use reveille::go::{self, Timer};
use reveille::time::{Instant, sleep};

use crate::on::{On, everywhere};
use crate::support::{Count, ms};

const SLOTS: [u32; 13] = [5, 3, 6, 6, 6, 1, 1, 2, 7, 9, 4, 8, 0];
const DELTA: Duration = Duration::from_millis(2);

/// Checks that the slots have come in order, and none early.
fn check(on: On, start: Instant, came: &[(u32, Instant)]) {
    let slots: Vec<u32> = came.iter().map(|(slot, _)| *slot).collect();
    let mut sorted = SLOTS;
    sorted.sort_unstable();
    assert_eq!(slots, sorted, "{on:?}");
    for (slot, at) in came {
        assert!(*at >= start + DELTA * *slot, "{on:?}: slot {slot} early");
        assert!(on != On::Manual || *at == start + DELTA * *slot);
    }
}

#[test]
fn timers_come_in_the_order_of_their_deadlines() {
    everywhere(|on| async move {
        let start = Instant::now();
        // Not each from its own first poll on, since this thread may be held up between two of them.
        let wait = |slot| async move {
            let due = go::after_at(start + DELTA * slot).await;
            (slot, due)
        };
        let waits: FuturesUnordered<_> = SLOTS.map(wait).into_iter().collect();
        let mut came: Vec<_> = waits.collect().await;
        assert!(came.iter().all(|(_, due)| *due <= Instant::now()));
        // On several workers they may be polled in another order.
        if on != On::Manual {
            came.sort_by_key(|(_, due)| *due);
        }
        check(on, start, &came);
    });
}

/// They are fired in order; on several workers they may run in another.
#[test]
fn functions_come_in_the_order_of_their_deadlines() {
    crate::support::watched(|| {
        for on in [On::Manual, On::TokioThread] {
            on.run(async {
                let (sender, came) = mpsc::unbounded();
                let timers = reveille::Handle::current();
                let start = timers.now();
                for slot in SLOTS {
                    let (sender, timers) = (sender.clone(), timers.clone());
                    let report = timers.clone();
                    timers.call_after(DELTA * slot, move || {
                        sender.unbounded_send((slot, report.now())).unwrap();
                    });
                }
                drop(sender);
                let mut came: Vec<_> = came.collect().await;
                if on == On::Manual {
                    // A callback that is due at once is called a nanosecond later.
                    came[0].1 = start;
                }
                check(on, start, &came);
            });
        }
    });
}

#[test]
fn what_was_stopped_before_it_was_due_does_not_fire() {
    everywhere(|on| async move {
        let start = Instant::now();
        let calls = Count::default();
        let count = || {
            let calls = calls.clone();
            move || calls.add()
        };
        let fires = Timer::new(ms(10));
        let (mut stopped, function) = (Timer::new(ms(500)), go::after_func(ms(500), count()));
        go::after_func(ms(10), count());
        assert!(stopped.stop() && function.stop());
        assert!(fires.await >= start + ms(10));
        sleep(ms(20)).await;
        while calls.get() < 1 {
            sleep(ms(1)).await;
        }
        on.has_passed(start, ms(30));
        assert_eq!(calls.get(), 1);
        assert!(!stopped.stop() && !function.stop());
    });
}

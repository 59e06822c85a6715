//! The feature `tracing`, with a subscriber.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use reveille::Handle;
use reveille::exporters::tracing::late_turns;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::{armed, ms, set_by_hand};

/// Notes the fields of each event, and uses the driver meanwhile: no lock may be held.
struct Notes {
    handle: Handle,
    events: Arc<Mutex<Vec<Vec<(String, String)>>>>,
}

struct Fields(Vec<(String, String)>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push((field.name().to_owned(), format!("{value:?}")));
    }
}

impl Subscriber for Notes {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        assert_eq!(
            (event.metadata().target(), *event.metadata().level()),
            ("reveille", Level::WARN)
        );
        drop(armed(&self.handle, ms(1)));
        late_turns(&self.handle, ms(10));
        let mut fields = Fields(Vec::new());
        event.record(&mut fields);
        self.events.lock().unwrap().push(fields.0);
    }
}

#[test]
fn a_late_turn_is_one_event_and_one_on_time_is_none() {
    let (clock, mut driver) = set_by_hand();
    let handle = driver.handle().clone();
    late_turns(&handle, ms(10));
    let events = Arc::new(Mutex::new(Vec::new()));
    let notes = Notes {
        handle: handle.clone(),
        events: events.clone(),
    };
    tracing::subscriber::with_default(notes, || {
        let mut at = 0;
        for late in [0, 9, 10, 500] {
            // More than a batch of 64.
            let _fired: Vec<_> = (0..100).map(|_| armed(&handle, ms(1))).collect();
            at += 1 + late;
            clock.store(at, Ordering::SeqCst);
            assert_eq!(driver.turn().fired(), 100);
        }
    });
    let event = |lateness: &str| {
        let fields = [
            ("message", "timers fired late"),
            ("reveille.timer.lateness", lateness),
            ("reveille.timer.fired", "100"),
        ];
        fields
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec()
    };
    assert_eq!(*events.lock().unwrap(), [event("0.01"), event("0.5")]);

    // The subscriber is gone.
    let _fired = armed(&handle, ms(1));
    clock.fetch_add(1000, Ordering::SeqCst);
    assert_eq!(driver.turn().fired(), 1);
    assert_eq!(events.lock().unwrap().len(), 2);
}

/// A panic of the function, and its drop when the driver ends.
#[test]
fn a_function_that_panics_loses_no_timer_and_is_dropped_with_the_driver() {
    struct Dropped(Arc<AtomicBool>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    let (clock, mut driver) = set_by_hand();
    let handle = driver.handle().clone();
    let dropped = Arc::new(AtomicBool::new(false));
    let (held, cycle) = (Dropped(dropped.clone()), handle.clone());
    handle.on_late_turn(ms(1), move |turn| {
        let _ = (&held, &cycle);
        panic!(
            "told of {} timers, late by {:?}",
            turn.fired(),
            turn.lateness()
        );
    });
    let _sleeps: Vec<_> = (0..2000).map(|_| armed(&handle, ms(1))).collect();
    clock.store(5, Ordering::SeqCst);
    let mut fired = 0;
    while handle.armed() > 0 {
        fired += driver.turn().fired();
    }
    assert_eq!(fired, 2000);
    drop(driver);
    assert!(dropped.load(Ordering::SeqCst));
}

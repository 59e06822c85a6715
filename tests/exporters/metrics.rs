//! The feature `metrics`, with `metrics_util`'s recorder.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use metrics::{Unit, with_local_recorder};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use reveille::Limits;
use reveille::exporters::metrics::Exporter;

use crate::{armed, ms, set_by_hand};

/// Returns all metrics, by name, with their units.
fn values(snapshotter: &Snapshotter) -> BTreeMap<String, (Option<Unit>, DebugValue)> {
    let metrics = snapshotter.snapshot().into_vec().into_iter();
    metrics
        .map(|(key, unit, description, value)| {
            assert!(description.is_some(), "{key:?} is not described");
            let labels: Vec<_> = key
                .key()
                .labels()
                .map(|it| (it.key(), it.value()))
                .collect();
            assert_eq!(labels, [("driver", "test")]);
            (key.key().name().to_owned(), (unit, value))
        })
        .collect()
}

#[test]
fn all_figures_get_to_the_recorder() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    with_local_recorder(&recorder, || {
        let (clock, mut driver) = set_by_hand();
        let handle = driver.handle().clone();
        let mut exporter = Exporter::new(&handle).label("driver", "test");
        let (_fired, _also) = (armed(&handle, ms(1)), armed(&handle, ms(1)));
        let (mut pending, dropped) = (armed(&handle, ms(900)), armed(&handle, ms(900)));
        pending.reset_after(ms(990));
        drop(dropped);
        let none = handle.limited(Limits::new().timers(0));
        assert!(none.try_sleep(ms(1)).is_err());
        clock.store(101, Ordering::SeqCst);
        driver.turn();
        exporter.export();

        let values = values(&snapshotter);
        let value = |name: &str| &values[name].1;
        for (name, count) in [
            ("reveille_timer_armed_total", 4),
            ("reveille_timer_fired_total", 2),
            ("reveille_timer_cancelled_total", 1),
            ("reveille_timer_reset_total", 1),
            ("reveille_timer_rejected_total", 1),
            ("reveille_driver_turns_total", 1),
            ("reveille_driver_parks_total", 0),
            ("reveille_driver_unparks_total", 0),
            ("reveille_interval_missed_total", 0),
        ] {
            assert_eq!(*value(name), DebugValue::Counter(count), "{name}");
        }
        let gauge = value("reveille_timer_pending");
        assert_eq!(*gauge, DebugValue::Gauge(1.0.into()));
        let lateness = value("reveille_timer_lateness_seconds");
        assert_eq!(
            *lateness,
            DebugValue::Histogram(vec![0.1.into(), 0.1.into()])
        );
        let duration = value("reveille_driver_turn_duration_seconds");
        assert_eq!(*duration, DebugValue::Histogram(vec![0.0.into()]));
        for (name, (unit, _)) in &values {
            let in_seconds = name.ends_with("_seconds");
            let expected = if in_seconds {
                Unit::Seconds
            } else {
                Unit::Count
            };
            assert_eq!(*unit, Some(expected), "{name}");
        }
        assert_eq!(values.len(), 12);
    });
}

/// A histogram is told of each time once.
#[test]
fn what_was_exported_is_not_exported_again() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    with_local_recorder(&recorder, || {
        let (clock, mut driver) = set_by_hand();
        let mut exporter = Exporter::new(driver.handle()).label("driver", "test");
        for times in 1..=3 {
            let _fired = armed(driver.handle(), ms(1));
            clock.fetch_add(2, Ordering::SeqCst);
            driver.turn();
            exporter.export();
            exporter.export();
            let values = values(&snapshotter);
            let DebugValue::Histogram(late) = &values["reveille_timer_lateness_seconds"].1 else {
                panic!("no histogram");
            };
            assert_eq!(late.len(), 1, "a snapshot takes the values out");
            let fired = &values["reveille_timer_fired_total"].1;
            assert_eq!(*fired, DebugValue::Counter(times));
        }
    });
}

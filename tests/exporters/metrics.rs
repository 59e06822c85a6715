//! The feature `metrics`, with `metrics_util`'s recorder.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use metrics::{
    Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    with_local_recorder,
};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use reveille::exporters::metrics::Exporter;
use reveille::{Handle, Limits, rt, time};

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

/// Keeps what counters were set to last, also if it is less than before.
#[derive(Default)]
struct LastCounts(Mutex<BTreeMap<String, Arc<LastCount>>>);

#[derive(Default)]
struct LastCount(AtomicU64);

impl CounterFn for LastCount {
    fn increment(&self, _value: u64) {
        unreachable!("counts are absolute");
    }

    fn absolute(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

impl Recorder for LastCounts {
    fn describe_counter(&self, _key: KeyName, _unit: Option<Unit>, _text: SharedString) {}

    fn describe_gauge(&self, _key: KeyName, _unit: Option<Unit>, _text: SharedString) {}

    fn describe_histogram(&self, _key: KeyName, _unit: Option<Unit>, _text: SharedString) {}

    fn register_counter(&self, key: &Key, _metadata: &Metadata<'_>) -> Counter {
        let mut counts = self.0.lock().unwrap();
        let count = counts.entry(key.name().to_owned()).or_default();
        Counter::from_arc(count.clone())
    }

    fn register_gauge(&self, _key: &Key, _metadata: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _key: &Key, _metadata: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// Panics when it is told of a figure.
struct Panics;

impl Recorder for Panics {
    fn describe_counter(&self, _key: KeyName, _unit: Option<Unit>, _text: SharedString) {}

    fn describe_gauge(&self, _key: KeyName, _unit: Option<Unit>, _text: SharedString) {}

    fn describe_histogram(&self, _key: KeyName, _unit: Option<Unit>, _text: SharedString) {}

    fn register_counter(&self, _key: &Key, _metadata: &Metadata<'_>) -> Counter {
        panic!("a counter")
    }

    fn register_gauge(&self, _key: &Key, _metadata: &Metadata<'_>) -> Gauge {
        panic!("a gauge")
    }

    fn register_histogram(&self, _key: &Key, _metadata: &Metadata<'_>) -> Histogram {
        panic!("a histogram")
    }
}

#[test]
fn a_recorder_that_panics_loses_no_times() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let (clock, mut driver) = set_by_hand();
    let new = || Exporter::new(driver.handle()).label("driver", "test");
    let mut exporter = with_local_recorder(&recorder, new);
    let _fired = armed(driver.handle(), ms(1));
    clock.store(2, Ordering::SeqCst);
    driver.turn();
    let export = || with_local_recorder(&Panics, || exporter.export());
    assert!(catch_unwind(AssertUnwindSafe(export)).is_err());
    with_local_recorder(&recorder, || exporter.export());
    let values = values(&snapshotter);
    let DebugValue::Histogram(late) = &values["reveille_timer_lateness_seconds"].1 else {
        panic!("no histogram");
    };
    assert_eq!(late.len(), 1);
}

/// The handle then tells of one driver alone.
#[test]
fn after_the_end_of_a_runtime_no_counter_gets_less_than_before() {
    let recorder = LastCounts::default();
    let values = || -> BTreeMap<String, u64> {
        let counts = recorder.0.lock().unwrap();
        let value = |count: &Arc<LastCount>| count.0.load(Ordering::Relaxed);
        counts
            .iter()
            .map(|(name, count)| (name.clone(), value(count)))
            .collect()
    };
    with_local_recorder(&recorder, || {
        let runtime = rt::Runtime::builder().worker_threads(2).build().unwrap();
        let handle = runtime.block_on(async { Handle::current() });
        for _ in 0..100 {
            let task = runtime.spawn(async { time::sleep(ms(1)).await });
            runtime.block_on(task).unwrap();
        }
        let mut exporter = Exporter::new(&handle);
        exporter.export();
        let before = values();
        assert!(before["reveille_timer_armed_total"] > 0);
        drop(runtime);
        assert!(handle.stats().armed() < before["reveille_timer_armed_total"]);
        for _ in 0..2 {
            exporter.export();
            for (name, value) in values() {
                assert!(value >= before[&name], "{name}: {value}");
            }
        }
    });
}

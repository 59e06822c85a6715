//! Figures for a recorder of the `metrics` crate (feature `metrics`).
//!
//! Make an [`Exporter`] for a driver, and call [`export`](Exporter::export) now and then: for
//! example every ten seconds, or just before the figures are scraped. Times are in seconds.
//!
//! | metric | kind | OpenTelemetry's name | from |
//! |---|---|---|---|
//! | `reveille_timer_armed_total` | counter | `reveille.timer.armed` | [`Stats::armed`] |
//! | `reveille_timer_fired_total` | counter | `reveille.timer.fired` | [`Stats::fired`] |
//! | `reveille_timer_cancelled_total` | counter | `reveille.timer.cancelled` | [`Stats::cancelled`] |
//! | `reveille_timer_reset_total` | counter | `reveille.timer.reset` | [`Stats::reset`] |
//! | `reveille_timer_rejected_total` | counter | `reveille.timer.rejected` | [`Stats::rejected`] |
//! | `reveille_timer_pending` | gauge | `reveille.timer.pending` | [`Stats::pending`] |
//! | `reveille_timer_lateness_seconds` | histogram | `reveille.timer.lateness` | [`Stats::lateness`] |
//! | `reveille_driver_turns_total` | counter | `reveille.driver.turns` | [`Stats::turns`] |
//! | `reveille_driver_parks_total` | counter | `reveille.driver.parks` | [`Stats::parks`] |
//! | `reveille_driver_unparks_total` | counter | `reveille.driver.unparks` | [`Stats::unparks`] |
//! | `reveille_driver_turn_duration_seconds` | histogram | `reveille.driver.turn.duration` | [`Stats::turn_duration`] |
//! | `reveille_interval_missed_total` | counter | `reveille.interval.missed` | [`Stats::missed_ticks`] |

use std::fmt;
use std::time::Duration;

use metrics::{KeyName, Label, Level, Metadata, SharedString, Unit};

use crate::driver::Handle;
use crate::driver::stats::{Histogram, Stats};

/// What a count is called, what it is, and where it comes from.
type Counter = (&'static str, &'static str, fn(&Stats) -> u64);
type Times = (&'static str, &'static str, fn(&Stats) -> &Histogram);

const COUNTERS: [Counter; 9] = [
    (
        "reveille_timer_armed_total",
        "Timers that were armed.",
        Stats::armed,
    ),
    (
        "reveille_timer_fired_total",
        "Timers that have fired.",
        Stats::fired,
    ),
    (
        "reveille_timer_cancelled_total",
        "Timers that were dropped or stopped before they fired.",
        Stats::cancelled,
    ),
    (
        "reveille_timer_reset_total",
        "Moves of an armed timer to another deadline.",
        Stats::reset,
    ),
    (
        "reveille_timer_rejected_total",
        "Timers that a limit has refused.",
        Stats::rejected,
    ),
    (
        "reveille_driver_turns_total",
        "Times that the loop has looked at its timers.",
        Stats::turns,
    ),
    (
        "reveille_driver_parks_total",
        "Times that the loop was about to block.",
        Stats::parks,
    ),
    (
        "reveille_driver_unparks_total",
        "Times that the loop was interrupted.",
        Stats::unparks,
    ),
    (
        "reveille_interval_missed_total",
        "Ticks that came too late or not at all.",
        Stats::missed_ticks,
    ),
];

const HISTOGRAMS: [Times; 2] = [
    (
        "reveille_timer_lateness_seconds",
        "How late timers fired.",
        Stats::lateness,
    ),
    (
        "reveille_driver_turn_duration_seconds",
        "How long turns took that have fired timers.",
        Stats::turn_duration,
    ),
];

const PENDING: (&str, &str) = ("reveille_timer_pending", "Timers that are armed.");

static METADATA: Metadata<'static> = Metadata::new("reveille", Level::INFO, Some("reveille"));

/// Hands the figures of one driver to the current recorder of the `metrics` crate.
///
/// # Examples
///
/// ```
/// use reveille::exporters::metrics::Exporter;
/// use reveille::time::{Duration, interval};
///
/// /// To be spawned on the program's executor.
/// async fn export() {
///     let mut exporter = Exporter::new(&reveille::Handle::current());
///     let mut interval = interval(Duration::from_secs(10));
///     loop {
///         interval.tick().await;
///         exporter.export();
///     }
/// }
/// # drop(export());
/// ```
pub struct Exporter {
    handle: Handle,
    labels: Vec<Label>,
    /// How many times the recorder was told of, in each bucket of each histogram: it is told only
    /// of what is new.
    times: [Vec<u64>; HISTOGRAMS.len()],
    /// What the recorder was told of each counter, the most of all calls.
    counts: [u64; COUNTERS.len()],
}

impl Exporter {
    /// Makes an exporter for the driver of `handle`, and describes the metrics to the current
    /// recorder. So install the recorder before.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::exporters::metrics::Exporter;
    ///
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// Exporter::new(driver.handle()).export();
    /// ```
    #[must_use]
    pub fn new(handle: &Handle) -> Self {
        describe();
        let none = Stats::default();
        Self {
            handle: handle.clone(),
            labels: Vec::new(),
            times: HISTOGRAMS.map(|(.., times)| vec![0; times(&none).buckets().count()]),
            counts: [0; COUNTERS.len()],
        }
    }

    /// Adds a label to all metrics, to tell several drivers of a program apart.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::exporters::metrics::Exporter;
    ///
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// let exporter = Exporter::new(driver.handle()).label("driver", "network");
    /// # drop(exporter);
    /// ```
    #[must_use]
    pub fn label(mut self, key: impl Into<SharedString>, value: impl Into<SharedString>) -> Self {
        self.labels.push(Label::new(key, value));
        self
    }

    /// Hands the figures of the driver, as they are now, to the current recorder.
    ///
    /// A counter never gets less than before, also if the driver is one of a runtime that has ended
    /// meanwhile: see [`Stats`].
    ///
    /// A histogram gets one value for each time that was counted since the last call: the upper end
    /// of its bucket (see [`Histogram::quantile`](crate::Histogram::quantile)), in seconds.
    ///
    /// # Examples
    ///
    /// ```
    /// use reveille::exporters::metrics::Exporter;
    ///
    /// let driver = reveille::Driver::new(reveille::ThreadPark::new());
    /// let mut exporter = Exporter::new(driver.handle());
    /// exporter.export();
    /// ```
    pub fn export(&mut self) {
        let stats = &self.handle.stats();
        let key =
            |name| metrics::Key::from_parts(KeyName::from_const_str(name), self.labels.clone());
        metrics::with_recorder(|recorder| {
            for ((name, _, count), exported) in COUNTERS.iter().zip(&mut self.counts) {
                *exported = count(stats).max(*exported);
                let counter = recorder.register_counter(&key(name), &METADATA);
                counter.absolute(*exported);
            }
            let pending = recorder.register_gauge(&key(PENDING.0), &METADATA);
            pending.set(stats.pending() as f64);
            for ((name, _, times), exported) in HISTOGRAMS.iter().zip(&mut self.times) {
                let histogram = recorder.register_histogram(&key(name), &METADATA);
                let times = times(stats);
                for ((bound, count), exported) in times.buckets().zip(exported) {
                    let new = count.saturating_sub(*exported) as usize;
                    if new > 0 {
                        // Before the call, which may panic: what it has taken is not told again.
                        *exported = count;
                        histogram.record_many(seconds(bound, times.max()), new);
                    }
                }
            }
        });
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter")
            .field("handle", &self.handle)
            .field("labels", &self.labels)
            .finish_non_exhaustive()
    }
}

fn seconds(bound: Duration, max: Duration) -> f64 {
    bound.min(max).as_secs_f64()
}

fn describe() {
    metrics::with_recorder(|recorder| {
        let name = KeyName::from_const_str;
        for (counter, text, _) in COUNTERS {
            recorder.describe_counter(name(counter), Some(Unit::Count), text.into());
        }
        recorder.describe_gauge(name(PENDING.0), Some(Unit::Count), PENDING.1.into());
        for (histogram, text, _) in HISTOGRAMS {
            recorder.describe_histogram(name(histogram), Some(Unit::Seconds), text.into());
        }
    });
}

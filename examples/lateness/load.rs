//! The tasks that are measured: each sleeps again and again, and notes how late it woke.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::histogram::Histogram;
use crate::usage::{self, Usage};

pub(crate) const TASKS: u64 = 1000;

/// How long the tasks run before anything is recorded.
const WARM_UP: Duration = Duration::from_millis(150);
/// How often what was measured so far is shown.
const REFRESH: Duration = Duration::from_millis(100);

/// What was measured.
#[derive(Clone, Default)]
pub(crate) struct Sample {
    pub(crate) late: Histogram,
    pub(crate) early: u64,
    /// What was used meanwhile, where the system tells.
    used: Option<Usage>,
    over: Duration,
}

impl Sample {
    /// In percent of one core.
    pub(crate) fn cpu_percent(&self) -> Option<f64> {
        let used = self.used?.cpu.as_secs_f64();
        Some(100.0 * used / self.over.as_secs_f64())
    }

    pub(crate) fn waits_per_second(&self) -> Option<f64> {
        Some(self.used?.waits as f64 / self.over.as_secs_f64())
    }
}

pub(crate) struct Load(Arc<Shared>);

struct Shared {
    begin: Instant,
    end: Instant,
    late: Histogram,
    early: AtomicU64,
    live: Box<dyn Fn(&Sample) + Send + Sync>,
    result: std::sync::Mutex<Sample>,
}

impl Load {
    /// A load that lasts for `each`, after a warm-up, and shows what it measures by `live`.
    pub(crate) fn new(each: Duration, live: Box<dyn Fn(&Sample) + Send + Sync>) -> Self {
        let begin = Instant::now() + WARM_UP;
        Self(Arc::new(Shared {
            begin,
            end: begin + each,
            late: Histogram::default(),
            early: AtomicU64::new(0),
            live,
            result: std::sync::Mutex::default(),
        }))
    }

    /// Returns the tasks, which wait by `sleep_until`. All have to be run until they end. They are
    /// `Send` if `sleep_until` and its futures are.
    pub(crate) fn tasks<S: Future + 'static>(
        &self,
        sleep_until: impl Fn(Instant) -> S + Clone + 'static,
    ) -> impl Iterator<Item = impl Future<Output = ()> + 'static> {
        (0..=TASKS).map(move |number| {
            let (shared, sleep_until) = (self.0.clone(), sleep_until.clone());
            async move {
                match number {
                    TASKS => shared.watch(sleep_until).await,
                    _ => shared.sleep_again_and_again(number, sleep_until).await,
                }
            }
        })
    }

    /// Returns what the tasks have measured, which have ended.
    pub(crate) fn into_sample(self) -> Sample {
        self.0.result.lock().expect("no task panics").clone()
    }
}

impl Shared {
    async fn sleep_again_and_again<S: Future>(
        &self,
        seed: u64,
        sleep_until: impl Fn(Instant) -> S,
    ) {
        let mut state = seed;
        loop {
            let deadline = Instant::now() + Duration::from_micros(1000 + random(&mut state) % 9000);
            sleep_until(deadline).await;
            let now = Instant::now();
            if now >= self.end {
                return;
            }
            match now.checked_duration_since(deadline) {
                Some(late) if now >= self.begin => self.late.record(late.as_nanos() as u64),
                Some(_) => {}
                None => drop(self.early.fetch_add(1, Relaxed)),
            }
        }
    }

    /// Takes the time that the others measure, and shows what they have found.
    async fn watch<S: Future>(&self, sleep_until: impl Fn(Instant) -> S) {
        sleep_until(self.begin).await;
        let (begin, before) = (Instant::now(), usage::so_far());
        loop {
            sleep_until(self.end.min(Instant::now() + REFRESH)).await;
            let used = usage::so_far().zip(before).map(|(now, before)| Usage {
                cpu: now.cpu.saturating_sub(before.cpu),
                waits: now.waits.saturating_sub(before.waits),
            });
            let sample = Sample {
                late: self.late.clone(),
                early: self.early.load(Relaxed),
                used,
                over: begin.elapsed(),
            };
            (self.live)(&sample);
            if Instant::now() >= self.end {
                *self.result.lock().expect("no task panics") = sample;
                return;
            }
        }
    }
}

/// The generator *SplitMix64* of Steele, Lea and Flood, 2014.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

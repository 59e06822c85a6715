//! Test that a driver agrees with a sorted map, for a century.

use std::collections::BTreeMap;
use std::time::Duration;

use reveille::Handle;
use reveille::time::{Instant, Sleep};

use crate::support::{Dial, Log, Random, Task, manual};
use crate::{NANO, YEAR, arm};

/// Timers that are made and dropped for a century, and a model of what must become of them.
struct Churn {
    random: Random,
    handle: Handle,
    start: Instant,
    sleeps: Vec<Option<Sleep>>,
    log: Log<(usize, Instant)>,
    /// By deadline, then by the order in which they were armed or last moved.
    model: BTreeMap<(Duration, u64), usize>,
    places: BTreeMap<usize, (Duration, u64)>,
    steps: u64,
}

impl Churn {
    fn new(handle: &Handle, timers: usize) -> Self {
        Self {
            random: Random::new(timers as u64),
            handle: handle.clone(),
            start: handle.now(),
            sleeps: (0..timers).map(|_| None).collect(),
            log: Log::new(),
            model: BTreeMap::new(),
            places: BTreeMap::new(),
            steps: 0,
        }
    }

    fn now(&self) -> Duration {
        self.handle.now() - self.start
    }

    /// Returns a random duration of up to 73 years; all orders of magnitude are equally likely.
    fn limit(&mut self) -> Duration {
        let magnitude = self.random.below(61);
        Duration::from_nanos(1 + (1 << magnitude) + self.random.below(1 << magnitude))
    }

    /// Makes, moves or drops a timer.
    fn change(&mut self) {
        let id = self.random.below(self.sleeps.len() as u64) as usize;
        let (choice, limit) = (self.random.below(4), self.limit());
        let place = (self.now() + limit, self.steps);
        self.steps += 1;
        if let Some(old) = self.places.remove(&id) {
            self.model.remove(&old);
        }
        let sleep = &mut self.sleeps[id];
        if choice == 0 {
            *sleep = None;
            return;
        }
        let sleep = sleep.get_or_insert_with(|| self.handle.sleep(limit));
        sleep.reset_after(limit);
        arm(sleep, &self.handle, &self.log, id);
        self.model.insert(place, id);
        self.places.insert(id, place);
    }

    /// Returns the timers that must fire until `now`, each with its deadline.
    fn due(&mut self, now: Duration) -> Vec<(usize, Duration)> {
        let later = self.model.split_off(&(now + NANO, 0));
        let due = std::mem::replace(&mut self.model, later);
        for id in due.values() {
            self.places.remove(id);
        }
        due.into_iter().map(|((at, _), id)| (id, at)).collect()
    }

    /// Runs through `span`. `advance` moves the clock and fires; `seen` returns the time that the
    /// clock shows when a due timer fires in a step that ends at a given time.
    fn run(
        &mut self,
        span: Duration,
        mut advance: impl FnMut(Duration),
        seen: impl Fn(Duration, Duration) -> Duration,
    ) {
        let mut total = 0;
        while self.now() < span {
            for _ in 0..self.random.below(16) {
                self.change();
            }
            let step = self.limit().min(YEAR / 20);
            advance(step);
            let now = self.now();
            let due = self.due(now);
            let fired = self.log.take().into_iter();
            let fired: Vec<_> = fired.map(|(id, at)| (id, at - self.start)).collect();
            let expected = due.iter().map(|&(id, at)| (id, seen(at, now)));
            assert!(fired.iter().copied().eq(expected), "at {now:?}: {fired:?}");
            assert_eq!(self.handle.armed(), self.model.len());
            for (id, _) in due {
                let sleep = self.sleeps[id].as_mut().expect("it has fired");
                assert!(sleep.is_elapsed() && Task::new().poll(sleep).is_ready());
                total += 1;
            }
        }
        assert!(total > 10 * self.sleeps.len(), "{total} fired");
    }
}

#[test]
fn thousands_of_timers_agree_with_the_model_for_a_century() {
    let (clock, driver) = manual();
    let mut churn = Churn::new(driver.handle(), 3000);
    churn.run(YEAR * 100, |step| clock.advance(step), |due, _| due);

    let dial = Dial::default();
    let mut driver = dial.driver();
    let mut churn = Churn::new(driver.handle(), 3000);
    let mut now = Duration::ZERO;
    let turn = |step| {
        now += step;
        dial.set(now);
        while driver.turn().is_unfinished() {}
    };
    churn.run(YEAR * 100, turn, |_, now| now);
}

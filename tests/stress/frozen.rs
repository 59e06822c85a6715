//! The tasks and threads of `workers` on a manual clock: the runtime moves it when it is idle,
//! external threads move it, too, and guards hold it.

use std::thread;

use reveille::ManualClock;

use crate::support::{Random, runtime_on};
use crate::{Report, micros, workers};

pub(crate) fn round(random: &mut Random, report: &Report) {
    let workers = [1, 2, 3, 8][random.below(4) as usize];
    let clock = ManualClock::new();
    let (seen, start) = (clock.clone(), clock.now());
    report.add_state("clock", move || {
        format!("{:?} since the start", seen.now() - start)
    });
    let runtime = runtime_on(workers, &clock);
    workers::storm(runtime, true, random, report, move |random| {
        match random.below(3) {
            0 => clock.advance(micros(random, 50)),
            1 => {
                let hold = clock.hold();
                thread::yield_now();
                drop(hold);
            }
            _ => drop(clock.advance_to_next()),
        }
    });
}

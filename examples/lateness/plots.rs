//! The two plots: the distribution of lateness, and what a slack costs and saves.

use crate::chart::{BLACK, COLOURS, Chart};
use crate::load::Sample;

type Named = (String, Sample);

/// For each way to sleep, which part of its timers is no later than x.
pub(crate) fn distribution(samples: &[Named]) -> String {
    let title = "A thousand tasks that sleep for 1 to 10 ms: how late, and at what price";
    let mut chart = Chart::new(title, ("late by at most, µs", 0, 4), ("%", 100.0));
    for ((name, sample), colour) in samples.iter().zip(COLOURS.iter().cycle()) {
        let points = sample
            .late
            .parts()
            .map(|(nanos, part)| (nanos / 1000.0, 100.0 * part));
        let name = match sample.cpu_percent() {
            Some(cpu) => format!("{name}: {cpu:.0} % CPU"),
            None => name.clone(),
        };
        chart.line(&name, colour, points);
    }
    chart.into_svg()
}

/// CPU time against lateness, as the slack grows, and where the others stand. Empty where the system
/// does not tell the CPU time.
pub(crate) fn curve(slacks: &[Named], others: &[Named]) -> String {
    let at = |sample: &Sample| Some((sample.late.quantile(0.5) / 1000.0, sample.cpu_percent()?));
    let all = || {
        slacks
            .iter()
            .chain(others)
            .filter_map(|(_, sample)| at(sample))
    };
    let highest = all().map(|(_, cpu)| cpu).fold(1.0, f64::max);
    let y_end = (highest / 20.0).ceil() * 20.0;
    let title = "CPU time against lateness (median), as the slack grows";
    let mut chart = Chart::new(title, ("late by, µs", 0, 4), ("% CPU", y_end));
    let points: Vec<_> = slacks.iter().filter_map(|(_, sample)| at(sample)).collect();
    chart.line("reveille, slack by slack", BLACK, points);
    for (name, sample) in slacks {
        if let Some(point) = at(sample) {
            chart.label(name.trim_start_matches("slack "), BLACK, point);
        }
    }
    for ((name, sample), colour) in others.iter().zip(COLOURS.iter().cycle()) {
        if let Some(point) = at(sample) {
            chart.point(name, colour, point);
        }
    }
    chart.into_svg()
}

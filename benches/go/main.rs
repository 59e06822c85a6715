//! The timers of `reveille::rt` on Go's own benchmarks.
//!
//! `cargo bench --features rt --bench go [-- [--workers N] NAME...]`; `benches/go/run.sh` also runs
//! Go's and prints the ratios. `measure.rs` times an operation, `own.rs` and `latency.rs` have the
//! benchmarks of Go's standard library, and `beyond.rs` has others.

mod beyond;
mod latency;
mod measure;
mod own;

/// Runs with so many workers, and prints.
type Bench = fn(workers: usize);

/// The benchmarks, by their names in Go.
const BENCHES: [(&str, Bench); 17] = [
    ("AfterFunc1000", own::after_func_1000),
    ("After", own::after),
    ("Stop", own::stop),
    (
        "SimultaneousAfterFunc1000",
        own::simultaneous_after_func_1000,
    ),
    ("StartStop1000", own::start_stop_1000),
    ("Reset", own::reset),
    ("Sleep1000", own::sleep_1000),
    ("Ticker", own::ticker),
    ("TickerReset", own::ticker_reset),
    ("TickerResetNaive", own::ticker_reset_naive),
    ("AdjustTimers10000", own::adjust_timers_10000),
    ("ParallelTimerLatency", latency::parallel_timer_latency),
    ("StaggeredTickerLatency", latency::staggered_ticker_latency),
    ("WithTimeout", own::with_timeout),
    ("PulledEarlier", beyond::pulled_earlier),
    ("OneDeadline100000", beyond::one_deadline_100000),
    ("Sleep50us1000", beyond::sleep_50us_1000),
];

fn main() {
    let mut workers = std::thread::available_parallelism().map_or(1, usize::from);
    let mut wanted = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            // An argument that cargo adds.
            "--bench" => {}
            "--workers" => {
                let n = args.next().and_then(|n| n.parse().ok());
                workers = n.expect("--workers takes a number");
            }
            name => {
                let bench = BENCHES.iter().find(|(known, _)| *known == name);
                wanted.push(*bench.unwrap_or_else(|| panic!("no benchmark is called {name}")));
            }
        }
    }
    if wanted.is_empty() {
        wanted.extend(BENCHES);
    }
    for (_, bench) in wanted {
        bench(workers);
    }
}

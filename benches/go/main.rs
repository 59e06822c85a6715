//! The timers of `reveille::rt`, `reveille::go` and `reveille::Context` on Go's own benchmarks.
//!
//! `cargo bench --features rt --bench go [-- [--workers N] NAME...]`; `benches/go/run.sh` also runs
//! Go's and prints the ratios. `measure.rs` times an operation, `own.rs` and `latency.rs` have the
//! benchmarks of Go's standard library with futures of `reveille::time`, `names.rs` with the timers
//! of `reveille::go`, `context.rs` with contexts, and `beyond.rs` has others. What is measured in
//! more than one way has the same name here; what it prints has an `@` and the way after the name.

mod beyond;
mod context;
mod latency;
mod measure;
mod names;
mod own;

/// Runs with so many workers, and prints.
type Bench = fn(workers: usize);

/// The benchmarks, by their names in Go.
const BENCHES: [(&str, Bench); 33] = [
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
    ("AfterFunc1000", names::after_func_1000),
    ("After", names::after),
    ("Stop", names::stop),
    (
        "SimultaneousAfterFunc1000",
        names::simultaneous_after_func_1000,
    ),
    ("StartStop1000", names::start_stop_1000),
    ("Reset", names::reset),
    ("Ticker", names::ticker),
    ("TickerReset", names::ticker_reset),
    ("TickerResetNaive", names::ticker_reset_naive),
    ("AdjustTimers10000", names::adjust_timers_10000),
    ("WithTimeout", context::with_timeout),
    ("CommonParentCancel", context::common_parent_cancel),
    ("CancelTree", context::cancel_tree),
    ("CheckCanceled", context::check_canceled),
    ("ContextCancelDone", context::context_cancel_done),
    ("LiveContexts100000", context::live_contexts_100000),
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
                let before = wanted.len();
                wanted.extend(BENCHES.iter().filter(|(known, _)| *known == name));
                assert!(before < wanted.len(), "no benchmark is called {name}");
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

//! A guide to Go's timers, played part by part: what it promises, and what happens here.
//!
//! ```sh
//! cargo run --example go_guide
//! ```
//!
//! The guide has 21 parts with a program. Each part here prints what the guide's program does and
//! what this one did. Waits that are short are real; long ones are on a manual clock, where they
//! take no time and are exact. The program fails if anything differs from the promise.
//! `docs/guide.md` lists the parts, their examples and their tests.
//!
//! With `--features rt`, part 20 runs on [`reveille::rt`], too.

// Programs of their own, of which the guide uses the parts.
#[path = "../rate_limiter.rs"]
mod rate_limiter;
#[path = "../own_scheduler/scheduler.rs"]
mod scheduler;
#[path = "../timer_reuse.rs"]
mod timer_reuse;
#[path = "../own_scheduler/worker.rs"]
mod worker;

mod benchmark;
mod executor;
mod futures;
mod guide;
mod heap;
mod http;
mod limits;
mod patterns;
mod timers;

use std::process::ExitCode;

use crate::guide::Guide;

fn main() -> ExitCode {
    let mut guide = Guide::default();

    timers::one_shot(&mut guide); // 1
    timers::blocking_sleep(&mut guide);
    timers::clean_up(&mut guide);
    timers::stop(&mut guide);
    timers::reset(&mut guide); // 5

    limits::leak(&mut guide);
    limits::time_out(&mut guide);
    limits::after(&mut guide);
    limits::ticker(&mut guide);

    patterns::bucket(&mut guide); // 10
    patterns::token_bucket(&mut guide);
    patterns::retry(&mut guide);
    patterns::several_producers(&mut guide);

    benchmark::timer_against_sleep(&mut guide);
    benchmark::pool(&mut guide); // 15

    heap::picture(&mut guide);
    heap::driver_loop(&mut guide);
    heap::record(&mut guide);
    heap::operations(&mut guide);

    executor::integration(&mut guide); // 20
    http::deadline(&mut guide);

    guide.finish()
}

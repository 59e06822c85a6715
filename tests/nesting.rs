//! Tests of which driver fires a timer if executors, runtimes and drivers are nested.
//!
//! It is always the innermost one, and after that is left, the next outer one. Every kind of
//! context is tried inside every other, three levels deep.

#![cfg(all(not(loom), feature = "tokio", feature = "rt", feature = "fallback"))]

mod support;

use std::time::Duration;

use reveille::time::{Instant, sleep};
use reveille::{Driver, DriverThread, Handle, ManualClock, rt};
use tokio::runtime::{self, Builder};

use support::{Task, ms, secs, watched};

/// The kinds of contexts that a thread can be in.
enum Context {
    Rt(rt::Runtime),
    Tokio(runtime::Runtime),
    /// A driver that is turned by a thread of its own.
    Thread(DriverThread),
    /// A driver on a manual clock that no thread turns.
    Manual(ManualClock, Driver<()>),
}

/// A context with a name. Each has a different slack, by which the test recognizes it.
struct NamedContext {
    name: &'static str,
    context: Context,
    slack: Duration,
}

impl NamedContext {
    fn new(name: &'static str, context: Context) -> Self {
        let slack = match &context {
            Context::Rt(runtime) => runtime.block_on(async { Handle::current().slack() }),
            Context::Tokio(runtime) => runtime.block_on(async {
                // The slack is zero where the clock may be paused, whatever is set.
                Handle::current().set_slack(ms(5));
                Handle::current().slack()
            }),
            Context::Thread(timers) => timers.handle().slack(),
            Context::Manual(_, driver) => driver.handle().slack(),
        };
        Self {
            name,
            context,
            slack,
        }
    }

    fn is_tokio(&self) -> bool {
        matches!(self.context, Context::Tokio(_))
    }

    /// Enters the context, checks that its driver is current, runs `inside`, and checks again.
    fn with(&self, path: &str, inside: &mut dyn FnMut(&str)) {
        let path = format!("{path} > {}", self.name);
        match &self.context {
            Context::Rt(runtime) => runtime.block_on(self.around(&path, inside)),
            Context::Tokio(runtime) => runtime.block_on(self.around(&path, inside)),
            Context::Thread(timers) => {
                let _entered = timers.handle().enter();
                pollster::block_on(self.around(&path, inside));
            }
            Context::Manual(clock, driver) => {
                let _entered = driver.handle().enter();
                self.check_manual(&path, clock);
                inside(&path);
                self.check_manual(&path, clock);
            }
        }
    }

    async fn around(&self, path: &str, inside: &mut dyn FnMut(&str)) {
        self.check(path).await;
        inside(path);
        self.check(path).await;
    }

    async fn check(&self, path: &str) {
        assert_eq!(Handle::current().slack(), self.slack, "{path}");
        let start = Instant::now();
        sleep(Duration::from_micros(200)).await;
        assert!(start.elapsed() >= Duration::from_micros(200), "{path}");
    }

    fn check_manual(&self, path: &str, clock: &ManualClock) {
        assert_eq!(Handle::current().slack(), self.slack, "{path}");
        assert_eq!(Instant::now(), clock.now(), "{path}");
        let task = Task::new();
        let mut timer = sleep(secs(3600));
        assert!(task.poll(&mut timer).is_pending(), "{path}");
        clock.advance(secs(3600));
        // It may yield first: all timers that are made inside of one poll of a task share the
        // budget of that poll, and hours pass in it.
        let mut is_ready = || task.poll(&mut timer).is_ready();
        assert!(is_ready() || is_ready(), "{path}");
    }
}

fn contexts() -> [NamedContext; 6] {
    let workers = |count, slack| {
        let builder = rt::Runtime::builder().worker_threads(count);
        Context::Rt(builder.slack(ms(slack)).build().unwrap())
    };
    let current = Builder::new_current_thread().enable_all().build();
    let multi = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let timers = DriverThread::new().unwrap();
    timers.handle().set_slack(ms(3));
    let clock = ManualClock::new();
    let driver = Driver::builder().clock(&clock).slack(ms(4));
    [
        NamedContext::new("rt, one worker", workers(1, 1)),
        NamedContext::new("rt, two workers", workers(2, 2)),
        NamedContext::new("driver thread", Context::Thread(timers)),
        NamedContext::new(
            "manual driver",
            Context::Manual(clock, driver.build_with_unpark(|| {})),
        ),
        NamedContext::new("tokio, one thread", Context::Tokio(current.unwrap())),
        NamedContext::new("tokio, two workers", Context::Tokio(multi.unwrap())),
    ]
}

/// Returns whether `inner` works inside `outer`: `block_on` of a tokio runtime does not work inside
/// another one.
fn fits(outer: &[&NamedContext], inner: &NamedContext) -> bool {
    !(inner.is_tokio() && outer.iter().any(|it| it.is_tokio()))
}

#[test]
fn the_innermost_context_fires_the_timers() {
    watched(|| {
        let (outer, middle, inner) = (contexts(), contexts(), contexts());
        let mut tried = 0;
        for outer in &outer {
            outer.with("", &mut |path| {
                for middle in middle.iter().filter(|it| fits(&[outer], it)) {
                    middle.with(path, &mut |path| {
                        for inner in inner.iter().filter(|it| fits(&[outer, middle], it)) {
                            inner.with(path, &mut |_| tried += 1);
                        }
                    });
                }
            });
        }
        // Of 6 x 6 x 6, all but those with two or three of tokio's two kinds.
        assert_eq!(tried, 64 + 3 * 2 * 16);
    });
}

/// A task that runs on a runtime's own threads is inside that runtime alone.
#[test]
fn tasks_use_their_own_runtime_not_the_contexts_of_their_spawner() {
    watched(|| {
        for outer in contexts() {
            let [_, workers, _, _, _, multi] = contexts();
            outer.with("", &mut |_| {
                if let Context::Rt(runtime) = &workers.context {
                    let slack = async { (Handle::current().slack(), sleep(ms(1)).await) };
                    let task = runtime.spawn(slack);
                    let ends = pollster::block_on(task).unwrap();
                    assert_eq!(ends, (workers.slack, ()), "{}", outer.name);
                }
                if let Context::Tokio(runtime) = &multi.context {
                    let slack = async { (Handle::current().slack(), sleep(ms(1)).await) };
                    let task = runtime.spawn(slack);
                    let ends = pollster::block_on(task).unwrap();
                    assert_eq!(ends, (multi.slack, ()), "{}", outer.name);
                }
            });
            if let Context::Tokio(runtime) = multi.context {
                runtime.shutdown_background();
            }
        }
    });
}

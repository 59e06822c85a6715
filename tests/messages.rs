//! Tests of panic messages: they say what to do, and name the line of the caller.
//!
//! Messages about a feature appear only in a build without it, so these tests are run four times:
//!
//! ```sh
//! cargo test --no-default-features --test messages
//! cargo test --no-default-features --features test-util --test messages
//! cargo test --features tokio --test messages
//! cargo test --all-features --test messages
//! ```

#![cfg(not(loom))]

mod support;

use reveille::TimerQueue;

use support::panic_of;

/// Checks that `call` panics in this file and that the message contains all `words`.
#[track_caller]
fn says<T>(call: impl FnOnce() -> T + Send + 'static, words: &[&str]) {
    let (message, file) = panic_of(call);
    for word in words {
        assert!(message.contains(word), "no {word:?} in {message:?}");
    }
    assert_eq!(file, file!(), "{message:?}");
}

#[test]
fn a_capacity_that_is_too_large_names_the_callers_line() {
    let words = ["at most 4294967295 timers"];
    says(|| TimerQueue::<()>::with_capacity(usize::MAX), &words);
    says(|| TimerQueue::<()>::new().reserve(usize::MAX), &words);
    let queue = || reveille::time::DelayQueue::<()>::with_capacity(usize::MAX);
    says(queue, &words);
}

/// The page for those who look up an error quotes it as it is.
#[test]
fn the_page_on_troubleshooting_quotes_what_errors_say() {
    let page = include_str!("../docs/troubleshooting.md");
    let begins = |message: &str| message.split(':').next().unwrap().to_owned();
    let no_driver = begins(&reveille::Handle::try_current().unwrap_err().to_string());
    assert!(page.contains(&format!("`{no_driver}`")), "{no_driver}");
    let (outside, _) = panic_of(|| {
        let driver = reveille::Driver::with_unpark(|| {});
        let _entered = driver.handle().enter();
        let sleep = reveille::time::sleep(support::secs(1));
        reveille::ManualClock::new().simulate(sleep);
    });
    let outside = begins(&outside);
    assert!(page.contains(&format!("`{outside}`")), "{outside}");
    #[cfg(feature = "rt")]
    {
        use reveille::rt;
        let (no_runtime, _) = panic_of(|| rt::spawn(async {}));
        let no_runtime = begins(&no_runtime);
        assert!(page.contains(&format!("`{no_runtime}`")), "{no_runtime}");
        let (polled_again, _) = panic_of(|| {
            rt::block_on(async {
                let mut task = rt::spawn(async {});
                (&mut task).await.unwrap();
                (&mut task).await
            })
        });
        let aborted = rt::block_on(async {
            let task = rt::spawn(std::future::pending::<()>());
            task.abort();
            begins(&task.await.unwrap_err().to_string())
        });
        assert!(page.contains(&format!("`{aborted}`")), "{aborted}");
        let polled_again = begins(&polled_again);
        assert!(
            page.contains(&format!("`{polled_again}`")),
            "{polled_again}"
        );
    }
    #[cfg(all(feature = "io", target_os = "linux"))]
    {
        use reveille::rt;
        let (reader, _writer) = std::io::pipe().unwrap();
        let reader = rt::Runtime::new()
            .unwrap()
            .block_on(async { rt::io::AsyncFd::new(reader).unwrap() });
        let gone = pollster::block_on(reader.readable())
            .unwrap_err()
            .to_string();
        let gone = begins(&gone);
        assert!(page.contains(&format!("`{gone}`")), "{gone}");
    }
}

/// Those who print a timer or its driver look up what they see.
#[test]
fn the_page_on_troubleshooting_names_what_debug_shows() {
    use std::time::Duration;

    use support::{Task, manual, secs};

    let page = include_str!("../docs/troubleshooting.md");
    let names = |what: &dyn std::fmt::Debug, field: &str| {
        let shown = format!("{what:?}");
        let (_, rest) = shown.split_once(field).expect(&shown);
        let value = rest.split([',', ' ']).next().unwrap();
        let words = format!("{field}{value}");
        assert!(page.contains(&words), "no {words:?} of {shown}");
    };
    let (clock, driver) = manual();
    let task = Task::new();
    let mut timer = driver.handle().sleep(secs(1));
    names(&timer, "phase: ");
    names(driver.handle(), "kind: ");
    names(driver.handle(), "next: ");
    names(driver.handle(), "last_turn: ");
    assert!(task.poll(&mut timer).is_pending());
    names(&timer, "phase: ");
    names(driver.handle(), "next: ");
    clock.advance(secs(1));
    names(&timer, "phase: ");
    names(driver.handle(), "frozen: ");
    assert!(task.poll(&mut timer).is_ready());
    names(&timer, "phase: ");
    let timer = driver.handle().sleep(Duration::MAX);
    let handle = driver.handle().clone();
    drop(driver);
    names(&timer, "phase: ");
    names(&handle, "closed: ");
    #[cfg(feature = "fallback")]
    {
        names(&reveille::time::sleep(secs(1)), "phase: ");
        names(&reveille::Handle::current(), "kind: ");
    }
    #[cfg(feature = "rt")]
    reveille::rt::block_on(async { names(&reveille::Handle::current(), "kind: ") });
}

#[cfg(not(feature = "fallback"))]
mod without_the_process_wide_thread {
    use std::future::pending;

    use reveille::time::{
        DelayQueue, Instant, interval, interval_at, sleep, sleep_until, timeout, timeout_at,
    };
    use reveille::{FutureExt, Handle};

    use super::support::{manual, ms};
    use super::*;

    /// The README said so, but the panic message did not.
    #[test]
    fn a_timer_without_a_driver_names_the_feature() {
        let mut words = vec!["no timer driver is entered", "feature `fallback`"];
        if !cfg!(feature = "tokio") {
            words.push("feature `tokio`");
        }
        says(|| sleep(ms(1)), &words);
        says(|| sleep_until(Instant::now()), &words);
        says(|| timeout(ms(1), pending::<()>()), &words);
        says(|| timeout_at(Instant::now(), pending::<()>()), &words);
        says(|| pending::<()>().timeout(ms(1)), &words);
        says(|| pending::<()>().timeout_at(Instant::now()), &words);
        says(|| interval(ms(1)), &words);
        says(|| interval_at(Instant::now(), ms(1)), &words);
        says(|| Handle::current(), &words);
        says(|| DelayQueue::new().insert((), ms(1)), &words);
        let insert_at = || DelayQueue::new().insert_at((), Instant::now());
        says(insert_at, &words);
    }

    /// They make their timers when they are polled. No item is lost by the panic.
    #[test]
    fn streams_may_be_made_without_a_driver_and_are_polled_with_one() {
        use futures::{StreamExt, stream};
        use reveille::StreamExt as _;

        let mut throttled = stream::iter([1, 2]).throttle(ms(1));
        let mut settled = stream::iter([1, 2]).debounce(ms(1));
        let mut limited = stream::iter([1, 2]).timeout(ms(1));
        let mut chunks = stream::iter([1, 2]).chunks_timeout(2, ms(1));
        let (message, _) = panic_of(|| {
            pollster::block_on(stream::iter([1]).throttle(ms(1)).next());
        });
        assert!(message.contains("feature `fallback`"), "{message}");
        for poll in 0..4 {
            let poll = std::panic::AssertUnwindSafe(|| {
                pollster::block_on(async {
                    match poll {
                        0 => _ = throttled.next().await,
                        1 => _ = settled.next().await,
                        2 => _ = limited.next().await,
                        _ => _ = chunks.next().await,
                    }
                });
            });
            assert!(std::panic::catch_unwind(poll).is_err());
        }
        let (_, driver) = manual();
        let _entered = driver.handle().enter();
        pollster::block_on(async {
            assert_eq!(throttled.next().await, Some(1));
            assert_eq!(limited.next().await, Some(Ok(1)));
            assert_eq!(settled.next().await, Some(2));
            assert_eq!(chunks.next().await, Some(vec![1, 2]));
        });
    }
}

#[cfg(feature = "test-util")]
mod pausing {
    use reveille::time::{advance, pause, resume};
    use reveille::{Clock, Driver};

    use super::support::{manual, ms, secs};
    use super::*;

    /// Like [`says`], for what cannot know the caller's line but from before.
    #[track_caller]
    fn says_when_polled<T>(call: impl FnOnce() -> T + Send + 'static, words: &[&str]) {
        let (message, _) = panic_of(call);
        for word in words.iter().chain(&[file!()]) {
            assert!(message.contains(word), "no {word:?} in {message:?}");
        }
    }

    /// It used to name the file in which `advance` is, an async function.
    #[test]
    fn advance_on_a_clock_that_runs_is_the_callers_line() {
        let running = |clock: Clock| {
            move || {
                let driver = Driver::builder().clock(clock).build_with_unpark(|| {});
                let _entered = driver.handle().enter();
                pollster::block_on(advance(ms(1)));
            }
        };
        let words = ["time is not frozen", "call pause first"];
        says(running(Clock::monotonic()), &words);
        says(running(Clock::custom(|| ms(1))), &words);
        let resumed = || {
            let driver = Driver::with_unpark(|| {});
            let _entered = driver.handle().enter();
            pause();
            pollster::block_on(advance(ms(1)));
            resume();
            pollster::block_on(advance(ms(1)));
        };
        says(resumed, &words);
    }

    #[test]
    fn advance_that_is_polled_where_time_runs_names_the_line_that_called_it() {
        let moved = || {
            let advance = advance(ms(1));
            let driver = Driver::with_unpark(|| {});
            let _entered = driver.handle().enter();
            pollster::block_on(advance);
        };
        says_when_polled(moved, &["time is not frozen", "called at"]);
        let nowhere = || pollster::block_on(advance(ms(1)));
        says_when_polled(nowhere, &["no clock to advance", "Handle::enter"]);
    }

    /// Made outside, as `runtime.block_on(advance(limit))` does.
    #[test]
    fn advance_moves_the_clock_of_where_it_is_polled() {
        let (clock, driver) = manual();
        let start = clock.now();
        let advance = advance(secs(1));
        let _entered = driver.handle().enter();
        pollster::block_on(advance);
        assert_eq!(clock.now() - start, secs(1));
    }

    #[test]
    fn pause_and_resume_on_a_manual_clock_say_how_it_is_moved() {
        // Not the functions themselves: a pointer to one does not know its caller.
        for call in [|| pause(), || resume()] {
            let on_manual = move || {
                let (_, driver) = manual();
                let _entered = driver.handle().enter();
                call();
            };
            says(on_manual, &["ManualClock", "use ManualClock::advance"]);
        }
        let twice = || {
            let driver = Driver::with_unpark(|| {});
            let _entered = driver.handle().enter();
            pause();
            pause();
        };
        says(twice, &["already frozen"]);
        let never = || {
            let driver = Driver::with_unpark(|| {});
            let _entered = driver.handle().enter();
            resume();
        };
        says(never, &["not frozen"]);
    }

    #[test]
    fn where_there_is_no_clock_the_feature_for_tokios_is_named_if_it_is_off() {
        let feature: &[&str] = if cfg!(feature = "tokio") {
            &[]
        } else {
            &["feature `tokio`"]
        };
        let with = |name| [&[name, "Handle::enter", "rt::block_on"][..], feature].concat();
        says(|| pause(), &with("no clock to pause"));
        says(|| resume(), &with("no clock to resume"));
        let (message, _) = panic_of(|| pollster::block_on(advance(ms(1))));
        for word in with("no clock to advance") {
            assert!(message.contains(word), "no {word:?} in {message:?}");
        }
    }

    #[cfg(feature = "tokio")]
    mod inside_tokio {
        use tokio::runtime::Builder;

        use super::*;

        /// Tokio panics when `advance` is polled, at a line of its own.
        #[test]
        fn advance_where_time_runs_is_the_callers_line() {
            let words = ["time is not frozen", "call pause first"];
            let current = || {
                let runtime = Builder::new_current_thread().enable_time().build();
                runtime.unwrap().block_on(async { advance(ms(1)).await });
            };
            says(current, &words);
            let multi = || {
                let mut builder = Builder::new_multi_thread();
                let runtime = builder.worker_threads(1).enable_time().build();
                runtime.unwrap().block_on(async { advance(ms(1)).await });
            };
            says(multi, &words);
        }

        #[test]
        fn advance_right_after_pause_is_not_taken_for_one_where_time_runs() {
            for _ in 0..200 {
                let runtime = Builder::new_current_thread().enable_time().build();
                runtime.unwrap().block_on(async {
                    tokio::time::pause();
                    let start = reveille::time::Instant::now();
                    advance(ms(7)).await;
                    assert_eq!(start.elapsed(), ms(7));
                });
            }
        }
    }
}

/// Tokio panics where a runtime without I/O is asked to wait for a descriptor. A program whose panic
/// hook ends it would not survive that, although the panic is caught.
///
/// In a process of its own, because it is not asked where no runtime at all has I/O.
#[cfg(all(feature = "tokio", target_os = "linux"))]
#[test]
fn no_panic_is_caught_where_no_tokio_runtime_has_io() {
    use reveille::time::{Duration, sleep};

    support::alone(|| {
        std::panic::set_hook(Box::new(|_| std::process::exit(3)));
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().build().unwrap();
        runtime.block_on(async { sleep(Duration::from_millis(1)).await });
    });
}

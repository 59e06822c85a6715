//! Tests of what timers on tokio's runtimes do better than tokio's own.
//!
//! Each test names something that tokio's timers do not do, or a limit that they have.

#![cfg(all(not(loom), feature = "tokio"))]

mod support;

use std::future::{Future, pending, poll_fn};
use std::mem::size_of;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use reveille::time::{
    Instant, Interval, Sleep, Timeout, interval, interval_at, sleep, sleep_until, timeout,
    timeout_at,
};
use tokio::runtime::{Builder, Runtime};

use support::{Log, Task, ms, secs, watched};

fn runtimes() -> [Runtime; 2] {
    let mut workers = Builder::new_multi_thread();
    let workers = workers.worker_threads(2).enable_all().build().unwrap();
    let thread = Builder::new_current_thread().enable_all().build().unwrap();
    [thread, workers]
}

#[test]
fn a_timer_that_is_due_is_ready_at_its_first_poll() {
    watched(|| {
        for runtime in runtimes() {
            runtime.block_on(async {
                let now = Instant::now();
                assert!(sleep(Duration::ZERO).now_or_never().is_some());
                assert!(sleep_until(now).now_or_never().is_some());
                assert!(sleep_until(now - secs(3600)).now_or_never().is_some());
                assert!(interval(secs(1)).tick().now_or_never().is_some());
                let over = timeout_at(now, pending::<()>()).now_or_never();
                assert!(over.unwrap().is_err());
            });
        }
    });
}

#[test]
fn a_task_that_was_busy_past_a_deadline_sees_it_without_yielding() {
    watched(|| {
        for runtime in runtimes() {
            runtime.block_on(async {
                let mut cx = Context::from_waker(Waker::noop());
                let mut timer = sleep(ms(1));
                assert!(timer.poll_unpin(&mut cx).is_pending());
                thread::sleep(ms(2));
                assert!(timer.poll_unpin(&mut cx).is_ready());
            });
        }
    });
}

#[test]
fn a_loop_that_polls_without_yielding_ends() {
    watched(|| {
        for runtime in runtimes() {
            runtime.block_on(async {
                let mut cx = Context::from_waker(Waker::noop());
                let mut limited = pin!(timeout(ms(2), pending::<()>()));
                while limited.as_mut().poll(&mut cx).is_pending() {
                    std::hint::spin_loop();
                }
            });
        }
    });
}

#[test]
fn deadlines_within_one_millisecond_keep_their_order() {
    watched(|| {
        for runtime in runtimes() {
            let order = Log::new();
            runtime.block_on(async {
                let start = Instant::now();
                let timers = [700_u64, 300, 500, 100, 900].map(|us| {
                    let order = order.clone();
                    // So far off that all are armed by then, also on a slow machine.
                    let deadline = start + ms(500) + Duration::from_micros(us);
                    let mut timer = sleep_until(deadline);
                    let waker = order.waker(us);
                    let poll = timer.poll_unpin(&mut Context::from_waker(&waker));
                    assert!(poll.is_pending());
                    timer
                });
                sleep_until(start + ms(502)).await;
                drop(timers);
            });
            assert_eq!(order.take(), [100, 300, 500, 700, 900]);
        }
    });
}

#[test]
fn timers_need_no_pin() {
    fn unpin<T: Unpin>() {}
    unpin::<Sleep>();
    unpin::<Interval>();
    unpin::<Timeout<std::future::Ready<()>>>();
}

#[test]
fn a_timer_in_a_struct_is_polled_in_place() {
    struct Idle {
        timer: Sleep,
        left: u32,
    }

    impl Future for Idle {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            while self.left > 0 {
                if self.timer.poll_unpin(cx).is_pending() {
                    return Poll::Pending;
                }
                self.left -= 1;
                self.timer.reset_after(ms(1));
            }
            Poll::Ready(())
        }
    }

    watched(|| {
        for runtime in runtimes() {
            let start = Instant::now();
            runtime.block_on(async {
                Idle {
                    timer: sleep(ms(1)),
                    left: 3,
                }
                .await;
            });
            assert!(start.elapsed() >= ms(3));
        }
    });
}

#[test]
fn a_timer_takes_less_than_half_the_memory() {
    assert!(2 * size_of::<Sleep>() < size_of::<tokio::time::Sleep>());
    let ours = size_of::<Timeout<std::future::Ready<()>>>();
    let theirs = size_of::<tokio::time::Timeout<std::future::Ready<()>>>();
    assert!(2 * ours < theirs);
}

#[test]
fn no_duration_is_too_long() {
    watched(|| {
        for runtime in runtimes() {
            runtime.block_on(async {
                let task = Task::new();
                let never = Instant::now() + Duration::MAX;
                assert!(task.poll(&mut sleep(Duration::MAX)).is_pending());
                assert!(task.poll(&mut sleep_until(never)).is_pending());
                assert!(
                    task.poll(&mut timeout_at(never, pending::<()>()))
                        .is_pending()
                );
                let mut ticks = interval_at(never, Duration::MAX);
                assert!(ticks.poll_tick(&mut task.context()).is_pending());
                ticks.reset_immediately();
                assert!(ticks.poll_tick(&mut task.context()).is_ready());
                assert!(ticks.poll_tick(&mut task.context()).is_pending());
                ticks.reset_at(never);
                assert!(ticks.poll_tick(&mut task.context()).is_pending());
            });
        }
    });
}

#[test]
fn a_timeout_may_be_made_outside_of_a_runtime() {
    watched(|| {
        assert_eq!(pollster::block_on(timeout(secs(60), async { 5 })), Ok(5));
        assert!(pollster::block_on(timeout(ms(1), pending::<()>())).is_err());
        // The timeout is made before the runtime is entered.
        runtimes()[0].block_on(sleep(ms(1)));
    });
}

#[test]
fn an_interval_is_a_stream() {
    watched(|| {
        for runtime in runtimes() {
            runtime.block_on(async {
                let ticks: Vec<_> = interval(ms(1)).take(3).collect().await;
                assert_eq!(ticks[2] - ticks[0], ms(2));
            });
        }
    });
}

#[test]
fn the_task_that_polled_last_is_woken_and_no_other_waker_is_kept() {
    watched(|| {
        for runtime in runtimes() {
            runtime.block_on(async {
                let (first, second) = (Task::new(), Task::new());
                let mut timer = sleep(secs(3600));
                assert!(first.poll(&mut timer).is_pending());
                assert!(second.poll(&mut timer).is_pending());
                assert_eq!((first.held(), second.held()), (0, 1));
                timer.reset_after(ms(5));
                poll_fn(|cx| timer.poll_unpin(cx)).await;
                assert_eq!(second.held(), 0);
            });
        }
    });
}

/// Both ways, and never less than zero.
#[test]
fn instants_of_both_kinds_have_a_difference() {
    let theirs = tokio::time::Instant::now();
    let ours = Instant::from(theirs) + Duration::from_millis(5);
    assert_eq!(ours - theirs, Duration::from_millis(5));
    assert_eq!(theirs - ours, Duration::ZERO);
    let later = theirs + Duration::from_millis(7);
    assert_eq!(later - ours, Duration::from_millis(2));
}

/// A function that returns our error may await tokio's timeouts.
#[tokio::test]
async fn tokios_elapsed_converts_into_ours() {
    async fn limited() -> Result<(), reveille::time::error::Elapsed> {
        tokio::time::timeout(Duration::ZERO, std::future::pending::<()>()).await?;
        Ok(())
    }
    assert_eq!(
        limited().await.unwrap_err().to_string(),
        "deadline has elapsed"
    );
}

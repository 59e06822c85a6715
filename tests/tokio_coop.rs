//! Tests that timers use tokio's cooperative budget as tokio's own timers do.
//!
//! A task may poll 128 ready resources each time it is run. What it polls after that is pending,
//! and the task is woken again, so that others can run.

#![cfg(all(not(loom), feature = "tokio"))]

mod support;

use std::future::{Future, pending, poll_fn, ready};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use futures::StreamExt;
use reveille::ManualClock;
use reveille::time::{Instant, interval, interval_at, sleep, timeout};
use tokio::runtime::Builder;
use tokio::task::coop::{consume_budget, has_budget_remaining, unconstrained};
use tokio::task::yield_now;

use support::{Task, ms, secs, watched};

const BUDGET: usize = 128;

/// Runs `test` as a task that has a full budget.
fn in_a_task<F>(test: impl FnOnce() -> F + Send + 'static)
where
    F: Future<Output = ()>,
{
    watched(|| {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            yield_now().await;
            test().await;
        });
    });
}

/// Runs `poll` once, within one poll of the task.
async fn within_one_poll<T>(poll: impl FnOnce(&mut Context<'_>) -> T) -> T {
    let mut poll = Some(poll);
    poll_fn(move |cx| Poll::Ready(poll.take().unwrap()(cx))).await
}

/// Returns how often `poll` returns `true` until it does not.
fn count_ready(mut poll: impl FnMut() -> bool) -> usize {
    (0..10 * BUDGET).take_while(|_| poll()).count()
}

/// Uses up the rest of the budget.
fn use_up(cx: &mut Context<'_>) {
    while has_budget_remaining() {
        assert!(pin!(consume_budget()).poll(cx).is_ready());
    }
}

#[test]
fn a_ready_sleep_costs_one_unit() {
    in_a_task(async || {
        let ready =
            within_one_poll(|cx| count_ready(|| pin!(sleep(ms(0))).poll(cx).is_ready())).await;
        assert_eq!(ready, BUDGET);
    });
}

#[test]
fn a_sleep_that_has_ended_costs_one_unit_each_time_it_is_polled_again() {
    in_a_task(async || {
        let mut ended = sleep(ms(0));
        (&mut ended).await;
        yield_now().await;
        let ready = within_one_poll(|cx| count_ready(|| Pin::new(&mut ended).poll(cx).is_ready()));
        assert_eq!(ready.await, BUDGET);
    });
}

#[test]
fn a_pending_sleep_costs_nothing() {
    in_a_task(async || {
        let mut far = sleep(secs(3600));
        within_one_poll(|cx| {
            for _ in 0..10 * BUDGET {
                assert!(Pin::new(&mut far).poll(cx).is_pending());
            }
            assert_eq!(
                count_ready(|| pin!(sleep(ms(0))).poll(cx).is_ready()),
                BUDGET
            );
        })
        .await;
    });
}

#[test]
fn a_tick_costs_one_unit_polled_or_streamed() {
    in_a_task(async || {
        let mut ticks = interval_at(Instant::now() - secs(3600), ms(1));
        let ready = within_one_poll(|cx| count_ready(|| ticks.poll_tick(cx).is_ready())).await;
        assert_eq!(ready, BUDGET);
        yield_now().await;
        let ready =
            within_one_poll(|cx| count_ready(|| ticks.poll_next_unpin(cx).is_ready())).await;
        assert_eq!(ready, BUDGET);
    });
}

#[test]
fn a_due_sleep_out_of_budget_is_pending_and_its_task_runs_again() {
    in_a_task(async || {
        let mut due = sleep(ms(0));
        let mut polls = 0;
        poll_fn(|cx| {
            if polls == 0 {
                use_up(cx);
            }
            polls += 1;
            let poll = Pin::new(&mut due).poll(cx);
            assert_eq!(poll.is_ready(), polls == 2);
            poll
        })
        .await;
        assert_eq!(polls, 2);
    });
}

/// As with tokio's timers. A driver of a protocol that reads before it polls its timer never gets
/// to handle a timeout under load (quinn, pull request 2677): it has to compare the deadline with
/// the time, or poll the timer first.
#[test]
fn an_overdue_timer_behind_work_that_spends_the_budget_shows_in_its_deadline() {
    in_a_task(async || {
        let mut timer = sleep(ms(1));
        assert!(
            within_one_poll(|cx| Pin::new(&mut timer).poll(cx))
                .await
                .is_pending()
        );
        std::thread::sleep(ms(2));
        for _ in 0..10 {
            // Each time the task is woken again, with a budget that the work spends.
            let mut first = true;
            poll_fn(|cx| {
                if std::mem::take(&mut first) {
                    use_up(cx);
                    assert!(Instant::now() >= timer.deadline());
                    assert!(Pin::new(&mut timer).poll(cx).is_pending());
                    return Poll::Pending;
                }
                Poll::Ready(())
            })
            .await;
        }
        let before_the_work = within_one_poll(|cx| Pin::new(&mut timer).poll(cx));
        assert!(before_the_work.await.is_ready());
    });
}

#[test]
fn a_sleep_first_polled_out_of_budget_is_not_lost() {
    in_a_task(async || {
        let start = Instant::now();
        let mut later = sleep(ms(2));
        within_one_poll(|cx| {
            use_up(cx);
            assert!(Pin::new(&mut later).poll(cx).is_pending());
        })
        .await;
        later.await;
        assert!(start.elapsed() >= ms(2));
    });
}

#[test]
fn a_task_that_is_never_pending_by_itself_lets_others_run() {
    in_a_task(async || {
        let greedy = tokio::spawn(async {
            let mut ticks = interval_at(Instant::now() - secs(3600), ms(1));
            loop {
                ticks.tick().await;
                ticks.reset_immediately();
            }
        });
        for _ in 0..100 {
            yield_now().await;
        }
        sleep(ms(1)).await;
        greedy.abort();
        assert!(greedy.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn a_timeout_whose_future_is_ready_costs_what_that_costs() {
    in_a_task(async || {
        within_one_poll(|cx| {
            for _ in 0..10 * BUDGET {
                assert!(pin!(timeout(secs(60), ready(()))).poll(cx).is_ready());
            }
            let ready = count_ready(|| {
                pin!(timeout(secs(60), consume_budget()))
                    .poll(cx)
                    .is_ready()
            });
            assert_eq!(ready, BUDGET);
        })
        .await;
    });
}

#[test]
fn a_timeout_that_elapses_costs_one_unit() {
    in_a_task(async || {
        let over = || timeout(ms(0), pending::<()>());
        let ready = within_one_poll(|cx| count_ready(|| pin!(over()).poll(cx).is_ready())).await;
        assert_eq!(ready, BUDGET);
    });
}

#[test]
fn a_future_that_uses_up_the_budget_is_timed_out_in_the_same_poll() {
    in_a_task(async || {
        let greedy = async {
            loop {
                consume_budget().await;
            }
        };
        let mut limited = pin!(timeout(ms(0), greedy));
        let poll = within_one_poll(|cx| limited.as_mut().poll(cx)).await;
        assert!(matches!(poll, Poll::Ready(Err(_))));
    });
}

#[test]
fn a_timeout_that_begins_out_of_budget_is_pending_even_if_due() {
    in_a_task(async || {
        let mut limited = pin!(timeout(ms(0), pending::<()>()));
        let poll = within_one_poll(|cx| {
            use_up(cx);
            limited.as_mut().poll(cx)
        });
        assert!(poll.await.is_pending());
        assert!(limited.await.is_err());
    });
}

#[test]
fn unconstrained_timers_have_no_budget_to_use_up() {
    in_a_task(async || {
        let many = unconstrained(async {
            let mut ticks = interval(ms(1));
            for _ in 0..10 * BUDGET {
                sleep(ms(0)).await;
                ticks.tick().await;
                ticks.reset_immediately();
            }
        });
        assert!(within_one_poll(|cx| pin!(many).poll(cx)).await.is_ready());
    });
}

/// If timers of our runtime spent tokio's budget, they would wait for tokio's loop, which that
/// runtime blocks.
#[cfg(feature = "rt")]
#[test]
fn our_runtime_inside_a_tokio_task_spends_none_of_its_budget() {
    in_a_task(async || {
        within_one_poll(|cx| {
            reveille::rt::block_on(async {
                for _ in 0..10 * BUDGET {
                    sleep(ms(0)).await;
                }
            });
            assert_eq!(
                count_ready(|| pin!(sleep(ms(0))).poll(cx).is_ready()),
                BUDGET
            );
        })
        .await;
    });
}

#[cfg(feature = "rt")]
#[test]
fn our_runtime_inside_itself_inside_a_tokio_task_spends_none_of_its_budget() {
    in_a_task(async || {
        reveille::rt::block_on(async {
            reveille::rt::block_on(async {});
            for _ in 0..10 * BUDGET {
                sleep(ms(0)).await;
            }
        });
    });
}

#[test]
fn simulate_inside_a_tokio_task_spends_none_of_its_budget() {
    in_a_task(async || {
        within_one_poll(|cx| {
            let (_, elapsed) = ManualClock::new().simulate(async {
                for _ in 0..2 * BUDGET {
                    sleep(secs(1)).await;
                }
            });
            assert_eq!(elapsed, 2 * BUDGET as u32 * secs(1));
            assert_eq!(
                count_ready(|| pin!(sleep(ms(0))).poll(cx).is_ready()),
                BUDGET
            );
        })
        .await;
    });
}

#[test]
fn outside_of_runtimes_timers_use_our_own_budget() {
    let task = Task::new();
    let mut due = sleep(ms(0));
    // Or fewer, if that takes long.
    assert!(count_ready(|| task.poll(&mut due).is_ready()) <= BUDGET);
    assert_eq!(task.wakes(), 1);
    assert!(task.poll(&mut due).is_ready());
}

#[test]
fn in_a_runtime_that_is_entered_there_is_no_budget_outside_of_tasks() {
    let task = Task::new();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    for _ in 0..10 * BUDGET {
        assert!(task.poll(&mut sleep(ms(0))).is_ready());
    }
}

//! Tests that a task whose timers are always due lets other tasks run, on any executor.
//!
//! The work in each iteration of such a loop moves a manual clock. A `timeout` around the loop must
//! end near its limit, and the other tasks of the thread must be polled.

#![cfg(all(not(loom), feature = "rt"))]

mod support;

use std::cell::Cell;
use std::future::{Future, pending, poll_fn, ready};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::future::{LocalBoxFuture, join, select};
use futures::stream::{self, FuturesUnordered, StreamExt};
use futures::task::LocalSpawnExt;
use futures::{FutureExt, select_biased};
use reveille::rt;
use reveille::time::{DelayQueue, Instant, interval, interval_at, sleep, sleep_until, timeout};
use reveille::{Handle, Limits, ManualClock, StreamExt as _};

use support::{Dial, Task, manual, ms, runtime, runtime_on, secs, watched};

/// How many timers may be ready in a row before one yields.
const BUDGET: usize = 128;

/// How long each iteration of a greedy loop works.
const WORK: Duration = Duration::from_micros(1500);

/// The name of a loop in which only yielding timers are ever pending, and a function that makes it.
type Greedy = (&'static str, fn(ManualClock) -> LocalBoxFuture<'static, ()>);

const GREEDY: &[Greedy] = &[
    ("a sleep of zero", |clock| {
        forever(clock, async || sleep(Duration::ZERO).await)
    }),
    ("a deadline in the past", |clock| {
        forever(clock, async || sleep_until(Instant::now()).await)
    }),
    ("a sleep that has ended", |clock| {
        let mut ended = sleep(Duration::ZERO);
        forever(clock, async move || (&mut ended).await)
    }),
    ("an interval that is behind", |clock| {
        let mut ticks = interval(ms(1));
        forever(clock, async move || {
            ticks.tick().await;
        })
    }),
    ("an interval that is behind, as a stream", |clock| {
        each_of(clock, interval(ms(1)))
    }),
    ("a timeout of what is ready", |clock| {
        forever(clock, async || timeout(secs(1), ready(())).await.unwrap())
    }),
    ("a timeout that is over", |clock| {
        forever(clock, async || {
            let over = timeout(Duration::ZERO, pending::<()>());
            over.await.unwrap_err();
        })
    }),
    ("a timeout of a sleep of zero", |clock| {
        forever(clock, async || {
            let _ = timeout(secs(1), sleep(Duration::ZERO)).await;
        })
    }),
    ("a limited timeout of what is ready", |clock| {
        forever(clock, async || {
            let limited = limited().try_timeout(secs(1), ready(())).unwrap();
            limited.await.unwrap();
        })
    }),
    ("a limited sleep that ends before its first poll", |clock| {
        let moved = clock.clone();
        forever(clock, async move || {
            let sleep = limited().try_sleep(Duration::from_nanos(1)).unwrap();
            moved.advance(Duration::from_nanos(1));
            sleep.await;
        })
    }),
    ("a queue whose values are due", |clock| {
        let mut queue = DelayQueue::new();
        forever(clock, async move || {
            queue.insert((), Duration::ZERO);
            queue.insert((), Duration::ZERO);
            queue.next().await.unwrap();
        })
    }),
    (
        "a stream that is throttled to less than the work",
        |clock| each_of(clock, stream::repeat(()).throttle(ms(1))),
    ),
    ("a stream that is not throttled", |clock| {
        each_of(clock, stream::repeat(()).throttle(Duration::ZERO))
    }),
    ("a stream with a limit", |clock| {
        each_of(clock, stream::repeat(()).timeout(secs(1)))
    }),
    ("a stream with a limit that repeats", |clock| {
        let ticks = interval(secs(1));
        each_of(clock, stream::repeat(()).timeout_repeating(ticks))
    }),
    ("a stream with a limit that was asked", |clock| {
        each_of(clock, pending_once().timeout(secs(1)))
    }),
    (
        "a stream with a limit that repeats and was asked",
        |clock| {
            let ticks = interval_at(Instant::now() + secs(1), secs(1));
            each_of(clock, pending_once().timeout_repeating(ticks))
        },
    ),
    ("a limit that is over again and again", |clock| {
        let ticks = interval(ms(1));
        each_of(clock, stream::pending::<()>().timeout_repeating(ticks))
    }),
    ("chunks of a stream", |clock| {
        each_of(clock, stream::repeat(()).chunks_timeout(3, secs(1)))
    }),
    ("a stream that is not debounced", |clock| {
        each_of(clock, stream::repeat(()).debounce(Duration::ZERO))
    }),
    ("what is due beside what is far off", |clock| {
        let mut far = sleep(secs(3600));
        forever(clock, async move || {
            select(&mut far, sleep(Duration::ZERO)).await;
        })
    }),
    ("two intervals that are behind", |clock| {
        let (mut one, mut other) = (interval(ms(1)), interval(ms(1)));
        forever(clock, async move || {
            select_biased! {
                _ = one.tick().fuse() => {}
                _ = other.tick().fuse() => {}
            }
        })
    }),
    ("an interval that is behind, and one that is not", |clock| {
        let (mut behind, mut slow) = (interval(ms(1)), interval(ms(10)));
        forever(clock, async move || {
            select_biased! {
                _ = slow.tick().fuse() => {}
                _ = behind.tick().fuse() => {}
            }
        })
    }),
];

/// Loops whose timers are each polled with another waker, or whose timers do not read the clock.
const GREEDY_IN_OTHER_WAYS: &[Greedy] = &[
    ("chunks of one", |clock| {
        each_of(clock, stream::repeat(()).chunks_timeout(1, secs(1)))
    }),
    ("unordered futures", |clock| {
        let mut all = FuturesUnordered::from_iter([sleep(Duration::ZERO), sleep(Duration::ZERO)]);
        forever(clock, async move || {
            all.next().await.unwrap();
            all.push(sleep(Duration::ZERO));
        })
    }),
    ("many joined futures", |clock| {
        forever(clock, async || {
            drop(futures::future::join_all((0..100).map(|_| sleep(Duration::ZERO))).await);
        })
    }),
    ("a buffered stream", |clock| {
        let sleeps = stream::repeat_with(|| sleep(Duration::ZERO));
        each_of(clock, sleeps.buffer_unordered(10))
    }),
];

/// Returns the current driver, for timers that are armed when they are made.
fn limited() -> Handle {
    Handle::current().limited(Limits::new().timers(10))
}

fn pending_once() -> impl stream::Stream<Item = ()> {
    stream::once(give_way()).chain(stream::repeat(()))
}

fn forever(
    clock: ManualClock,
    mut turn: impl AsyncFnMut() + 'static,
) -> LocalBoxFuture<'static, ()> {
    async move {
        loop {
            turn().await;
            clock.advance(WORK);
        }
    }
    .boxed_local()
}

fn each_of(
    clock: ManualClock,
    items: impl stream::Stream + 'static,
) -> LocalBoxFuture<'static, ()> {
    let mut items = Box::pin(items);
    forever(clock, async move || {
        assert!(items.next().await.is_some());
    })
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Executor {
    /// `rt` with one worker.
    Rt,
    /// The executor of futures.
    Pool,
    /// The executor of smol, on one thread.
    Smol,
    /// An executor that polls all tasks in turn, woken or not, and has no wakers.
    Frames,
}

const EXECUTORS: [Executor; 4] = [
    Executor::Rt,
    Executor::Pool,
    Executor::Smol,
    Executor::Frames,
];

impl Executor {
    /// Runs the futures that `make` returns on a thread of its own until the first one is ready.
    fn run<T: Send + 'static>(
        self,
        make: impl FnOnce(ManualClock) -> (LocalBoxFuture<'static, T>, Vec<LocalBoxFuture<'static, ()>>)
        + Send
        + 'static,
    ) -> T {
        watched(move || {
            if self == Executor::Rt {
                let clock = ManualClock::new();
                return runtime_on(1, clock.clone()).block_on(async {
                    let (main, tasks) = make(clock);
                    for task in tasks {
                        drop(rt::spawn_local(task));
                    }
                    main.await
                });
            }
            let (clock, driver) = manual();
            let _entered = driver.handle().enter();
            let (mut main, mut tasks) = make(clock);
            match self {
                Executor::Rt => unreachable!(),
                Executor::Pool => {
                    let mut pool = futures::executor::LocalPool::new();
                    for task in tasks {
                        pool.spawner().spawn_local(task).unwrap();
                    }
                    pool.run_until(main)
                }
                Executor::Smol => {
                    let executor = smol::LocalExecutor::new();
                    for task in tasks {
                        executor.spawn(task).detach();
                    }
                    smol::block_on(executor.run(main))
                }
                Executor::Frames => {
                    let mut cx = Context::from_waker(Waker::noop());
                    loop {
                        for task in &mut tasks {
                            assert!(task.as_mut().poll(&mut cx).is_pending());
                        }
                        if let Poll::Ready(output) = main.as_mut().poll(&mut cx) {
                            return output;
                        }
                    }
                }
            }
        })
    }
}

/// Yields to other tasks once.
async fn give_way() {
    let mut has_run = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_run, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// No poll of `sleep(ZERO)`, of an interval that is behind, and the like was ever pending, so the
/// other tasks of the thread were never polled again.
#[test]
fn other_tasks_run_beside_timers_that_are_always_due() {
    for executor in EXECUTORS {
        for (name, greedy) in GREEDY.iter().chain(GREEDY_IN_OTHER_WAYS) {
            println!("{executor:?}: {name}");
            executor.run(|clock| {
                let greedy = greedy(clock);
                let others = async {
                    for _ in 0..5 {
                        give_way().await;
                    }
                };
                (others.boxed_local(), vec![greedy])
            });
        }
    }
}

/// Two such tasks must not starve each other either.
#[test]
fn two_tasks_with_timers_that_are_always_due_both_run() {
    for executor in EXECUTORS {
        for (name, greedy) in GREEDY.iter().chain(GREEDY_IN_OTHER_WAYS) {
            println!("{executor:?}: {name}");
            executor.run(|clock| {
                let greedy = [greedy(clock.clone()), greedy(clock)];
                let turns = async {
                    // More than its budget in one poll, or two.
                    for _ in 0..200 {
                        sleep(Duration::ZERO).await;
                    }
                };
                (turns.boxed_local(), greedy.into())
            });
        }
    }
}

/// The limit was never polled, because the future that it limits was never pending.
#[test]
fn timeout_of_timers_that_are_always_due_ends_near_its_limit() {
    let late = |executor: Executor, greedy: fn(ManualClock) -> _| {
        executor.run(move |clock| {
            let main = async move {
                let start = clock.now();
                timeout(ms(50), greedy(clock.clone())).await.unwrap_err();
                clock.now() - start - ms(50)
            };
            (main.boxed_local(), vec![])
        })
    };
    for executor in EXECUTORS {
        for (name, greedy) in GREEDY {
            let late = late(executor, *greedy);
            println!("{executor:?}: {name}, late by {late:?}");
            assert!(late <= ms(40), "{executor:?}: {name}, late by {late:?}");
        }
        for (name, greedy) in GREEDY_IN_OTHER_WAYS {
            let late = late(executor, *greedy);
            println!("{executor:?}: {name}, late by {late:?}");
            assert!(late <= secs(4), "{executor:?}: {name}, late by {late:?}");
        }
    }
}

/// A timer that always uses up the budget first must not keep the timers beside it pending forever.
#[test]
fn timers_joined_with_greedy_ones_become_ready() {
    for executor in EXECUTORS {
        for (name, greedy) in GREEDY.iter().chain(GREEDY_IN_OTHER_WAYS) {
            println!("{executor:?}: {name}");
            executor.run(move |clock| {
                let main = async move {
                    let others = async {
                        for _ in 0..10 {
                            sleep(ms(10)).await;
                        }
                        timeout(ms(10), pending::<()>()).await.unwrap_err();
                    };
                    let greedy = greedy(clock.clone());
                    select(pin!(join(greedy, pending::<()>())), pin!(others)).await;
                };
                (main.boxed_local(), vec![])
            });
        }
    }
}

/// Tokio programs wait like this for another task of the same worker.
#[test]
fn a_flag_polled_between_sleeps_of_zero_is_set_by_another_task() {
    for executor in EXECUTORS {
        executor.run(|_| {
            let flag = Rc::new(Cell::new(false));
            let sets = flag.clone();
            let main = async move {
                while !flag.get() {
                    sleep(Duration::ZERO).await;
                }
            };
            let other = async move {
                give_way().await;
                sets.set(true);
                pending().await
            };
            (main.boxed_local(), vec![other.boxed_local()])
        });
    }
}

/// The same with the workers of a pool, between which tasks may move.
#[test]
fn flag_is_set_by_a_task_of_the_same_worker() {
    watched(|| {
        for workers in [1, 2] {
            let runtime = runtime(workers);
            let flag = Arc::new(AtomicBool::new(false));
            let waiting: Vec<_> = (0..2 * workers)
                .map(|_| {
                    let flag = flag.clone();
                    runtime.spawn(async move {
                        while !flag.load(Ordering::SeqCst) {
                            sleep(Duration::ZERO).await;
                        }
                    })
                })
                .collect();
            runtime.block_on(async {
                rt::spawn(async move { flag.store(true, Ordering::SeqCst) })
                    .await
                    .unwrap();
                for task in waiting {
                    task.await.unwrap();
                }
            });
        }
    });
}

#[cfg(feature = "fallback")]
#[test]
fn timeout_of_sleeps_of_zero_ends_on_the_process_wide_thread() {
    watched(|| {
        let greedy = async || {
            loop {
                sleep(Duration::ZERO).await;
            }
        };
        pollster::block_on(async {
            timeout(ms(5), greedy()).await.unwrap_err();
        });
        smol::block_on(smol::spawn(async move {
            timeout(ms(5), greedy()).await.unwrap_err();
        }));
    });
}

/// Polls a new sleep of zero and returns whether it was ready.
fn poll_due(task: &Task) -> bool {
    task.poll(&mut sleep(Duration::ZERO)).is_ready()
}

/// Polls sleeps until one of them yields.
fn use_up(task: &Task) {
    assert!(!(0..10 * BUDGET).all(|_| poll_due(task)));
}

#[test]
fn a_timer_that_yields_wakes_its_task_and_is_ready_at_its_next_poll() {
    let (_clock, driver) = manual();
    let _entered = driver.handle().enter();
    let task = Task::new();
    for _ in 0..3 {
        assert!((0..BUDGET).all(|_| poll_due(&task)));
        let wakes = task.wakes();
        let mut one_too_many = sleep(Duration::ZERO);
        assert!(task.poll(&mut one_too_many).is_pending());
        assert_eq!(task.wakes(), wakes + 1);
        assert_eq!(task.held(), 0);
        assert!(task.poll(&mut one_too_many).is_ready());
    }
}

#[test]
fn another_task_has_a_budget_of_its_own() {
    let (_clock, driver) = manual();
    let _entered = driver.handle().enter();
    let (greedy, other) = (Task::new(), Task::new());
    use_up(&greedy);
    assert!((0..BUDGET).all(|_| poll_due(&other)));
    assert_eq!(other.wakes(), 0);
}

/// A hand-written loop that drops pending timers must not find every new one pending forever.
#[test]
fn timers_that_are_polled_once_each_become_ready_again() {
    let (_clock, driver) = manual();
    let _entered = driver.handle().enter();
    let task = Task::new();
    use_up(&task);
    let pending = (0..10 * BUDGET).take_while(|_| !poll_due(&task)).count();
    assert_eq!(pending, BUDGET - 1);
}

/// A thousand tasks, each of which is ready once, need not yield.
#[test]
fn few_timers_of_many_tasks_yield() {
    let (_clock, driver) = manual();
    let _entered = driver.handle().enter();
    let tasks: Vec<Task> = (0..10_000).map(|_| Task::new()).collect();
    let yielded = tasks.iter().filter(|task| !poll_due(task)).count();
    assert!(yielded < 200, "{yielded} of 10000 yielded");
}

/// It is armed when it is made, which counted as if the task had waited for it.
#[test]
fn limited_timers_that_the_clock_has_passed_at_their_first_poll_yield() {
    let dial = Dial::default();
    let driver = dial.driver();
    let _entered = driver.handle().enter();
    let task = Task::new();
    let never_yields = (1..).take(2 * BUDGET).all(|now| {
        let mut sleep = limited().try_sleep(Duration::from_nanos(1)).unwrap();
        dial.set(Duration::from_nanos(now));
        task.poll(&mut sleep).is_ready()
    });
    assert!(!never_yields);
}

/// On executors that do not tell where a poll begins, a timer for which the task has waited does
/// not count.
#[test]
fn timers_that_were_waited_for_do_not_yield() {
    let (clock, driver) = manual();
    let task = Task::new();
    let mut sleeps: Vec<_> = (0..20 * BUDGET)
        .map(|_| driver.handle().sleep(ms(10)))
        .collect();
    assert!(sleeps.iter_mut().all(|sleep| task.poll(sleep).is_pending()));
    clock.advance(ms(10));
    assert!(sleeps.iter_mut().all(|sleep| task.poll(sleep).is_ready()));
}

#[test]
fn items_of_a_throttled_stream_that_were_waited_for_do_not_count() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let task = Task::new();
    let mut items = stream::repeat(()).throttle(ms(10));
    assert!(task.poll(&mut items.next()).is_ready());
    for _ in 0..2 * BUDGET {
        assert!(task.poll(&mut items.next()).is_pending());
        // It waits for the time, and does not yield.
        assert_eq!(driver.handle().armed(), 1);
        clock.advance(ms(10));
        assert!(task.poll(&mut items.next()).is_ready());
    }
}

#[test]
fn timers_ready_for_five_milliseconds_yield_in_a_task_of_rt() {
    let dial = Dial::default();
    runtime_on(1, dial.clock()).block_on(async {
        // Later than the last turn of the driver.
        dial.set(ms(1));
        assert!(sleep(Duration::ZERO).now_or_never().is_some());
        dial.set(ms(5));
        assert!(sleep(Duration::ZERO).now_or_never().is_some());
        dial.set(ms(6));
        assert!(sleep(Duration::ZERO).now_or_never().is_none());
    });
}

#[test]
fn sixteen_timers_ready_for_five_milliseconds_yield_on_other_executors() {
    let dial = Dial::default();
    let driver = dial.driver();
    let _entered = driver.handle().enter();
    let task = Task::new();
    assert!((0..15).all(|_| poll_due(&task)));
    dial.set(ms(5));
    assert!(poll_due(&task));
    assert!(!poll_due(&task));
}

/// In a task of `rt` only the timers of one poll count, however long ago the first of them was
/// polled.
#[test]
fn timers_in_different_polls_of_a_task_do_not_yield() {
    let clock = ManualClock::new();
    runtime_on(1, clock.clone()).block_on(async {
        let task = rt::spawn(async move {
            for _ in 0..2 * BUDGET {
                assert!(sleep(Duration::ZERO).now_or_never().is_some());
                assert!(sleep(Duration::ZERO).now_or_never().is_some());
                clock.advance(ms(10));
                rt::yield_now().await;
            }
        });
        task.await.unwrap();
    });
}

/// A timer is armed at the same time as without a budget.
#[test]
fn a_timer_that_is_not_due_is_armed_even_if_the_budget_is_spent() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let task = Task::new();
    use_up(&task);
    let wakes = task.wakes();
    let mut later = sleep(ms(1));
    assert!(task.poll(&mut later).is_pending());
    assert_eq!(task.wakes(), wakes);
    clock.advance(ms(1));
    assert_eq!(task.wakes(), wakes + 1);
    assert!(task.poll(&mut later).is_ready());
}

/// An executor inside a task polls again and again without returning to the worker.
#[test]
fn executor_inside_a_task_that_has_spent_its_budget_goes_on() {
    watched(|| {
        rt::block_on(async {
            poll_fn(|cx| {
                let mut is_ready = |_| pin!(sleep(Duration::ZERO)).poll(cx).is_ready();
                assert!(!(0..10 * BUDGET).all(&mut is_ready));
                Poll::Ready(())
            })
            .await;
            futures::executor::block_on(async {
                for _ in 0..10 * BUDGET {
                    sleep(Duration::ZERO).await;
                }
            });
        });
    });
}

#[test]
fn block_on_inside_a_task_does_not_renew_the_budget_of_the_task() {
    watched(|| {
        rt::block_on(poll_fn(|cx| {
            let mut is_ready = |_| {
                rt::block_on(sleep(Duration::ZERO));
                pin!(sleep(Duration::ZERO)).poll(cx).is_ready()
            };
            assert!(!(0..10 * BUDGET).all(&mut is_ready));
            Poll::Ready(())
        }));
    });
}

/// A yielding timer must wake the waker of the future that is polled, which need not be that of the
/// task: otherwise that part of the task would never be polled again.
#[test]
fn part_of_a_task_that_yields_wakes_its_own_waker() {
    let (_clock, driver) = manual();
    let _entered = driver.handle().enter();
    let (whole, part) = (Task::new(), Task::new());
    use_up(&part);
    assert_eq!((whole.wakes(), part.wakes()), (0, 1));
    let mut all: FuturesUnordered<_> = (0..10 * BUDGET).map(|_| sleep(Duration::ZERO)).collect();
    let mut ended = 0;
    let mut polls = 0;
    while let poll = Pin::new(&mut all).poll_next_unpin(&mut whole.context())
        && !matches!(poll, Poll::Ready(None))
    {
        ended += usize::from(poll.is_ready());
        polls += 1;
    }
    assert_eq!(ended, 10 * BUDGET);
    assert!(whole.wakes() >= polls - ended);
}

#[test]
fn an_interval_that_starts_in_the_past_yields_between_its_ticks() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    clock.advance(secs(1));
    let task = Task::new();
    let mut ticks = interval_at(clock.now() - ms(999), ms(1));
    let (mut count, mut yields) = (0, 0);
    loop {
        match ticks.poll_tick(&mut task.context()) {
            Poll::Ready(_) => count += 1,
            Poll::Pending if task.wakes() > yields => yields += 1,
            Poll::Pending => break,
        }
    }
    assert_eq!((count, yields), (1000, 7));
}

//! `cancel`, `run`, `merge`, `sleep` and the guard: who ends what, and with what result.

use std::fmt::Write;
use std::future::{pending, poll_fn, ready};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures::future::FusedFuture;
use reveille::time::Instant;
use reveille::{Context, ContextError, ManualClock};

use crate::support::{Count, OnDrop, Task, manual, ms, owning, poll_with, secs, watched};
use crate::{cause, children};

#[test]
fn only_the_call_that_ends_a_context_says_so() {
    let parent = Context::background();
    let child = parent.child();
    assert!(child.cancel_with("first"));
    assert!(!child.cancel() && !child.cancel_with("second"));
    assert!(parent.cancel() && !parent.clone().cancel());
    assert_eq!(cause(&child).as_deref(), Some("first"));
}

#[test]
fn a_root_ends_alone() {
    let (first, second) = (Context::background(), Context::default());
    assert!(first.cancel());
    assert!(!second.is_done());
}

#[test]
fn work_is_not_begun_for_a_context_that_has_ended() {
    let context = Context::background();
    context.cancel();
    let polls = Count::default();
    let count = polls.clone();
    let run = context.run(async move { count.add() });
    assert_eq!(pollster::block_on(run), Err(ContextError::Canceled));
    assert_eq!(polls.get(), 0);
}

#[test]
fn a_result_that_is_ready_when_the_context_ends_is_not_thrown_away() {
    let context = Context::background();
    let task = Task::new();
    let mut polls = 0;
    let work = poll_fn(|_| {
        polls += 1;
        if polls == 2 {
            Poll::Ready(5)
        } else {
            Poll::Pending
        }
    });
    let mut run = pin!(context.run(work));
    assert!(run.as_mut().poll(&mut task.context()).is_pending());
    context.cancel();
    assert_eq!(task.wakes(), 1);
    assert!(!run.is_terminated());
    assert_eq!(run.as_mut().poll(&mut task.context()), Poll::Ready(Ok(5)));
    assert!(run.is_terminated());
    assert_eq!(task.held(), 0);
}

#[test]
fn work_that_the_context_has_ended_is_not_polled_again() {
    let task = Task::new();
    let polls = Count::default();
    let context = Context::background();
    let mut run = context.run(poll_fn(|_| {
        polls.add();
        Poll::<()>::Pending
    }));
    assert!(task.poll(&mut run).is_pending());
    context.cancel();
    let ended = Poll::Ready(Err(ContextError::Canceled));
    assert_eq!((task.poll(&mut run), polls.get()), (ended, 2));
    assert_eq!((task.poll(&mut run), polls.get()), (ended, 2));
}

#[test]
fn run_ends_with_the_context() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let task = Task::new();
    let context = Context::background().with_timeout(ms(5));
    let mut run = pin!(context.run(pending::<()>()));
    assert!(run.as_mut().poll(&mut task.context()).is_pending());
    clock.advance(ms(4));
    assert!(run.as_mut().poll(&mut task.context()).is_pending());
    assert_eq!(task.wakes(), 0);
    clock.advance(ms(1));
    assert_eq!(task.wakes(), 1);
    let result = run.as_mut().poll(&mut task.context());
    assert_eq!(result, Poll::Ready(Err(ContextError::DeadlineExceeded)));
    assert!(run.is_terminated());
}

#[test]
fn a_merged_context_ends_with_either_and_harms_neither() {
    let ends: [fn(&Context, &Context); 2] = [
        |first, _| assert!(first.cancel_with("first")),
        |_, second| assert!(second.cancel_with("second")),
    ];
    for (end, expected) in ends.into_iter().zip(["first", "second"]) {
        let (first, second) = (Context::background(), Context::background());
        let both = first.merge(&second);
        let leaf = both.child();
        assert_eq!((children(&first), children(&second)), (1, 1));
        end(&first, &second);
        assert_eq!(cause(&leaf).as_deref(), Some(expected));
        assert_ne!(first.is_done(), second.is_done());
        // It has left the other one, too.
        assert_eq!((children(&first), children(&second)), (0, 0));
    }
}

#[test]
fn a_merged_context_that_is_dropped_leaves_both_parents() {
    let (first, second) = (Context::background(), Context::background());
    drop(first.merge(&second));
    assert_eq!((children(&first), children(&second)), (0, 0));
    let both = first.merge(&second);
    drop(first);
    assert_eq!(children(&second), 1);
    second.cancel();
    assert!(both.is_done());
    let itself = Context::background();
    let twice = itself.merge(&itself);
    assert_eq!(children(&itself), 2);
    itself.cancel();
    assert!(twice.is_done());
}

#[test]
fn a_merged_context_has_the_earlier_deadline() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let root = Context::background();
    let early = || root.with_timeout_cause(ms(5), "early");
    let late = root.with_timeout_cause(ms(50), "late");
    let merges: [&dyn Fn() -> Context; 4] = [
        &|| early().merge(&late),
        &|| late.merge(&early()),
        &|| early().merge(&root),
        &|| root.merge(&early()),
    ];
    for merge in merges {
        let both = merge();
        assert_eq!(both.deadline(), Some(clock.now() + ms(5)));
        clock.advance(ms(5));
        assert_eq!(cause(&both).as_deref(), Some("early"));
    }
    assert!(!late.is_done() && !root.is_done());
}

#[test]
fn a_context_merged_of_one_that_has_ended_has_ended() {
    let (live, ended) = (Context::background(), Context::background());
    ended.cancel_with("ended");
    for both in [live.merge(&ended), ended.merge(&live)] {
        assert_eq!(cause(&both).as_deref(), Some("ended"));
    }
    assert_eq!(children(&live), 0);
    let also = Context::background();
    also.cancel_with("also");
    assert_eq!(cause(&also.merge(&ended)).as_deref(), Some("also"));
}

#[test]
fn a_pause_that_would_not_end_before_the_deadline_is_refused() {
    let clock = ManualClock::new();
    clock.simulate(async {
        let start = Instant::now();
        let context = Context::background().with_timeout(ms(10));
        assert_eq!(context.sleep(ms(9)).await, Ok(()));
        assert_eq!(start.elapsed(), ms(9));
        for pause in [ms(1), ms(2), Duration::MAX] {
            let refused = context.sleep(pause).await;
            assert_eq!(refused, Err(ContextError::DeadlineExceeded));
        }
        assert_eq!(start.elapsed(), ms(9));
        assert!(!context.is_done());
        assert_eq!(context.sleep(ms(1) - Duration::from_nanos(1)).await, Ok(()));
    });
}

#[test]
fn a_pause_ends_with_the_context() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let context = Context::background();
    let task = Task::new();
    let mut pause = context.sleep(secs(1));
    assert!(task.poll(&mut pause).is_pending());
    context.cancel();
    assert_eq!(task.wakes(), 1);
    let ended = Poll::Ready(Err(ContextError::Canceled));
    assert_eq!(task.poll(&mut pause), ended);
    clock.advance(secs(1));
    assert_eq!(task.poll(&mut pause), ended);
    drop(pause);
    assert_eq!((task.held(), driver.handle().armed()), (0, 0));
    let mut pause = context.without_cancel().sleep(secs(1));
    assert!(task.poll(&mut pause).is_pending());
    clock.advance(secs(1));
    assert_eq!(task.poll(&mut pause), Poll::Ready(Ok(())));
}

#[test]
fn a_pause_that_ended_in_time_has_ended_however_late_its_task_is() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let context = Context::background().with_timeout(secs(2));
    let task = Task::new();
    let mut pause = context.sleep(secs(1));
    assert!(task.poll(&mut pause).is_pending());
    clock.advance(secs(3));
    assert!(context.is_done());
    assert_eq!(task.poll(&mut pause), Poll::Ready(Ok(())));
}

/// The context drops it when the future is ready.
#[test]
fn a_waker_that_panics_when_it_is_dropped_loses_no_output() {
    let context = Context::background();
    let mut polls = 0;
    let mut run = context.run(std::future::poll_fn(|_| {
        polls += 1;
        if polls == 1 {
            Poll::Pending
        } else {
            Poll::Ready(5)
        }
    }));
    let bad = owning(OnDrop(|| panic!("a waker's own panic")));
    assert!(poll_with(&mut run, &bad).is_pending());
    // The context has the last clone.
    drop(bad);
    assert_eq!(Task::new().poll(&mut run), Poll::Ready(Ok(5)));
}

#[test]
fn a_guard_cancels_also_when_its_scope_panics() {
    let context = Context::background();
    let child = context.child();
    let guarded = child.clone();
    let result = std::panic::catch_unwind(move || {
        let _guard = guarded.drop_guard();
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    assert!(result.is_err() && child.is_done() && !context.is_done());
    let kept = context.clone().drop_guard().disarm();
    assert!(!kept.is_done());
}

#[test]
fn done_is_ready_for_every_task_and_stays_so() {
    let context = Context::background();
    let task = Task::new();
    let mut first = context.done();
    let mut second = context.clone().done();
    assert!(task.poll(&mut first).is_pending() && task.poll(&mut second).is_pending());
    assert!(!first.is_terminated());
    context.cancel();
    for done in [&mut first, &mut second] {
        assert!(task.poll(done).is_ready() && done.is_terminated());
        assert!(task.poll(done).is_ready());
    }
    assert_eq!(pollster::block_on(context.done()), ());
    assert_eq!(
        pollster::block_on(Context::background().run(ready(1))),
        Ok(1)
    );
    let noop = std::task::Waker::noop();
    assert!(poll_with(&mut context.done(), noop).is_ready());
}

/// Each may be held where other threads, and panics, come by.
#[test]
fn a_writer_may_use_the_context_whose_debug_it_writes() {
    struct Writer<'a>(&'a Context, String);

    impl Write for Writer<'_> {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            assert!(!self.0.child().is_done());
            self.1.push_str(text);
            Ok(())
        }
    }

    watched(|| {
        let context = Context::background();
        let mut writer = Writer(&context, String::new());
        write!(writer, "{context:?}").unwrap();
        assert!(writer.1.contains("children: 0"));
    });
}

#[test]
fn all_types_cross_threads_and_panics() {
    use reveille::context::{AfterFunc, ContextSleep, Done, DropGuard, Run, Scope};
    use std::panic::{RefUnwindSafe, UnwindSafe};

    fn check<T: Send + Sync + Unpin>() {}
    fn survives<T: UnwindSafe + RefUnwindSafe>() {}
    check::<Context>();
    check::<AfterFunc>();
    check::<ContextSleep>();
    check::<Done>();
    check::<DropGuard>();
    check::<Run<std::future::Ready<()>>>();
    check::<Scope<std::future::Ready<()>>>();
    survives::<Context>();
    survives::<AfterFunc>();
    survives::<ContextSleep>();
    survives::<Done>();
    survives::<DropGuard>();
    assert_eq!(size_of::<Context>(), size_of::<usize>());
}

/// A pause that is kept after its end kept the waker of its task in the context, which woke it for
/// nothing.
#[test]
fn a_pause_that_is_over_keeps_no_waker_in_its_context() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let context = Context::background();
    let (task, mut pause) = (Task::new(), context.sleep(ms(1)));
    assert!(task.poll(&mut pause).is_pending());
    clock.advance(ms(1));
    assert!(task.poll(&mut pause).is_ready());
    let wakes = task.wakes();
    context.cancel();
    assert_eq!(task.wakes(), wakes);
}

/// And one whose context has ended kept it in the driver, until the time that was no longer of any
/// interest.
#[test]
fn a_pause_whose_context_has_ended_keeps_no_waker_in_its_driver() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let context = Context::background();
    let (task, mut pause) = (Task::new(), context.sleep(ms(1)));
    assert!(task.poll(&mut pause).is_pending());
    context.cancel();
    assert!(task.poll(&mut pause).is_ready());
    let wakes = task.wakes();
    clock.advance(ms(1));
    assert_eq!(task.wakes(), wakes);
}

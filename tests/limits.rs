//! Limited handles: what they refuse, and that each permit is given back exactly once.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use reveille::{Driver, Handle, LimitError, Limits, ThreadPark};

use support::{Task, manual, ms, secs};

fn timers(handle: &Handle, count: usize) -> Handle {
    handle.limited(Limits::new().timers(count))
}

/// Asserts that exactly `free` more timers can be made, and drops them again.
fn assert_free(handle: &Handle, free: usize) {
    let made: Vec<_> = (0..free)
        .map(|_| handle.try_sleep(secs(60)).unwrap())
        .collect();
    assert!(handle.try_sleep(secs(60)).is_err(), "one more than {free}");
    drop(made);
}

#[test]
fn an_error_tells_which_limit_it_was_and_what_was_asked() {
    let driver = Driver::new(ThreadPark::new());
    let tenant = driver
        .handle()
        .limited(Limits::new().timers(1).longest(secs(60)));
    let _first = tenant.try_sleep(secs(60)).unwrap();
    let error = tenant.try_sleep(secs(60)).unwrap_err();
    assert_eq!(
        error,
        LimitError::Timers {
            limit: 1,
            asked: 2,
            level: 0
        }
    );
    let error = tenant
        .try_timeout(secs(61), std::future::ready(()))
        .unwrap_err();
    assert_eq!(
        error,
        LimitError::Longest {
            limit: secs(60),
            asked: secs(61),
            level: 0
        }
    );
    let far = tenant.now() + secs(3600);
    let error = tenant.try_sleep_until(far).unwrap_err();
    assert!(matches!(error, LimitError::Longest { asked, .. } if asked > secs(3599)));
    assert!(tenant.try_interval(Duration::MAX).is_err());
    assert_eq!(driver.handle().stats().rejected(), 4);
}

/// It did not tell what to do, nor whose limit it was.
#[test]
fn an_error_tells_whose_limit_it_was_and_what_to_do() {
    let says = |result: Result<reveille::time::Sleep, LimitError>, words: &str| {
        assert_eq!(result.unwrap_err().to_string(), words);
    };
    let limits = Limits::new().timers(1).longest(secs(60));
    let driver = Driver::builder().limits(limits).build(ThreadPark::new());
    let (child, none) = (
        driver.handle().limited(Limits::new().timers(7)),
        timers(driver.handle(), 0),
    );
    let grandchild = child.limited(Limits::new());
    let _first = child.try_sleep(secs(1)).unwrap();
    let reached = "is reached (timers at once: 1): drop one, or raise the limit";
    let own = format!("the limit of this handle {reached}");
    says(driver.handle().try_sleep(secs(1)), &own);
    let parents = format!("the limit of this handle's parent {reached}");
    says(child.try_sleep(secs(1)), &parents);
    let above = format!("the limit of a parent of this handle, 2 levels up, {reached}");
    says(grandchild.try_sleep(secs(1)), &above);
    let zero = "the limit of this handle allows no timer: raise the limit";
    says(none.try_sleep(secs(1)), zero);
    let long = "exceeds the limit of this handle's parent (60s): shorten it, or raise the limit";
    says(child.try_sleep(secs(61)), &format!("a timer of 61s {long}"));
    says(
        child.try_sleep(Duration::MAX),
        &format!("a timer without end {long}"),
    );
}

#[test]
fn debug_of_a_handle_shows_its_limits_and_the_permits_that_are_taken() {
    let driver = Driver::new(ThreadPark::new());
    assert!(!format!("{:?}", driver.handle()).contains("limits"));
    let mut tenant = driver.handle().limited(Limits::new().longest(secs(60)));
    let parent = tenant.clone();
    tenant = timers(&tenant, 3);
    let timer = tenant.try_sleep(secs(1)).unwrap();
    let other = parent.try_sleep(secs(1)).unwrap();
    let within = "2 of any number (up to 60s each)";
    let shown = format!("{tenant:?}");
    assert!(
        shown.contains(&format!("limits: 1 of 3, within {within} }}")),
        "{shown}"
    );
    drop((timer, other));
    for most in 4..10 {
        tenant = timers(&tenant, most);
    }
    let shown = format!("{tenant:?}");
    let parents = "limits: 0 of 9, within 0 of 8, within 0 of 7, within 0 of 6, within .. }";
    assert!(shown.contains(parents), "{shown}");
}

#[test]
fn the_limit_of_the_length_that_is_told_is_the_tightest_one() {
    let driver = Driver::new(ThreadPark::new());
    let parent = driver.handle().limited(Limits::new().longest(secs(10)));
    let child = parent.limited(Limits::new().longest(secs(60)));
    let grandchild = child.limited(Limits::new());
    for (level, tenant) in [&parent, &child, &grandchild].into_iter().enumerate() {
        let (limit, asked) = (secs(10), secs(61));
        let error = tenant.try_sleep(asked).unwrap_err();
        assert_eq!(
            error,
            LimitError::Longest {
                limit,
                asked,
                level
            }
        );
        assert!(tenant.try_sleep(secs(11)).is_err() && tenant.try_sleep(secs(10)).is_ok());
    }
}

#[test]
fn a_permit_is_given_back_however_the_timer_ends() {
    let (clock, mut driver) = manual();
    let (tenant, task) = (timers(driver.handle(), 1), Task::new());

    let sleep = tenant.try_sleep(secs(1)).unwrap();
    assert_free(&tenant, 0);
    drop(sleep);
    assert_free(&tenant, 1);

    let mut sleep = tenant.try_sleep(secs(1)).unwrap();
    assert!(task.poll(&mut sleep).is_pending());
    sleep.reset_after(secs(3));
    sleep.reset_after(secs(2));
    assert_free(&tenant, 0);
    clock.advance(secs(2));
    assert_eq!(task.wakes(), 1);
    assert_free(&tenant, 1);
    sleep.reset_after(secs(1));
    assert!(
        task.poll(&mut sleep).is_pending(),
        "it waits without a permit"
    );
    assert_free(&tenant, 1);
    clock.advance(secs(1));
    assert!(task.poll(&mut sleep).is_ready());

    // One that fires before its first poll, one that is due, and one that is reset to the past.
    let mut unpolled = tenant.try_sleep(secs(1)).unwrap();
    clock.advance(secs(1));
    assert_free(&tenant, 1);
    assert!(task.poll(&mut unpolled).is_ready());
    let mut due = tenant.try_sleep(Duration::ZERO).unwrap();
    assert!(task.poll(&mut due).is_ready());
    assert_free(&tenant, 1);
    let mut past = tenant.try_sleep(secs(1)).unwrap();
    past.reset_after(Duration::ZERO);
    assert_free(&tenant, 1);

    // A timeout: its future is ready, or it is dropped while it waits.
    let mut ready = tenant.try_timeout(secs(1), std::future::ready(1)).unwrap();
    assert_free(&tenant, 0);
    assert!(task.poll(&mut ready).is_ready());
    drop(ready);
    assert_free(&tenant, 1);

    // A panic unwinds.
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let _sleep = tenant.try_sleep(secs(1)).unwrap();
        panic!("of the tenant");
    }));
    assert!(panic.is_err());
    assert_free(&tenant, 1);

    // A waker that panics.
    let mut sleep = tenant.try_sleep(secs(1)).unwrap();
    let panics = support::waker(|| panic!("of a waker"));
    let mut cx = std::task::Context::from_waker(&panics);
    assert!(std::pin::Pin::new(&mut sleep).poll(&mut cx).is_pending());
    clock.advance(secs(1));
    driver.turn();
    assert_free(&tenant, 1);

    // An interval keeps its own from tick to tick.
    let mut interval = tenant.try_interval(secs(1)).unwrap();
    for _ in 0..3 {
        assert!(interval.poll_tick(&mut task.context()).is_ready());
        assert!(interval.poll_tick(&mut task.context()).is_pending());
        assert_free(&tenant, 0);
        clock.advance(secs(1));
    }
    drop(interval);
    assert_free(&tenant, 1);

    // The driver ends: nothing is counted any more.
    let armed = tenant.try_sleep(secs(1)).unwrap();
    drop(driver);
    let more: Vec<_> = (0..3).map(|_| tenant.try_sleep(secs(1)).unwrap()).collect();
    drop((armed, more));
}

#[test]
fn an_unpark_that_panics_leaves_no_permit_taken() {
    let clock = reveille::ManualClock::new();
    let mut driver = Driver::builder()
        .clock(&clock)
        .build_with_unpark(|| panic!("of the unpark"));
    let tenant = timers(driver.handle(), 1);
    assert!(driver.next_timeout().is_none(), "announces a park");
    let made = catch_unwind(AssertUnwindSafe(|| tenant.try_sleep(secs(1))));
    assert!(made.is_err());
    assert_eq!(tenant.armed(), 0);
    assert_free(&tenant, 1);
    driver.turn();
}

/// A timer that was armed or moved by then did not know it, so its drop left it in the driver, and
/// its permit taken.
#[test]
fn an_unpark_that_panics_leaves_no_timer_behind() {
    let clock = reveille::ManualClock::new();
    let panics = Arc::new(AtomicBool::new(false));
    let fails = panics.clone();
    let driver = Driver::builder()
        .clock(&clock)
        .build_with_unpark(move || assert!(!fails.load(Relaxed), "of the unpark"));
    let handle = driver.handle().clone();
    let tenant = timers(&handle, 1);
    let mut moved = tenant.try_sleep(secs(2)).unwrap();
    assert!(driver.next_timeout().is_none(), "announces a park");
    panics.store(true, Relaxed);
    let at = handle.now() + secs(1);
    assert!(catch_unwind(AssertUnwindSafe(|| moved.reset_at(at))).is_err());
    drop(moved);
    assert_eq!(tenant.armed(), 0);
    assert_free(&tenant, 1);

    assert!(driver.next_timeout().is_none(), "announces a park");
    let task = Task::new();
    let mut armed = handle.sleep(secs(1));
    assert!(catch_unwind(AssertUnwindSafe(|| task.poll(&mut armed))).is_err());
    assert_eq!((handle.armed(), task.held()), (1, 1));
    drop(armed);
    assert_eq!((handle.armed(), task.held()), (0, 0));
}

#[test]
fn a_child_counts_in_its_parents_and_leaves_nothing_where_it_is_refused() {
    let limits = Limits::new().timers(3);
    let driver = Driver::builder().limits(limits).build(ThreadPark::new());
    let customer = timers(driver.handle(), 2);
    let (one, two) = (timers(&customer, 5), timers(&customer, 5));
    let first = one.try_sleep(secs(1)).unwrap();
    let second = two.try_sleep(secs(1)).unwrap();
    for _ in 0..10 {
        let error = one.try_sleep(secs(1)).unwrap_err();
        assert_eq!(
            error,
            LimitError::Timers {
                limit: 2,
                asked: 3,
                level: 1
            },
            "of the customer"
        );
    }
    assert_free(driver.handle(), 1);
    drop(first);
    assert_free(&two, 1);
    assert_free(driver.handle(), 2);
    drop(second);
    assert_free(&customer, 2);
    assert_free(driver.handle(), 3);

    // The tightest of all limits holds.
    let longest = customer.limited(Limits::new().longest(secs(5)));
    let wider = longest.limited(Limits::new().longest(secs(50)));
    assert!(wider.try_sleep(secs(6)).is_err() && wider.try_sleep(secs(5)).is_ok());
}

#[test]
fn a_plain_timer_of_a_full_handle_works_and_is_not_counted() {
    let (clock, driver) = manual();
    let (full, task) = (timers(driver.handle(), 0), Task::new());
    let _entered = full.enter();
    let mut plain = full.sleep(secs(1));
    let mut free = reveille::time::sleep(secs(1));
    assert!(task.poll(&mut plain).is_pending() && task.poll(&mut free).is_pending());
    full.call_after(secs(1), || {});
    clock.advance(secs(1));
    assert!(task.poll(&mut plain).is_ready() && task.poll(&mut free).is_ready());
    assert_eq!(full.stats().rejected(), 0);
    assert!(
        Handle::current().try_sleep(secs(1)).is_err(),
        "the limits are entered, too"
    );
    assert_eq!(full, *driver.handle(), "the same driver");
}

#[test]
fn a_handle_without_limits_refuses_nothing() {
    let driver = Driver::new(ThreadPark::new());
    let handle = driver.handle();
    let _sleeps: Vec<_> = (0..1000)
        .map(|_| handle.try_sleep(Duration::MAX).unwrap())
        .collect();
    assert_eq!(handle.armed(), 0, "armed at the first poll, as plain ones");
    drop(handle.try_interval(ms(1)).unwrap());
}

#[test]
#[should_panic(expected = "must be non-zero")]
fn an_interval_without_a_period_is_the_callers_mistake() {
    let driver = Driver::new(ThreadPark::new());
    let _ = timers(driver.handle(), 1).try_interval(Duration::ZERO);
}

#[test]
fn handles_a_hundred_thousand_deep_are_dropped_without_recursion() {
    let driver = Driver::new(ThreadPark::new());
    let mut handle = driver.handle().clone();
    for _ in 0..100_000 {
        handle = timers(&handle, 1);
    }
    drop(handle.try_sleep(secs(1)).unwrap());
    drop(handle);
}

/// Threads make, move, and drop limited timers while the driver fires: no permit is lost, and the
/// limit holds at each moment.
#[test]
fn no_permit_is_lost_under_races() {
    use std::sync::atomic::{AtomicBool, Ordering};
    const LIMIT: usize = 8;
    let rounds: u64 = if cfg!(debug_assertions) {
        5_000
    } else {
        50_000
    };
    let mut driver = Driver::new(ThreadPark::new());
    let tenant = timers(driver.handle(), LIMIT);
    let done = AtomicBool::new(false);
    let (refused, _driver): (u64, _) = std::thread::scope(|scope| {
        let turns = scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                driver.park_timeout(ms(1));
            }
            driver
        });
        let threads = (0..4).map(|thread| {
            let tenant = timers(&tenant, 5);
            scope.spawn(move || {
                let (mut random, mut kept, mut refused) = (thread + 1_u64, Vec::new(), 0);
                for _ in 0..rounds {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    let bits = random >> 40;
                    match tenant.try_sleep(Duration::from_nanos(bits % 100_000)) {
                        Ok(sleep) => kept.push(sleep),
                        Err(_) => refused += 1,
                    }
                    assert!(tenant.armed() <= LIMIT);
                    if bits & 1 << 20 != 0 {
                        kept.iter_mut().for_each(|sleep| sleep.reset_after(ms(1)));
                    }
                    if kept.len() > (bits >> 21) as usize % 8 {
                        kept.clear();
                    }
                }
                refused
            })
        });
        let threads: Vec<_> = threads.collect();
        let refused = threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum();
        done.store(true, Ordering::Release);
        (refused, turns.join().unwrap())
    });
    assert_free(&tenant, LIMIT);
    let refused = refused + 1;
    assert_eq!(tenant.stats().rejected(), refused);
}

//! `Ticker` and `tick`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use futures::stream::FusedStream;
use futures::{FutureExt, Stream, StreamExt, select};
use reveille::ManualClock;
use reveille::go::{self, Ticker};
use reveille::time::{Instant, sleep};

use crate::on::everywhere;
use crate::support::{Dial, Task, manual, ms, panic_of, secs};

/// Receives what has come, and returns when it was due, in milliseconds.
fn received(ticker: &mut Ticker, start: Instant) -> Vec<u128> {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let mut next = || ticker.poll_next_unpin(&mut cx);
    std::iter::from_fn(|| match next() {
        Poll::Ready(at) => Some((at.unwrap() - start).as_millis()),
        Poll::Pending => None,
    })
    .collect()
}

/// Go's `TestTicker`: ten ticks, the second half at twice the period.
#[test]
fn ticks_keep_to_the_grid_of_the_period() {
    everywhere(|on| async move {
        let start = Instant::now();
        let mut ticker = Ticker::new(ms(2));
        let mut first = None;
        for n in 1..=5 {
            let due = ticker.tick().await;
            assert!(due >= start + ms(2) * n && due <= Instant::now());
            // However late the ticks before were received.
            let since = due - *first.get_or_insert(due);
            assert_eq!(since.as_nanos() % ms(2).as_nanos(), 0);
            on.has_passed(start, ms(2) * n);
        }
        let start = Instant::now();
        ticker.reset(ms(4));
        for n in 1..=5 {
            ticker.tick().await;
            on.has_passed(start, ms(4) * n);
        }
        ticker.stop();
        select! {
            at = ticker.tick().fuse() => panic!("stopped, but ticked at {at:?}"),
            () = sleep(ms(8)).fuse() => {}
        }
    });
}

/// The example of the docs, and Go's: at most one tick for the past, at its own time.
#[test]
fn a_late_ticker_catches_up_on_one_tick_and_drops_the_others() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let start = clock.now();
    let mut ticker = Ticker::new(ms(10));
    assert_eq!(received(&mut ticker, start), []);
    clock.advance(ms(105));
    assert_eq!(received(&mut ticker, start), [10]);
    assert_eq!(ticker.dropped(), 9);
    clock.advance(ms(5));
    assert_eq!(received(&mut ticker, start), [110]);
    clock.advance(ms(10));
    assert_eq!(received(&mut ticker, start), [120]);
    assert_eq!(ticker.dropped(), 9);
    // Exactly at the time of another tick: that one is dropped, as when the channel is full.
    clock.advance(ms(20));
    assert_eq!(received(&mut ticker, start), [130]);
    assert_eq!(ticker.dropped(), 10);
    clock.advance(ms(9));
    assert_eq!(received(&mut ticker, start), []);
    clock.advance(ms(1));
    assert_eq!(received(&mut ticker, start), [150]);
}

/// Go's `TestTickTimes`.
#[test]
fn a_tick_that_is_received_late_is_the_time_at_which_it_was_due() {
    ManualClock::new().simulate(async {
        let start = Instant::now();
        let mut ticker = go::tick(ms(10));
        sleep(ms(500)).await;
        assert_eq!(ticker.tick().await, start + ms(10));
    });
}

#[test]
fn a_tick_that_is_due_is_not_received_after_stop_or_reset() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let start = clock.now();
    let mut ticker = Ticker::new(ms(10));
    clock.advance(ms(15));
    ticker.stop();
    ticker.stop();
    assert!(ticker.is_terminated());
    assert_eq!(received(&mut ticker, start), []);
    ticker.reset(ms(7));
    assert!(!ticker.is_terminated());
    clock.advance(ms(7));
    ticker.reset(ms(10));
    assert_eq!(received(&mut ticker, start), []);
    clock.advance(ms(10));
    assert_eq!(received(&mut ticker, start), [32]);
    assert_eq!(ticker.dropped(), 0, "these were not received too late");
}

#[test]
fn stop_releases_the_waker_at_once() {
    let (_clock, driver) = manual();
    let _entered = driver.handle().enter();
    let task = Task::new();
    let mut ticker = Ticker::new(ms(10));
    assert!(ticker.poll_next_unpin(&mut task.context()).is_pending());
    assert_eq!((task.held(), driver.handle().armed()), (1, 1));
    ticker.stop();
    assert_eq!((task.held(), driver.handle().armed()), (0, 0));
}

/// Go's `TestNewTickerLtZeroDuration` and `TestTickerResetLtZeroDuration`.
#[test]
fn a_period_of_zero_panics_at_the_callers_line() {
    let words = "the period of a ticker must be non-zero";
    let (message, file) = panic_of(|| Ticker::new(Duration::ZERO));
    assert!(
        message.contains(words) && file == file!(),
        "{message} {file}"
    );
    let (message, file) = panic_of(|| Ticker::new(ms(1)).reset(Duration::ZERO));
    assert!(
        message.contains(words) && file == file!(),
        "{message} {file}"
    );
}

/// Go's `TestTick`: there a nil channel, on which nothing is ever received.
#[test]
fn tick_of_zero_never_ticks_until_it_is_reset() {
    everywhere(|_| async {
        let mut ticker = go::tick(Duration::ZERO);
        select! {
            _ = ticker.select_next_some() => panic!("ticked"),
            () = sleep(ms(2)).fuse() => {}
        }
        ticker.reset(ms(1));
        ticker.tick().await;
    });
}

/// Go's `TestOverflowPeriodRuntimeTimer`: the next time is past the end, and others still fire.
#[test]
fn the_longest_period_never_ticks() {
    everywhere(|_| async {
        for never in [Duration::MAX, secs(u64::MAX), secs(10_000_000_000)] {
            let mut ticker = Ticker::new(never);
            select! {
                _ = ticker.select_next_some() => panic!("ticked"),
                _ = go::after(ms(1)) => {}
            }
            ticker.reset(ms(1));
            ticker.tick().await;
            ticker.reset(never);
            assert!(ticker.tick().now_or_never().is_none());
        }
    });
}

/// A shortest period is always behind: it ticks once each time, yields, and counts the rest.
#[test]
fn a_period_of_a_nanosecond_lets_other_tasks_run() {
    everywhere(|on| async move {
        let mut ticker = Ticker::new(Duration::from_nanos(1));
        let other = on.spawn(async {});
        for _ in 0..1000 {
            ticker.tick().await;
        }
        other.await;
    });
}

/// Go's `TestTeardown`.
#[test]
fn tickers_come_and_go() {
    everywhere(|_| async {
        for _ in 0..3 {
            let mut ticker = Ticker::new(ms(1));
            ticker.tick().await;
            ticker.stop();
        }
    });
}

/// `for range ticker.C`.
#[test]
fn a_ticker_is_a_stream_that_never_ends() {
    let clock = ManualClock::new();
    clock.simulate(async {
        let start = Instant::now();
        let ticker = Ticker::new(ms(3));
        assert_eq!(ticker.size_hint(), (usize::MAX, None));
        let due: Vec<_> = ticker.take(3).map(|at| at - start).collect().await;
        assert_eq!(due, [ms(3), ms(6), ms(9)]);
    });
}

/// A tick that loses a `select!` is not lost.
#[test]
fn tick_is_cancel_safe() {
    ManualClock::new().simulate(async {
        let start = Instant::now();
        let mut ticker = Ticker::new(ms(10));
        for _ in 0..4 {
            assert!(ticker.tick().now_or_never().is_none());
            sleep(ms(2)).await;
        }
        assert_eq!(ticker.tick().await, start + ms(10));
    });
}

#[test]
fn a_stopped_ticker_stays_so_if_the_clock_panics_in_its_reset() {
    let dial = Dial::default();
    let (driver, panics) = dial.driver_that_may_panic();
    let _entered = driver.handle().enter();
    let mut ticker = Ticker::new(ms(10));
    ticker.stop();
    dial.set(ms(20));
    panics.store(1, Ordering::SeqCst);
    catch_unwind(AssertUnwindSafe(|| ticker.reset(ms(30)))).unwrap_err();
    assert!(ticker.is_terminated());
    assert!(Task::new().poll(&mut ticker.next()).is_pending());
    ticker.reset(ms(30));
    dial.set(ms(50));
    let next = Task::new().poll(&mut ticker.next());
    assert_eq!(next, Poll::Ready(Some(driver.handle().now())));
}

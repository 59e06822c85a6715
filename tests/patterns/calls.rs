//! Calls of a service: `connect_timeout/attempt.rs`, `retry.rs`, `circuit_breaker.rs`, and
//! `fan_in.rs`.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io::{self, ErrorKind};

use backon::{BackoffBuilder, ExponentialBuilder};
use futures::channel::mpsc;
use futures::future::join;
use futures::{StreamExt, stream};
use reveille::time::{Instant, sleep};
use reveille::{Context, ContextError, ManualClock};

use crate::attempt::connect_to_any;
use crate::circuit_breaker::{Breaker, Error};
use crate::fan_in::{gather, produce};
use crate::retry::{Failure, GaveUp, pauses, retry};
use crate::{ms, simulated};

const REFUSED: Failure = Failure::Temporary("refused");

/// Retries an operation of 100 ms that fails `fails` times, and returns when each attempt began.
fn attempts(
    fails: usize,
    pauses: ExponentialBuilder,
    limit: u64,
) -> (Vec<u128>, Result<usize, GaveUp>) {
    let at = RefCell::new(Vec::new());
    let (result, _) = ManualClock::new().simulate(async {
        let start = Instant::now();
        let context = Context::background().with_timeout(ms(limit));
        let operation = || {
            at.borrow_mut().push(start.elapsed().as_millis());
            let number = at.borrow().len();
            async move {
                sleep(ms(100)).await;
                (number > fails).then_some(number).ok_or(REFUSED)
            }
        };
        retry(&context, pauses, operation).await
    });
    (at.into_inner(), result)
}

#[test]
fn a_retry_pauses_twice_as_long_each_time() {
    let (at, result) = attempts(3, pauses(), 60_000);
    assert_eq!(at, [0, 1100, 3200, 7300]);
    assert_eq!(result, Ok(4));
}

#[test]
fn a_retry_gives_up_after_five_attempts_with_the_last_error() {
    let (at, result) = attempts(99, pauses(), 60_000);
    assert_eq!(at, [0, 1100, 3200, 7300, 15_400]);
    let gave_up = GaveUp {
        attempts: 5,
        last: Some(REFUSED),
        ended: None,
    };
    assert_eq!(result, Err(gave_up));
}

#[test]
fn the_deadline_of_a_retry_ends_a_pause_and_an_attempt() {
    let ended = |attempts| {
        Err(GaveUp {
            attempts,
            last: Some(REFUSED),
            ended: Some(ContextError::DeadlineExceeded),
        })
    };
    // In the pause after the second attempt, and in the third attempt.
    assert_eq!(attempts(99, pauses(), 2000).1, ended(2));
    assert_eq!(attempts(99, pauses(), 3250).1, ended(3));
}

#[test]
fn a_permanent_failure_is_not_retried() {
    let (result, took) = ManualClock::new().simulate(async {
        let operation = || async { Err::<(), _>(Failure::Permanent("no such user")) };
        retry(&Context::background(), pauses(), operation).await
    });
    let gave_up = result.unwrap_err();
    assert_eq!((gave_up.attempts, took), (1, ms(0)));
    assert_eq!(gave_up.last, Some(Failure::Permanent("no such user")));
}

/// With jitter a pause is longer than without, by less than its length.
#[test]
fn the_jitter_of_a_retry_stays_within_its_bounds() {
    let exact: Vec<_> = pauses().build().collect();
    let mut all_same = true;
    for seed in 0..50 {
        let jittered = pauses().with_jitter().with_jitter_seed(seed);
        let (at, _) = attempts(99, jittered, 600_000);
        for (pause, pair) in exact.iter().zip(at.windows(2)) {
            let waited = pair[1] - pair[0] - 100;
            let least = pause.as_millis();
            assert!(
                waited >= least && waited <= 2 * least,
                "{waited} of {least}"
            );
            all_same &= waited == least;
        }
    }
    assert!(!all_same);
}

/// Calls a service that fails at once, or works at once.
async fn call(breaker: &Breaker, works: bool) -> Result<(), Error<()>> {
    breaker.call(async { works.then_some(()).ok_or(()) }).await
}

#[test]
fn a_breaker_opens_after_failures_in_a_row_and_tries_one_call() {
    ManualClock::new().simulate(async {
        let breaker = Breaker::new(3, ms(1000), ms(100));
        // A success in between starts the count anew.
        for works in [false, false, true, false, false, false] {
            assert_eq!(call(&breaker, works).await.is_ok(), works);
        }
        assert_eq!(call(&breaker, true).await, Err(Error::Open));
        sleep(ms(999)).await;
        assert_eq!(call(&breaker, true).await, Err(Error::Open));
        sleep(ms(1)).await;
        // One call passes, and no other until it has ended. It fails: open for another second.
        let slow = breaker.call(async {
            sleep(ms(50)).await;
            Err::<(), _>(())
        });
        let (tried, refused) = join(slow, call(&breaker, true)).await;
        assert_eq!((tried, refused), (Err(Error::Failed(())), Err(Error::Open)));
        sleep(ms(999)).await;
        assert_eq!(call(&breaker, true).await, Err(Error::Open));
        sleep(ms(1)).await;
        assert_eq!(call(&breaker, true).await, Ok(()));
        assert_eq!(call(&breaker, false).await, Err(Error::Failed(())));
        assert_eq!(call(&breaker, true).await, Ok(()));
    });
}

#[test]
fn a_call_that_takes_too_long_has_failed() {
    let (result, took) = ManualClock::new().simulate(async {
        let breaker = Breaker::new(1, ms(1000), ms(100));
        let slow = breaker.call(pending::<Result<(), ()>>()).await;
        (slow, call(&breaker, true).await)
    });
    assert_eq!(result, (Err(Error::TooSlow), Err(Error::Open)));
    assert_eq!(took, ms(100));
}

/// A breaker that waited for the end of a call that was dropped would refuse calls for ever.
#[test]
fn a_trial_that_is_dropped_opens_the_breaker_again() {
    ManualClock::new().simulate(async {
        let breaker = Breaker::new(1, ms(1000), ms(100));
        assert_eq!(call(&breaker, false).await, Err(Error::Failed(())));
        sleep(ms(1000)).await;
        let trial = breaker.call(pending::<Result<(), ()>>());
        assert!(reveille::time::timeout(ms(10), trial).await.is_err());
        assert_eq!(call(&breaker, true).await, Err(Error::Open));
        sleep(ms(1000)).await;
        assert_eq!(call(&breaker, true).await, Ok(()));
    });
}

#[test]
fn an_old_call_that_ends_late_does_not_close_the_breaker() {
    ManualClock::new().simulate(async {
        let breaker = Breaker::new(1, ms(1000), ms(100));
        let old = breaker.call(async {
            sleep(ms(50)).await;
            Ok::<_, ()>(())
        });
        let (old, failed) = join(old, call(&breaker, false)).await;
        assert_eq!((old, failed), (Ok(()), Err(Error::Failed(()))));
        assert_eq!(call(&breaker, true).await, Err(Error::Open));
    });
}

/// It began before the service failed, so it says nothing about the service that works again.
#[test]
fn an_old_call_that_fails_after_the_recovery_does_not_open_the_breaker() {
    ManualClock::new().simulate(async {
        let breaker = Breaker::new(1, ms(100), ms(10_000));
        let old = breaker.call(async {
            sleep(ms(500)).await;
            Err::<(), _>(())
        });
        let recovery = async {
            assert_eq!(call(&breaker, false).await, Err(Error::Failed(())));
            sleep(ms(100)).await;
            assert_eq!(call(&breaker, true).await, Ok(()));
            sleep(ms(450)).await;
            call(&breaker, true).await
        };
        let (old, new) = join(old, recovery).await;
        assert_eq!((old, new), (Err(Error::Failed(())), Ok(())));
    });
}

/// Two producers, one value each 10 ms and each 40 ms, three of each.
fn gathered(limit: u64) -> (usize, bool, u128) {
    simulated(async move {
        let start = Instant::now();
        let (to_one, one) = mpsc::channel(0);
        let (to_two, two) = mpsc::channel(0);
        reveille::rt::spawn(produce("one", 3, ms(10), to_one));
        reveille::rt::spawn(produce("two", 3, ms(40), to_two));
        let (came, all) = gather(one, two, ms(limit)).await;
        (came.len(), all, start.elapsed().as_millis())
    })
}

#[test]
fn what_came_from_two_producers_by_the_limit_is_kept() {
    assert_eq!(gathered(1000), (6, true, 120));
    assert_eq!(gathered(50), (4, false, 50));
    // What comes at the limit is received.
    assert_eq!(gathered(40), (4, false, 40));
    assert_eq!(gathered(5), (0, false, 5));
}

/// A producer that always has a value, which takes 1 ms each.
#[test]
fn the_limit_ends_a_loop_whose_producer_is_always_ready() {
    let clock = ManualClock::new();
    let always = stream::iter(1..=1000).inspect(|_| clock.advance(ms(1)));
    let (gathered, _) = clock.simulate(gather(always, stream::empty(), ms(10)));
    assert_eq!(gathered, ((1..=10).collect(), false));
}

#[test]
fn producers_end_when_nobody_receives() {
    let sent = Cell::new(Ok(()));
    let ((), took) = ManualClock::new().simulate(async {
        let (channel, receiver) = mpsc::channel(0);
        drop(receiver);
        sent.set(produce("one", 1000, ms(10), channel).await);
    });
    assert!(sent.into_inner().is_err());
    assert_eq!(took, ms(10));
}

/// Connects to hosts that answer after so many milliseconds, each within 100 ms, all within 250.
/// One that answers after zero refuses.
fn connected(hosts: &[u64]) -> (Result<u64, ErrorKind>, u128) {
    let connect = async |answers: u64| {
        sleep(ms(answers)).await;
        match answers {
            0 => Err(io::Error::from(ErrorKind::ConnectionRefused)),
            _ => Ok(answers),
        }
    };
    let attempt = connect_to_any(hosts, ms(100), ms(250), connect);
    let (connection, took) = ManualClock::new().simulate(attempt);
    (connection.map_err(|error| error.kind()), took.as_millis())
}

#[test]
fn a_host_that_does_not_answer_is_given_up_for_the_next() {
    assert_eq!(connected(&[50, 20]), (Ok(50), 50));
    assert_eq!(connected(&[3000, 20]), (Ok(20), 120));
    assert_eq!(connected(&[0, 20]), (Ok(20), 20));
    // A limit for all: the third has only 50 ms, the fourth is not tried.
    let late = Err(ErrorKind::TimedOut);
    assert_eq!(connected(&[3000, 3000, 90, 1]), (late, 250));
    assert_eq!(connected(&[0]), (Err(ErrorKind::ConnectionRefused), 0));
    assert_eq!(connected(&[]), (Err(ErrorKind::InvalidInput), 0));
}

#[test]
fn hosts_without_any_time_are_timed_out() {
    let connect = async |_: u8| Ok(());
    let attempt = connect_to_any(&[1, 2], ms(100), ms(0), connect);
    let (connection, _) = ManualClock::new().simulate(attempt);
    assert_eq!(connection.unwrap_err().kind(), ErrorKind::TimedOut);
}

//! What may a timer's owner do while the driver fires?
//!
//! Time stands still while the threads run, unless a model moves it.

use std::sync::Arc;

use loom::sync::atomic::{AtomicU64, Ordering};

use super::support::{Task, Time, at_once, check, ns, poll};
use crate::Driver;
use crate::time::{Instant, Sleep};

/// Returns what another thread does: it resets `sleep`, and gives it back.
fn reset(mut sleep: Sleep, at: Instant) -> impl FnOnce() -> Sleep {
    move || {
        sleep.reset_at(at);
        sleep
    }
}

/// Returns what another thread does: it polls `sleep` as `task`, and gives it back, and whether it
/// was ready.
fn polled(mut sleep: Sleep, task: &Task) -> impl FnOnce() -> (Sleep, bool) + use<> {
    let waker = task.waker();
    move || {
        let ready = poll(&mut sleep, &waker);
        (sleep, ready)
    }
}

/// Returns a driver whose clock shows 1 ns, and a timer of `task` that is due then.
fn due(task: &Task) -> (Time, Driver<()>, Sleep) {
    let time = Time::new();
    let driver = time.turner();
    let sleep = task.sleep(driver.handle(), ns(1));
    time.set(1);
    (time, driver, sleep)
}

/// The timer is dropped while the driver takes it out to fire it.
///
/// Either it is out before the drop, and is woken once, or it never is. If a dropped timer's waker
/// stayed in the store, the task would be woken for nothing, and kept in memory until then.
#[test]
fn drop_against_turn() {
    check(None, || {
        let task = Task::new();
        let (_time, mut driver, sleep) = due(&task);
        let ((), fired) = at_once(move || drop(sleep), || driver.turn().fired());

        assert_eq!(task.wakes(), fired);
        assert!(task.is_released());
        assert_eq!((driver.handle().armed(), driver.turn().fired()), (0, 0));
    });
}

/// The timer is dropped while the driver fires it and gives its entry to another one.
///
/// If the drop took the timer for armed because its deadline had not elapsed a moment before, it
/// would remove the other one, which would never fire.
#[test]
fn drop_against_a_turn_after_which_another_timer_gets_the_entry() {
    check(None, || {
        let (task, other) = (Task::new(), Task::new());
        let (time, mut driver, sleep) = due(&task);
        let ((), (fired, late)) = at_once(
            move || drop(sleep),
            || (driver.turn().fired(), other.sleep(driver.handle(), ns(4))),
        );

        assert_eq!((task.wakes(), driver.handle().armed()), (fired, 1));
        time.set(5);
        assert_eq!((driver.turn().fired(), other.wakes()), (1, 1));
        drop(late);
        assert!(task.is_released() && other.is_released());
    });
}

/// The timer is dropped, and only then does its deadline come; the driver turns all the while.
///
/// Nothing of it may be on its way out when it is dropped, so nothing fires.
#[test]
fn drop_before_the_deadline_against_turns() {
    check(None, || {
        let time = Time::new();
        let mut driver = time.turner();
        let (task, other) = (Task::new(), Task::new());
        let sleep = task.sleep(driver.handle(), ns(2));
        let _other = other.sleep(driver.handle(), ns(1));
        time.set(1);
        let mover = time.clone();
        let dropper = move || {
            drop(sleep);
            mover.set(2);
        };
        at_once(dropper, || {
            driver.turn();
            driver.turn();
        });

        assert_eq!((task.wakes(), other.wakes()), (0, 1));
        assert!(task.is_released());
    });
}

/// The deadline is put off while the driver takes the timer out to fire it.
///
/// Either the task is woken for the old deadline, and then a poll arms the new one; or it is not,
/// and stays registered. If a reset took a fired timer for armed, nobody would wake the task at the
/// new deadline; if it took an armed one for fired, a task that is not polled again would miss it.
#[test]
fn reset_later_against_turn() {
    check(None, || {
        let task = Task::new();
        let (time, mut driver, sleep) = due(&task);
        let later = sleep.deadline() + ns(4);
        let (mut sleep, fired) = at_once(reset(sleep, later), || driver.turn().fired());

        assert_eq!(task.wakes(), fired);
        assert!(!sleep.is_elapsed());
        if fired == 1 {
            assert!(!task.poll(&mut sleep), "early");
        }
        assert_eq!(driver.handle().armed(), 1);
        time.set(4);
        assert_eq!(driver.turn().fired(), 0);
        time.set(5);
        assert_eq!((driver.turn().fired(), task.wakes()), (1, fired + 1));
        assert!(task.poll(&mut sleep));
        drop(sleep);
        assert!(task.is_released());
    });
}

/// A reset as above, and the task polls at once: what it sees must not depend on which came first.
#[test]
fn reset_later_and_poll_against_turn() {
    check(None, || {
        let task = Task::new();
        let (time, mut driver, mut sleep) = due(&task);
        let later = sleep.deadline() + ns(4);
        let waker = task.waker();
        let resetter = move || {
            sleep.reset_at(later);
            assert!(!poll(&mut sleep, &waker), "early");
            sleep
        };
        let (mut sleep, fired) = at_once(resetter, || driver.turn().fired());

        assert_eq!((task.wakes(), driver.handle().armed()), (fired, 1));
        time.set(5);
        assert_eq!((driver.turn().fired(), task.wakes()), (1, fired + 1));
        assert!(task.poll(&mut sleep));
        drop(sleep);
        assert!(task.is_released());
    });
}

/// The deadline is put off and another task takes the timer over, while the driver takes it out to
/// fire it.
///
/// The first is an exchange of the timer's word, without the lock, the second one of its waker,
/// under the lock. If the turn took the waker out and left the word, or the other way round, the
/// new task would wait for a timer that no turn fires.
#[test]
fn put_off_and_poll_with_other_waker_against_turn() {
    check(None, || {
        let (old, new) = (Task::new(), Task::new());
        let (time, mut driver, mut sleep) = due(&old);
        let later = sleep.deadline() + ns(4);
        let waker = new.waker();
        let resetter = move || {
            sleep.reset_at(later);
            assert!(!poll(&mut sleep, &waker), "early");
            assert!(!poll(&mut sleep, &waker), "early");
            sleep
        };
        let (sleep, fired) = at_once(resetter, || driver.turn().fired());

        assert_eq!((old.wakes(), new.wakes()), (fired, 0));
        assert!(old.is_released());
        time.set(5);
        assert_eq!((driver.turn().fired(), new.wakes()), (1, 1));
        drop(sleep);
        assert!(new.is_released());
    });
}

/// The deadline is put off and the timer dropped, while the driver takes it out to fire it.
///
/// Either it fires, or it is put off and removed. If the turn took out the waker of a timer that
/// was put off, or left that of one that was not, the drop would find another's waker, or none.
#[test]
fn put_off_and_drop_against_turn() {
    check(None, || {
        let task = Task::new();
        let (time, mut driver, mut sleep) = due(&task);
        let later = sleep.deadline() + ns(4);
        let handle = driver.handle().clone();
        let dropper = move || {
            sleep.reset_at(later);
            drop(sleep);
            assert_eq!(handle.armed(), 0, "dropped, and still armed");
        };
        let (_, fired) = at_once(dropper, || driver.turn().fired());

        assert_eq!(task.wakes(), fired);
        assert!(task.is_released());
        time.set(5);
        assert_eq!(driver.turn().fired(), 0);
    });
}

/// A timer is put off twice while the driver files its slot anew, and fires another.
///
/// What the turn has filed is at or before the deadline at any time. If it filed the slot for a
/// deadline that the word had not reached, or not at all, the timer would be late.
#[test]
fn put_off_twice_against_turn() {
    check(None, || {
        let time = Time::new();
        let mut driver = time.turner();
        let (task, other) = (Task::new(), Task::new());
        let mut sleep = task.sleep(driver.handle(), ns(2));
        let _other = other.sleep(driver.handle(), ns(3));
        let start = driver.handle().now();
        sleep.reset_at(start + ns(4));
        time.set(3);
        let resetter = move || {
            sleep.reset_at(start + ns(5));
            sleep.reset_at(start + ns(6));
            sleep
        };
        let (mut sleep, fired) = at_once(resetter, || driver.turn().fired());
        assert_eq!((fired, other.wakes()), (1, 1));

        time.set(5);
        assert_eq!((driver.turn().fired(), task.wakes()), (0, 0), "early");
        time.set(6);
        assert_eq!((driver.turn().fired(), task.wakes()), (1, 1));
        assert!(task.poll(&mut sleep));
    });
}

/// The deadline is brought forward, though not to the present, while the driver fires another.
///
/// The turn publishes anew when the next timer is due at the earliest. Published from what it saw
/// before the reset, that would hide the timer from every later turn that looks there first.
#[test]
fn reset_earlier_against_turn() {
    check(None, || {
        let time = Time::new();
        let mut driver = time.turner();
        let (task, other) = (Task::new(), Task::new());
        let sleep = task.sleep(driver.handle(), ns(10));
        let earlier = driver.handle().now() + ns(5);
        let _other = other.sleep(driver.handle(), ns(1));
        time.set(1);
        let (mut sleep, fired) = at_once(reset(sleep, earlier), || driver.turn().fired());

        assert_eq!((fired, task.wakes(), other.wakes()), (1, 0, 1));
        time.set(5);
        assert_eq!((driver.turn().fired(), task.wakes()), (1, 1));
        assert!(task.poll(&mut sleep));
        drop(sleep);
        assert!(task.is_released());
    });
}

/// The deadline is moved into the past while the driver turns.
///
/// Before the turn, the turn fires it; after, the reset does. If the reset armed what the turn has
/// passed, the turn would have fired it for nobody; if both took it, the task would be woken twice.
#[test]
fn reset_to_the_past_against_turn() {
    check(None, || {
        let time = Time::new();
        let mut driver = time.turner();
        let (task, other) = (Task::new(), Task::new());
        let sleep = task.sleep(driver.handle(), ns(10));
        let past = driver.handle().now() + ns(3);
        let _other = other.sleep(driver.handle(), ns(1));
        time.set(5);
        let (mut sleep, _) = at_once(reset(sleep, past), || driver.turn());

        assert_eq!((task.wakes(), other.wakes()), (1, 1));
        assert!(task.poll(&mut sleep));
        drop(sleep);
        assert_eq!(driver.handle().armed(), 0);
        assert!(task.is_released());
    });
}

/// A task takes a timer over from another while the driver fires it.
///
/// The new task is woken or sees that time is up. If the exchange found the timer gone and said
/// nothing, or went to an entry that the turn has emptied, neither would happen.
#[test]
fn poll_with_other_waker_against_turn() {
    check(None, || {
        let time = Time::new();
        let mut driver = time.turner();
        let (old, new) = (Task::new(), Task::new());
        let sleep = old.sleep(driver.handle(), ns(1));
        let ((sleep, ready), fired) = at_once(polled(sleep, &new), || {
            time.set(1);
            driver.turn().fired()
        });

        assert!(ready || new.wakes() == 1, "neither woken nor ready");
        assert_eq!(old.wakes() + new.wakes(), fired);
        drop(sleep);
        assert!(old.is_released() && new.is_released());
    });
}

/// A task polls a timer that holds its waker already, for which it asks no lock.
#[test]
fn poll_with_same_waker_against_turn() {
    check(None, || {
        let time = Time::new();
        let mut driver = time.turner();
        let task = Task::new();
        let sleep = task.sleep(driver.handle(), ns(1));
        let ((sleep, ready), fired) = at_once(polled(sleep, &task), || {
            time.set(1);
            driver.turn().fired()
        });

        assert!(ready || fired == 1);
        assert_eq!(task.wakes(), fired);
        drop(sleep);
        assert!(task.is_released());
    });
}

/// The driver's thread writes something, turns, and another thread finds the timer elapsed.
///
/// A thread that sees that a timer has ended also sees what came before. Otherwise
/// a result that a deadline hands over could be read while it is still being written.
#[test]
fn ready_sees_what_came_before_the_turn() {
    check(None, || {
        let time = Time::new();
        let mut driver = time.turner();
        let task = Task::new();
        let sleep = task.sleep(driver.handle(), ns(1));
        let result = Arc::new(AtomicU64::new(0));
        let shared = result.clone();
        let reader = move || {
            if sleep.is_elapsed() {
                assert_eq!(shared.load(Ordering::Relaxed), 7);
            }
            sleep
        };
        drop(at_once(reader, || {
            result.store(7, Ordering::Relaxed);
            time.set(1);
            driver.turn();
        }));
    });
}

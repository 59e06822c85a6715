//! Is anything lost when a hand moves, stops or releases time while drivers turn and park?
//!
//! `time::pause` and `resume` go by the driver that is entered on their thread. Loom runs all its
//! threads on one of the system's, so what one of them has entered, all have.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::{Clock, Driver, ManualClock, Park, time};
use loom::sync::Mutex;
use loom::sync::atomic::{AtomicU64, Ordering};

use super::support::{LONG, Race, Recorder, Room, Task, Time, at_once, check, ns, poll};

/// A driver that parks in a [`Room`], on a clock moved by hand.
fn driver(clock: &ManualClock) -> Driver<Room> {
    Driver::builder()
        .clock(clock)
        .build(Room::new(&Time::new()))
}

/// A clock that shows a time, and a driver on it that does not park.
fn running() -> (Time, Clock, Driver<()>) {
    let time = Time::new();
    let clock = time.clock();
    let builder = Driver::builder().clock(clock.clone());
    (time, clock, builder.build_with_unpark(|| {}))
}

/// Parks until `task` is woken.
fn park_until_woken(driver: &mut Driver<Room>, task: &Task) {
    while task.wakes() == 0 {
        driver.park();
    }
}

/// The loop of an executor that lets time pass by itself, until `task` is woken.
fn run(driver: &mut Driver<Room>, task: &Task) {
    while task.wakes() == 0 {
        driver.turn();
        if task.wakes() == 0 && !driver.advance_when_idle() {
            driver.park();
        }
    }
}

/// The driver turns while another thread moves its clock, so that two fire at once.
///
/// Batches leave the store under the lock, so each timer is in one of them, and what one thread
/// wakes it wakes in order. What it published when it let go of the lock must not send the other
/// thread back in time: `elapsed` only rises.
#[test]
fn two_turns_at_once() {
    check(Some(3), || {
        let clock = ManualClock::new();
        let mut driver = driver(&clock);
        let log = Recorder::log();
        let sleeps: Vec<_> = [3, 1, 2, 2]
            .into_iter()
            .map(|nanos| {
                let mut sleep = driver.handle().sleep(ns(nanos));
                assert!(!poll(&mut sleep, &Recorder::waker(nanos, &log)));
                sleep
            })
            .collect();
        let hand = move || clock.advance(ns(3));
        at_once(hand, || {
            driver.turn();
            driver.turn();
        });

        let log = log.lock().unwrap();
        let mut all: Vec<_> = log.iter().map(|(_, nanos)| *nanos).collect();
        all.sort_unstable();
        assert_eq!(all, [1, 2, 2, 3]);
        for (thread, _) in log.iter() {
            let own = log.iter().filter(|(other, _)| other == thread);
            assert!(own.map(|(_, nanos)| nanos).is_sorted());
        }
        assert!(sleeps.iter().all(|sleep| sleep.is_elapsed()));
        assert_eq!(driver.handle().armed(), 0);

        // The indices are free, and those who had them know that.
        let task = Task::new();
        let _next = [(); 4].map(|()| task.sleep(driver.handle(), ns(1)));
        drop(sleeps);
        assert_eq!(driver.handle().armed(), 4);
    });
}

/// Two hands move one clock; the one that is further ahead wins, and each timer fires once.
///
/// A step may be to a time that the other hand has left behind. If it went there, the clock would
/// go back, and timers that were made at the later time would fire long after they are due.
#[test]
fn two_advances_at_once() {
    check(Some(3), || {
        let clock = ManualClock::new();
        let driver = driver(&clock);
        let task = Task::new();
        let sleeps = [1, 2].map(|nanos| task.sleep(driver.handle(), ns(nanos)));
        let (start, hand) = (clock.now(), clock.clone());
        at_once(move || hand.advance(ns(2)), || clock.advance(ns(1)));

        assert_eq!(task.wakes(), 2);
        // Each started from where it found the clock.
        assert!((ns(2)..=ns(3)).contains(&(clock.now() - start)));
        drop(sleeps);
        assert!(task.is_released());
    });
}

/// Two hands move one clock to the next deadline: it is moved there once.
///
/// Each finds the same deadline. If a hand moved the clock by the time that it had left, and the
/// other was faster, it would move the clock as far again.
#[test]
fn two_advances_to_the_next_deadline_at_once() {
    check(Some(3), || {
        let clock = ManualClock::new();
        let driver = driver(&clock);
        let task = Task::new();
        let sleep = task.sleep(driver.handle(), ns(5));
        let (start, hand) = (clock.now(), clock.clone());
        let moved = at_once(move || hand.advance_to_next(), || clock.advance_to_next());
        assert!(moved.0 || moved.1);

        assert_eq!(clock.now() - start, ns(5));
        assert_eq!(task.wakes(), 1);
        drop(sleep);
    });
}

/// A thread that holds the clock wakes a future that is simulated, and ends its hold.
///
/// The executor finds nothing woken, or a hold on the clock. If it then moved time because the hold
/// is over, without asking again what was woken, an hour would pass although the answer is there.
#[test]
fn wake_and_end_of_a_hold_against_simulate() {
    check(Some(3), || {
        let clock = ManualClock::new();
        let (answer, hold) = (Answer::default(), clock.hold());
        let asked = answer.clone();
        let holder = move || {
            answer.give();
            drop(hold);
        };
        let limited = async { time::timeout(LONG, asked).await.is_ok() };
        let (_, (in_time, elapsed)) = at_once(holder, || clock.simulate(limited));
        assert!(in_time);
        assert_eq!(elapsed, ns(0));
    });
}

/// A future that is ready once the answer was given.
#[derive(Clone, Default)]
struct Answer(Arc<Mutex<(bool, Option<Waker>)>>);

impl Answer {
    fn give(&self) {
        let mut state = self.0.lock().unwrap();
        state.0 = true;
        let waker = state.1.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Future for Answer {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock().unwrap();
        if state.0 {
            return Poll::Ready(());
        }
        state.1 = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// A timer is armed while another thread moves the clock past its deadline.
///
/// Whichever comes first: the advance fires it, or the poll sees that it is due. If the last step
/// of an advance were to move time without looking at the store again, or a poll could arm what an
/// advance has passed, the timer would be left behind in the past, and an idle driver with it.
#[test]
fn arm_against_advance() {
    check(None, || {
        let clock = ManualClock::new();
        let driver = driver(&clock);
        let task = Task::new();
        let mut sleep = driver.handle().sleep(ns(5));
        let waker = task.waker();
        let armer = move || {
            let ready = poll(&mut sleep, &waker);
            (sleep, ready)
        };
        let ((sleep, ready), _) = at_once(armer, || clock.advance(ns(10)));

        assert!(ready || task.wakes() == 1, "passed by");
        drop(sleep);
        assert!(task.is_released());
    });
}

/// A deadline is brought forward while another thread moves the clock past it.
#[test]
fn reset_against_advance() {
    check(None, || {
        let clock = ManualClock::new();
        let driver = driver(&clock);
        let task = Task::new();
        let mut sleep = task.sleep(driver.handle(), ns(20));
        let earlier = clock.now() + ns(5);
        let resetter = move || {
            sleep.reset_at(earlier);
            sleep
        };
        let (mut sleep, _) = at_once(resetter, || clock.advance(ns(10)));

        assert_eq!(task.wakes(), 1);
        assert!(task.poll(&mut sleep));
        drop(sleep);
        assert!(task.is_released());
    });
}

/// A driver parks on a clock moved by hand; another thread arms a timer, and a third moves time.
///
/// The park has no timeout, because no wait makes a timer due. The driver's thread depends on the
/// wakers that the advance wakes, and on being interrupted for what the advance has not seen.
#[test]
fn arm_and_advance_against_park() {
    check(Some(2), || {
        let race = Race::new();
        let clock = ManualClock::new();
        let mut driver = driver(&clock);
        let task = Task::behind(driver.unparker());
        let mut sleep = driver.handle().sleep(ns(5));
        let waker = task.waker();
        let armer = race.spawn(move || {
            if poll(&mut sleep, &waker) {
                waker.wake();
            }
            sleep
        });
        let hand = race.spawn(move || clock.advance(ns(10)));
        race.enter();
        park_until_woken(&mut driver, &task);
        hand.join().unwrap();
        drop(armer.join().unwrap());
        assert_eq!(task.wakes(), 1);
    });
}

/// The last hold is dropped while the executor, kept from moving time, goes to sleep.
///
/// The drop must interrupt whatever the driver has announced: it has decided to park when it saw
/// the hold. If not, time would stand still with nobody holding it. Once time moves, what the
/// holder did is done for all to see; else a timeout would strike work that was in time.
#[test]
fn hold_drop_against_park() {
    check(None, || {
        let clock = ManualClock::new();
        let mut driver = driver(&clock);
        let task = Task::new();
        let _sleep = task.sleep(driver.handle(), ns(5));
        let work = Arc::new(AtomicU64::new(0));
        let (hold, result) = (clock.hold(), work.clone());
        let holder = move || {
            result.store(7, Ordering::Relaxed);
            drop(hold);
        };
        let (_, work) = at_once(holder, || {
            run(&mut driver, &task);
            work.load(Ordering::Relaxed)
        });
        assert_eq!(work, 7, "time moved without the work");
        assert_eq!(task.wakes(), 1);
    });
}

/// Two holds are dropped at once: the one that finds itself the last interrupts.
#[test]
fn two_hold_drops_against_park() {
    check(Some(3), || {
        let race = Race::new();
        let clock = ManualClock::new();
        let mut driver = driver(&clock);
        let task = Task::new();
        let _sleep = task.sleep(driver.handle(), ns(5));
        let holders = [clock.hold(), clock.hold()].map(|hold| race.spawn(move || drop(hold)));
        race.enter();
        run(&mut driver, &task);
        for holder in holders {
            holder.join().unwrap();
        }
        assert_eq!(task.wakes(), 1);
    });
}

/// A timer is armed by another thread after the executor has found that no deadline is to come,
/// and before it parks.
///
/// On a clock that runs, the park would be as long as the timer needs. Moved by hand, time waits
/// for the executor, which has to look at the deadlines again; parked for good, it never would.
#[test]
fn arm_against_idle_executor() {
    check(None, || {
        let clock = ManualClock::new();
        let mut driver = driver(&clock);
        let task = Task::behind(driver.unparker());
        let mut sleep = driver.handle().sleep(ns(5));
        let waker = task.waker();
        let armer = move || {
            assert!(!poll(&mut sleep, &waker));
            sleep
        };
        drop(at_once(armer, || run(&mut driver, &task)));
        assert_eq!(task.wakes(), 1);
    });
}

/// The only timer is dropped and a later one armed by another thread, while the executor looks for
/// deadlines and parks.
///
/// The executor may have announced a wait until the first, and have found none. The second is later
/// than what was announced, and must interrupt all the same: nobody but the executor moves time.
#[test]
fn drop_and_arm_against_idle_executor() {
    check(Some(3), || {
        let clock = ManualClock::new();
        let mut driver = driver(&clock);
        let (first, second) = (Task::new(), Task::behind(driver.unparker()));
        let sleep = first.sleep(driver.handle(), ns(5));
        let until = clock.now() + ns(7);
        let (handle, waker) = (driver.handle().clone(), second.waker());
        let armer = move || {
            drop(sleep);
            let mut sleep = handle.sleep_until(until);
            assert!(!poll(&mut sleep, &waker));
            sleep
        };
        drop(at_once(armer, || run(&mut driver, &second)));
        assert_eq!(second.wakes(), 1);
        assert!(first.is_released() && second.is_released());
    });
}

/// Time is paused while the executor goes to sleep for a timer far off.
///
/// Paused, it has to move on by itself, and so must be interrupted; else the hour would be waited
/// for, with nothing left to do.
#[test]
fn pause_against_park() {
    check(None, || {
        let mut driver = Time::new().driver();
        let _entered = driver.handle().enter();
        let task = Task::new();
        let _sleep = task.sleep(driver.handle(), LONG);
        at_once(time::pause, || run(&mut driver, &task));
        assert_eq!(task.wakes(), 1);
    });
}

/// Paused time is resumed while the driver goes to sleep for a timer that is near.
///
/// While time stands the driver parks for good; running again, it has to be told, or would sleep
/// through the deadline.
#[test]
fn resume_against_park() {
    check(None, || {
        let mut driver = Time::new().driver();
        let _entered = driver.handle().enter();
        let task = Task::new();
        let _sleep = task.sleep(driver.handle(), ns(10));
        time::pause();
        at_once(time::resume, || park_until_woken(&mut driver, &task));
        assert_eq!(task.wakes(), 1);
    });
}

/// Time is resumed while other threads read it: it goes on from where it stood.
///
/// A thread that saw the clock run but not by how much it was shifted would see the time of the
/// pause pass at once.
#[test]
fn resume_against_now() {
    check(None, || {
        let (time, clock, driver) = running();
        let _entered = driver.handle().enter();
        let start = clock.now();
        time::pause();
        time.set(1000);
        at_once(time::resume, || assert_eq!(clock.now() - start, ns(0)));
        assert_eq!(clock.now() - start, ns(0));
    });
}

/// A clock with a function is paused while other threads read it: it stands at the latest time that
/// a thread has seen, or later.
///
/// A thread that has read the clock before the pause raises the latest time, and then looks whether
/// the clock was paused; the pause announces itself, and then reads the latest time. One of the two
/// has to see what the other has done.
#[test]
fn pause_against_now() {
    check(None, || {
        let (time, clock, driver) = running();
        let _entered = driver.handle().enter();
        time.set(5);
        let reader = clock.clone();
        let reader = move || {
            time.set(9);
            reader.now()
        };
        let (seen, ()) = at_once(reader, time::pause);
        assert!(seen <= clock.now(), "the clock went back");
    });
}

/// Time is resumed while an executor, idle, moves it on to the next deadline.
///
/// The clock must run after that. If the executor's last step came on top of the resume, it would
/// stand still again, and nobody would know.
#[test]
fn resume_against_idle_executor() {
    check(Some(3), || {
        let (time, clock, mut driver) = running();
        let _entered = driver.handle().enter();
        let task = Task::new();
        let _sleep = task.sleep(driver.handle(), ns(10));
        time::pause();
        at_once(time::resume, || driver.advance_when_idle());

        let resumed = clock.now();
        time.set(1000);
        assert_eq!(clock.now() - resumed, ns(1000));
    });
}

/// Time moves at the moment when a hold on it is taken: before that or not at all.
#[test]
fn hold_against_idle_executor() {
    check(None, || {
        let clock = ManualClock::new();
        let mut driver = driver(&clock);
        let task = Task::new();
        let sleep = task.sleep(driver.handle(), ns(10));
        let ((_, driver), (hold, now)) = at_once(
            move || (driver.advance_when_idle(), driver),
            || (clock.hold(), clock.now()),
        );
        assert_eq!(clock.now(), now);
        drop((hold, sleep, driver));
    });
}

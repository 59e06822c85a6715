//! Timers that are armed without the driver's lock, in the entry and with the slot of one that was
//! dropped.

use super::close::{ending_and_successor, inherits};
use super::support::{Loop, Race, Recorder, Task, Time, check, ns, poll};
use crate::Handle;

/// Leaves the driver with two free entries, all that its chunk has. Each owns a slot, filed at 1
/// and 2, and the next timer adopts the latter.
fn leave_two_slots(handle: &Handle) {
    let task = Task::new();
    drop([1, 2].map(|wait| task.sleep(handle, ns(wait))));
    // A timer that is armed under the lock finds that its slot is filed early enough.
    drop(task.sleep(handle, ns(2)));
}

/// A turn gets to a slot while a timer adopts it.
///
/// Either the turn files the slot anew, at the timer's deadline; or it drops the slot, and the
/// timer needs one of its own. If the entry did not tell that it has lost its slot, the timer would
/// never fire.
#[test]
fn adoption_against_a_turn_that_gets_to_the_slot() {
    check(None, || {
        let race = Race::new();
        let time = Time::new();
        let mut driver = time.turner();
        leave_two_slots(driver.handle());
        let task = Task::new();
        let (mut sleep, waker) = (driver.handle().sleep(ns(5)), task.waker());
        time.set(2);
        let poller = race.spawn(move || {
            assert!(!poll(&mut sleep, &waker), "early");
            sleep
        });
        race.enter();
        assert_eq!(driver.turn().fired(), 0);
        let mut sleep = poller.join().unwrap();

        assert_eq!(driver.handle().armed(), 1);
        time.set(5);
        assert_eq!((driver.turn().fired(), task.wakes()), (1, 1));
        assert!(task.poll(&mut sleep));
        drop(sleep);
        assert!(task.is_released());
    });
}

/// Three timers with equal deadlines are armed while a turn gets to the slots that two of them
/// adopt; the third one needs another chunk.
///
/// They fire in the order in which they were armed, whatever slots they have found. If a timer left
/// by the place of the slot that it adopted, or a chunk began to count anew, another one would
/// overtake it.
#[test]
fn equal_deadlines_keep_their_order_when_they_adopt_slots() {
    check(None, || {
        let race = Race::new();
        let time = Time::new();
        let mut driver = time.turner();
        leave_two_slots(driver.handle());
        let log = Recorder::log();
        let sleeps = [1, 2, 3].map(|name| {
            let sleep = driver.handle().sleep(ns(5));
            (sleep, Recorder::waker(name, &log))
        });
        time.set(2);
        let poller = race.spawn(move || {
            sleeps.map(|(mut sleep, waker)| {
                assert!(!poll(&mut sleep, &waker), "early");
                sleep
            })
        });
        race.enter();
        driver.turn();
        let _sleeps = poller.join().unwrap();

        time.set(5);
        assert_eq!(driver.turn().fired(), 3);
        let names: Vec<_> = log.lock().unwrap().iter().map(|&(_, name)| name).collect();
        assert_eq!(names, [1, 2, 3]);
    });
}

/// Two threads arm two timers each, all with one deadline, and one of them makes another chunk the
/// current one.
///
/// What each thread has armed fires in its order. If the chunk began to count anew, a timer would
/// overtake one that its thread has armed before.
#[test]
fn equal_deadlines_keep_their_order_when_the_current_chunk_changes() {
    check(Some(3), || {
        let race = Race::new();
        let time = Time::new();
        let mut driver = time.turner();
        leave_two_slots(driver.handle());
        let log = Recorder::log();
        let timers = |names: [u64; 2]| {
            names.map(|name| {
                let sleep = driver.handle().sleep(ns(5));
                (sleep, Recorder::waker(name, &log))
            })
        };
        let arm = |timers: [(crate::time::Sleep, std::task::Waker); 2]| {
            timers.map(|(mut sleep, waker)| {
                assert!(!poll(&mut sleep, &waker), "early");
                sleep
            })
        };
        let (there, here) = (timers([1, 2]), timers([3, 4]));
        let poller = race.spawn(move || arm(there));
        race.enter();
        let here = arm(here);
        let there = poller.join().unwrap();

        assert_eq!(driver.handle().shared.entries(), 4);
        time.set(5);
        // The first turn is cut, since it has to file two slots anew.
        assert_eq!(driver.turn().fired() + driver.turn().fired(), 4);
        let names: Vec<_> = log.lock().unwrap().iter().map(|&(_, name)| name).collect();
        let at = |name| names.iter().position(|&other| other == name);
        assert!(at(1) < at(2) && at(3) < at(4), "{names:?}");
        drop((there, here));
    });
}

/// A timer is dropped while another one takes the last free entry of its chunk, or finds none.
///
/// If the chunk were not noted as one with a free entry, that entry would be lost.
#[test]
fn drop_against_the_end_of_a_chunk() {
    check(None, || {
        let race = Race::new();
        let time = Time::new();
        let mut driver = time.turner();
        let task = Task::new();
        let [first, second] = [1, 2].map(|wait| task.sleep(driver.handle(), ns(wait)));
        let (mut third, waker) = (driver.handle().sleep(ns(3)), task.waker());
        let poller = race.spawn(move || {
            assert!(!poll(&mut third, &waker), "early");
            third
        });
        race.enter();
        drop(first);
        let third = poller.join().unwrap();

        assert_eq!(driver.handle().armed(), 2);
        let more = [4, 5].map(|wait| task.sleep(driver.handle(), ns(wait)));
        assert_eq!(driver.handle().shared.entries(), 4, "an entry is lost");
        time.set(5);
        assert_eq!((driver.turn().fired(), task.wakes()), (4, 4));
        drop((second, third, more));
        assert!(task.is_released());
    });
}

/// A thread knows which chunk is the current one, and comes to its lock when it is that no longer,
/// but has a free entry again.
///
/// If it took that entry, a thread that goes on to this chunk because it is available would find it
/// full, and its timer would not be armed.
#[test]
fn adoption_against_a_change_of_the_current_chunk() {
    check(Some(2), || {
        let race = Race::new();
        let time = Time::new();
        let mut driver = time.turner();
        leave_two_slots(driver.handle());
        let task = Task::new();
        let (mut late, waker) = (driver.handle().sleep(ns(5)), task.waker());
        let poller = race.spawn(move || {
            assert!(!poll(&mut late, &waker), "early");
            late
        });
        race.enter();
        let mut sleeps = vec![];
        for nth in 0..5 {
            sleeps.push(task.sleep(driver.handle(), ns(5)));
            if nth == 2 {
                drop(sleeps.remove(0));
            }
        }
        let late = poller.join().unwrap();

        assert_eq!(driver.handle().armed(), 5);
        time.set(5);
        assert_eq!(driver.turn().fired() + driver.turn().fired(), 5);
        assert_eq!(task.wakes(), 5);
        drop((sleeps, late));
        assert!(task.is_released());
    });
}

/// A timer adopts a slot while its driver is dropped.
///
/// It is among those that the drop wakes, or the poll is told and moves it on.
#[test]
fn driver_drop_against_adoption() {
    check(None, || {
        let race = Race::new();
        let time = Time::new();
        let (ending, mut successor, _entered) = ending_and_successor(&time);
        leave_two_slots(ending.handle());
        let task = Task::new();
        let (mut sleep, waker) = (ending.handle().sleep(ns(5)), task.waker());
        let poller = race.spawn(move || {
            assert!(!poll(&mut sleep, &waker), "early");
            sleep
        });
        race.enter();
        drop(ending);
        let sleep = poller.join().unwrap();

        let armed = successor.handle().armed();
        assert_eq!(task.wakes() + armed, 1, "lost, or both");
        inherits(&mut successor, &time, &task, sleep);
    });
}

/// The clock begins to be one that may be paused while a timer adopts a slot.
///
/// The loop has to know the deadline of the timer, whatever slot that has. If it did not, time would
/// jump to the deadline of one that was dropped.
#[test]
fn adoption_while_cancellations_begin_to_count() {
    check(Some(3), || {
        let event_loop = Loop::new(1, false);
        let handle = event_loop.runtime.handle(0);
        leave_two_slots(&handle);
        let task = Task::new();
        let mut sleep = handle.sleep(ns(30));
        let race = Race::new();
        let changing = {
            let event_loop = event_loop.clone();
            race.spawn(move || {
                event_loop.runtime.set_notify_on_cancel(true);
                event_loop.runtime.expire();
            })
        };
        race.enter();
        assert!(!task.poll(&mut sleep));
        changing.join().unwrap();
        assert_eq!(event_loop.at(), 30);
        assert!(event_loop.turn());
        assert_eq!(task.wakes(), 1);
    });
}

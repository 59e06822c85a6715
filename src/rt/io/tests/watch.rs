//! When I/O ends the park of a worker.

use super::*;
use crate::park::worker::WorkerPark;

#[test]
fn more_events_than_a_batch_wake_their_tasks_batch_by_batch() {
    watched(|| {
        let reactor = reactor();
        let pipes: Vec<_> = (0..700).map(|_| piped(&reactor)).collect();
        let task = Task::new();
        for (reader, mut writer) in pipes.iter().map(|(reader, writer)| (reader, writer)) {
            assert!(reader.poll_readable(&mut task.context()).is_pending());
            writer.write_all(b"x").unwrap();
        }
        let park = worker_park(1, reactor.io_source()).unwrap();
        park.set_io(true);
        for woken in [256, 512, 700] {
            park.park();
            reactor.poll();
            assert_eq!(task.wakes(), woken);
        }
    });
}

/// One that takes I/O while it is parked, and one that has to be unparked for it.
fn parkers(reactor: &Reactor) -> [Arc<Box<dyn WorkerPark>>; 2] {
    let make = || Arc::new(worker_park(2, reactor.io_source()).unwrap());
    let (taking, other) = (make(), make());
    other.review_io(true);
    assert!(taking.sets_io_while_parked() && !other.sets_io_while_parked());
    [taking, other]
}

/// An event passes through each instance in which the source is nested.
#[test]
fn with_more_than_two_workers_the_source_is_nested_nowhere_at_first() {
    let reactor = reactor();
    for workers in [1, 2, 3, 16] {
        let park = worker_park(workers, reactor.io_source()).unwrap();
        assert_eq!(park.sets_io_while_parked(), workers == 2, "{workers}");
    }
}

/// Parks on a thread of its own. Returns when the park has begun, or is about to.
fn parking<T: Send + 'static>(
    park: &Arc<Box<dyn WorkerPark>>,
    after: impl FnOnce() -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    let (parking, (starts, started)) = (park.clone(), channel());
    let thread = thread::spawn(move || {
        starts.send(()).unwrap();
        parking.park();
        after()
    });
    started.recv().unwrap();
    thread
}

fn now() -> u64 {
    system::monotonic().cast_unsigned()
}

#[test]
fn io_ends_the_park_of_a_worker_that_waits_for_it_and_of_no_other() {
    watched(|| {
        let reactor = reactor();
        for (waiting, other) in parkers(&reactor).into_iter().zip(parkers(&reactor)) {
            let ((reader, mut writer), task) = (piped(&reactor), Task::new());
            assert!(reader.poll_readable(&mut task.context()).is_pending());
            writer.write_all(b"x").unwrap();
            waiting.set_io(true);
            // I/O ends each park until it is collected.
            waiting.park();
            waiting.park();
            let at = now() + 2_000_000;
            other.set_timeout(at);
            other.park();
            assert!(now() >= at, "unparked by the I/O");
            reactor.poll();
            let at = now() + 2_000_000;
            waiting.set_timeout(at);
            waiting.park();
            assert!(now() >= at, "unparked by I/O that was collected");
        }
    });
}

#[test]
fn timeout_and_unpark_end_the_park_of_a_worker_that_waits_for_io() {
    watched(|| {
        let reactor = reactor();
        for park in parkers(&reactor) {
            park.set_io(true);
            for _ in 0..100 {
                park.set_timeout(NEVER);
                let thread = parking(&park, || {});
                park.unpark();
                thread.join().unwrap();
                // The unpark is used up, whether it came before the park or during it.
                let at = now() + 200_000;
                park.set_timeout(at);
                park.park();
                assert!(now() >= at, "unparked twice");
            }
        }
    });
}

#[test]
fn a_wait_for_io_that_begins_during_a_park_takes_effect() {
    watched(|| {
        let reactor = reactor();
        let ((reader, mut writer), task) = (piped(&reactor), Task::new());
        assert!(reader.poll_readable(&mut task.context()).is_pending());
        writer.write_all(b"x").unwrap();
        for _ in 0..1_000 {
            for park in parkers(&reactor) {
                let thread = parking(&park, || {});
                let must_unpark = park.set_io(true);
                assert_eq!(
                    must_unpark,
                    !park.sets_io_while_parked(),
                    "asked for an unpark"
                );
                if must_unpark {
                    park.unpark();
                }
                thread.join().unwrap();
            }
        }
    });
}

#[test]
fn a_wait_for_io_that_ends_during_a_park_takes_effect() {
    watched(|| {
        let reactor = reactor();
        for _ in 0..100 {
            let [park, _] = parkers(&reactor);
            let ((reader, mut writer), task) = (piped(&reactor), Task::new());
            assert!(reader.poll_readable(&mut task.context()).is_pending());
            park.set_io(true);
            park.set_timeout(NEVER);
            let thread = parking(&park, now);
            park.set_io(false);
            writer.write_all(b"x").unwrap();
            let at = now() + 200_000;
            park.set_timeout(at);
            assert!(thread.join().unwrap() >= at, "unparked by I/O");
        }
    });
}

#[test]
fn worker_that_is_often_unparked_for_io_is_unparked_for_it_no_longer() {
    watched(|| {
        let reactor = reactor();
        let [_, park] = parkers(&reactor);
        let ((reader, mut writer), task) = (piped(&reactor), Task::new());
        assert!(reader.poll_readable(&mut task.context()).is_pending());
        writer.write_all(b"x").unwrap();
        let mut unparks = 0;
        while !park.sets_io_while_parked() {
            let thread = parking(&park, || {});
            if park.set_io(true) {
                park.unpark();
                unparks += 1;
            }
            thread.join().unwrap();
            // It parks again, and waits for the I/O, which is there.
            park.park();
            park.set_io(false);
        }
        assert!(unparks >= 8, "{unparks}");
        let thread = parking(&park, || {});
        assert!(!park.set_io(true));
        thread.join().unwrap();
        // And none ends its park while it does not wait for any.
        park.set_io(false);
        let at = now() + 2_000_000;
        park.set_timeout(at);
        park.park();
        assert!(now() >= at, "unparked by the I/O");
        // It is unparked again if it seldom waits.
        park.review_io(false);
        park.review_io(false);
        assert!(!park.sets_io_while_parked() && park.set_io(true));
    });
}

/// Another thread has it review that while it may be blocked: the I/O must not be taken away then.
#[test]
fn worker_that_waits_for_io_when_it_is_reviewed_takes_it_on() {
    let reactor = reactor();
    let [park, _] = parkers(&reactor);
    park.set_io(true);
    park.review_io(false);
    park.review_io(false);
    assert!(park.sets_io_while_parked());
    park.set_io(false);
    park.review_io(false);
    assert!(!park.sets_io_while_parked());
}

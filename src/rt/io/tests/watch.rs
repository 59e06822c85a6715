//! When I/O ends the park of a worker.

use super::*;

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

#[test]
fn io_ends_the_park_of_a_worker_that_waits_for_it_and_of_no_other() {
    watched(|| {
        let reactor = reactor();
        let ((reader, mut writer), task) = (piped(&reactor), Task::new());
        assert!(reader.poll_readable(&mut task.context()).is_pending());
        writer.write_all(b"x").unwrap();
        let now = || system::monotonic().cast_unsigned();
        let (waiting, other) = (
            worker_park(2, reactor.io_source()).unwrap(),
            worker_park(2, reactor.io_source()).unwrap(),
        );
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
            let park = Arc::new(worker_park(2, reactor.io_source()).unwrap());
            let (parking, (starts, started)) = (park.clone(), channel());
            let thread = thread::spawn(move || {
                starts.send(()).unwrap();
                parking.park();
            });
            started.recv().unwrap();
            assert!(!park.set_io(true), "asked for an unpark");
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_wait_for_io_that_ends_during_a_park_takes_effect() {
    watched(|| {
        let reactor = reactor();
        for _ in 0..100 {
            let ((reader, mut writer), task) = (piped(&reactor), Task::new());
            assert!(reader.poll_readable(&mut task.context()).is_pending());
            let park = Arc::new(worker_park(2, reactor.io_source()).unwrap());
            park.set_io(true);
            park.set_timeout(NEVER);
            let (parking, (starts, started)) = (park.clone(), channel());
            let thread = thread::spawn(move || {
                starts.send(()).unwrap();
                parking.park();
                system::monotonic().cast_unsigned()
            });
            started.recv().unwrap();
            park.set_io(false);
            writer.write_all(b"x").unwrap();
            let at = system::monotonic().cast_unsigned() + 200_000;
            park.set_timeout(at);
            assert!(thread.join().unwrap() >= at, "unparked by I/O");
        }
    });
}

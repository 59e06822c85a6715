//! When does I/O end the sleep of a worker?

use super::*;

#[test]
fn more_than_a_batch_is_told_batch_by_batch() {
    watched(|| {
        let reactor = reactor();
        let pipes: Vec<_> = (0..700).map(|_| piped(&reactor)).collect();
        let task = Task::new();
        for (reader, mut writer) in pipes.iter().map(|(reader, writer)| (reader, writer)) {
            assert!(reader.poll_readable(&mut task.context()).is_pending());
            writer.write_all(b"x").unwrap();
        }
        let bed = Bed::new(1, &reactor).unwrap();
        bed.set_watch(true);
        for told in [256, 512, 700] {
            bed.sleep();
            reactor.poll();
            assert_eq!(task.wakes(), told);
        }
    });
}

#[test]
fn io_ends_the_sleep_of_who_watches_and_of_nobody_else() {
    watched(|| {
        let reactor = reactor();
        let ((reader, mut writer), task) = (piped(&reactor), Task::new());
        assert!(reader.poll_readable(&mut task.context()).is_pending());
        writer.write_all(b"x").unwrap();
        let now = || system::monotonic().cast_unsigned();
        let (watching, not) = (
            Bed::new(2, &reactor).unwrap(),
            Bed::new(2, &reactor).unwrap(),
        );
        watching.set_watch(true);
        // Until somebody collects it.
        watching.sleep();
        watching.sleep();
        let at = now() + 2_000_000;
        not.set_alarm(at);
        not.sleep();
        assert!(now() >= at, "woken by the I/O");
        reactor.poll();
        let at = now() + 2_000_000;
        watching.set_alarm(at);
        watching.sleep();
        assert!(now() >= at, "woken by I/O that was collected");
    });
}

#[test]
fn a_watch_set_during_a_sleep_takes_effect() {
    watched(|| {
        let reactor = reactor();
        let ((reader, mut writer), task) = (piped(&reactor), Task::new());
        assert!(reader.poll_readable(&mut task.context()).is_pending());
        writer.write_all(b"x").unwrap();
        for _ in 0..1_000 {
            let bed = Arc::new(Bed::new(2, &reactor).unwrap());
            let (sleeping, (lying, lies)) = (bed.clone(), channel());
            let thread = thread::spawn(move || {
                lying.send(()).unwrap();
                sleeping.sleep();
            });
            lies.recv().unwrap();
            assert!(!bed.set_watch(true), "asked for a wake");
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_watch_ended_during_a_sleep_takes_effect() {
    watched(|| {
        let reactor = reactor();
        for _ in 0..100 {
            let ((reader, mut writer), task) = (piped(&reactor), Task::new());
            assert!(reader.poll_readable(&mut task.context()).is_pending());
            let bed = Arc::new(Bed::new(2, &reactor).unwrap());
            bed.set_watch(true);
            bed.set_alarm(NEVER);
            let (sleeping, (lying, lies)) = (bed.clone(), channel());
            let thread = thread::spawn(move || {
                lying.send(()).unwrap();
                sleeping.sleep();
                system::monotonic().cast_unsigned()
            });
            lies.recv().unwrap();
            bed.set_watch(false);
            writer.write_all(b"x").unwrap();
            let at = system::monotonic().cast_unsigned() + 200_000;
            bed.set_alarm(at);
            assert!(thread.join().unwrap() >= at, "woken by I/O");
        }
    });
}

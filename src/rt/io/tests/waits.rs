//! The events that end a wait, and the tasks that they wake.

use super::*;

#[test]
fn descriptor_that_is_ready_already_ends_the_wait() {
    let reactor = reactor();
    let ((reader, mut writer), task) = (piped(&reactor), Task::new());
    writer.write_all(b"x").unwrap();
    let mut wait = reader.readable();
    assert!(task.poll(&mut wait).is_pending());
    reactor.poll();
    assert_eq!((task.wakes(), task.held()), (1, 0));
    assert!(is_ok(task.poll(&mut wait)));
}

#[test]
fn descriptor_that_becomes_ready_ends_the_wait() {
    watched(|| {
        let reactor = reactor();
        let (reader, mut writer) = piped(&reactor);
        let thread = thread::spawn(move || writer.write_all(b"x").unwrap());
        run(&reactor, reader.readable()).unwrap();
        assert_eq!(reader.get_ref().read(&mut [0; 2]).unwrap(), 1);
        thread.join().unwrap();
    });
}

#[test]
fn each_wait_gets_one_event() {
    let reactor = reactor();
    let ((reader, mut writer), task) = (piped(&reactor), Task::new());
    writer.write_all(b"x").unwrap();
    for round in 1..4 {
        let mut wait = reader.readable();
        assert!(task.poll(&mut wait).is_pending());
        assert!(task.poll(&mut wait).is_pending());
        reactor.poll();
        reactor.poll();
        assert_eq!(task.wakes(), round);
        assert!(is_ok(task.poll(&mut wait)));
    }
    reactor.poll();
    assert_eq!(task.wakes(), 3);
}

#[test]
fn all_tasks_that_wait_are_woken() {
    let reactor = reactor();
    let (reader, mut writer) = piped(&reactor);
    let tasks: Vec<Task> = (0..5).map(|_| Task::new()).collect();
    let mut waits: Vec<_> = tasks.iter().map(|_| reader.readable()).collect();
    for (task, wait) in tasks.iter().zip(&mut waits) {
        assert!(task.poll(wait).is_pending());
    }
    let polling = Task::new();
    assert!(reader.poll_readable(&mut polling.context()).is_pending());
    writer.write_all(b"x").unwrap();
    reactor.poll();
    for (task, wait) in tasks.iter().zip(&mut waits) {
        assert_eq!(task.wakes(), 1);
        assert!(is_ok(task.poll(wait)));
    }
    assert_eq!(polling.wakes(), 1);
    assert!(is_ok(reader.poll_readable(&mut polling.context())));
    assert!(reader.poll_readable(&mut polling.context()).is_pending());
}

#[test]
fn wait_that_is_dropped_drops_its_waker_and_no_other() {
    let reactor = reactor();
    let (reader, mut writer) = piped(&reactor);
    let (dropped, other) = (Task::new(), Task::new());
    let (mut first, mut second) = (reader.readable(), reader.readable());
    assert!(dropped.poll(&mut first).is_pending());
    assert!(other.poll(&mut second).is_pending());
    drop(first);
    assert_eq!((dropped.held(), other.held()), (0, 1));
    writer.write_all(b"x").unwrap();
    reactor.poll();
    assert_eq!((dropped.wakes(), other.wakes()), (0, 1));
    // Its event came, and it is dropped before it is polled: each of the others got its own.
    drop(second);
    assert_eq!(other.held(), 0);
}

#[test]
fn wait_goes_on_after_one_before_it_was_dropped() {
    let reactor = reactor();
    let ((reader, mut writer), task) = (piped(&reactor), Task::new());
    // What the kernel was asked for stays asked for when this is dropped.
    let _ = task.poll(&mut reader.readable());
    let mut wait = reader.readable();
    assert!(task.poll(&mut wait).is_pending());
    writer.write_all(b"x").unwrap();
    reactor.poll();
    assert!(is_ok(task.poll(&mut wait)));
    // An event that no task waits for, and then another wait.
    let _ = task.poll(&mut reader.readable());
    reactor.poll();
    let mut wait = reader.readable();
    assert!(task.poll(&mut wait).is_pending());
    reactor.poll();
    assert!(is_ok(task.poll(&mut wait)));
}

#[test]
fn wait_that_moves_to_another_task_wakes_that_task() {
    let reactor = reactor();
    let (reader, mut writer) = piped(&reactor);
    let (first, second) = (Task::new(), Task::new());
    let mut wait = reader.readable();
    assert!(first.poll(&mut wait).is_pending());
    assert!(second.poll(&mut wait).is_pending());
    assert_eq!((first.held(), second.held()), (0, 1));
    writer.write_all(b"x").unwrap();
    reactor.poll();
    assert_eq!((first.wakes(), second.wakes()), (0, 1));
}

#[test]
fn task_that_is_displaced_is_woken() {
    let reactor = reactor();
    let (reader, _writer) = piped(&reactor);
    let (first, second) = (Task::new(), Task::new());
    assert!(reader.poll_readable(&mut first.context()).is_pending());
    assert!(reader.poll_readable(&mut second.context()).is_pending());
    assert_eq!((first.wakes(), first.held()), (1, 0));
    assert_eq!((second.wakes(), second.held()), (0, 1));
}

#[test]
fn event_of_one_direction_leaves_the_other_waiting() {
    let reactor = reactor();
    let (here, mut there) = full(&reactor);
    let (reading, writing) = (Task::new(), Task::new());
    let (mut read, mut write) = (here.readable(), here.writable());
    assert!(reading.poll(&mut read).is_pending());
    assert!(writing.poll(&mut write).is_pending());
    there.write_all(b"x").unwrap();
    reactor.poll();
    assert!(is_ok(reading.poll(&mut read)));
    assert_eq!(writing.wakes(), 0);
    assert!(writing.poll(&mut write).is_pending());
    there.set_nonblocking(true).unwrap();
    while there.read(&mut [0; 65_536]).is_ok() {}
    reactor.poll();
    assert_eq!(writing.wakes(), 1);
    assert!(is_ok(writing.poll(&mut write)));
}

#[test]
fn hang_up_ends_the_waits_of_readers_and_writers() {
    let reactor = reactor();
    let (here, there) = full(&reactor);
    let (reading, writing) = (Task::new(), Task::new());
    let (mut read, mut write) = (here.readable(), here.writable());
    assert!(reading.poll(&mut read).is_pending());
    assert!(writing.poll(&mut write).is_pending());
    drop(there);
    reactor.poll();
    assert!(is_ok(reading.poll(&mut read)));
    assert!(is_ok(writing.poll(&mut write)));
}

#[test]
fn operation_is_tried_first_and_repeated_when_it_is_interrupted() {
    watched(|| {
        let reactor = reactor();
        let (reader, _writer) = piped(&reactor);
        let mut results = vec![
            Ok(7),
            Err(io::ErrorKind::Interrupted),
            Err(io::ErrorKind::Interrupted),
        ];
        let operation = |_: &PipeReader| Ok(results.pop().unwrap()?);
        assert_eq!(run(&reactor, reader.read_with(operation)).unwrap(), 7);
        let refused = |_: &PipeReader| Err::<(), _>(io::ErrorKind::AddrInUse.into());
        let error = run(&reactor, reader.read_with(refused)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    });
}

#[test]
fn two_tasks_pass_a_megabyte_through_a_socket() {
    watched(|| {
        let (reactor, (here, there)) = (reactor(), UnixStream::pair().unwrap());
        here.set_nonblocking(true).unwrap();
        there.set_nonblocking(true).unwrap();
        let (here, there) = (register(&reactor, here), register(&reactor, there));
        let writer = async {
            let mut left = 1 << 20;
            while left > 0 {
                let bytes = vec![7; left.min(10_000)];
                left -= here.write_with(|mut io| io.write(&bytes)).await.unwrap();
            }
            drop(here);
        };
        let reader = async {
            let (mut read, mut buffer) = (0, [0; 3_000]);
            loop {
                match there
                    .read_with(|mut io| io.read(&mut buffer))
                    .await
                    .unwrap()
                {
                    0 => return read,
                    len => read += len,
                }
            }
        };
        let ((), read) = run(&reactor, futures::future::join(writer, reader));
        assert_eq!(read, 1 << 20);
    });
}

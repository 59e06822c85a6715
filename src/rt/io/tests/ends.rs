//! Descriptors that are refused, and waits that no event ends.

use super::*;

#[test]
fn files_that_cannot_be_waited_for_are_refused() {
    let reactor = reactor();
    let file = File::open("/proc/self/exe").unwrap();
    let error = AsyncFd::with_reactor(file, reactor.clone()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    assert!(error.to_string().contains("regular files"), "{error}");

    let (reader, _writer) = pipe().unwrap();
    let _once = register(&reactor, &reader);
    let error = AsyncFd::with_reactor(&reader, reactor.clone()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    assert!(reactor.has_registrations());
}

#[test]
fn descriptor_that_replaced_another_is_not_waited_for() {
    let (reactor, task) = (reactor(), Task::new());
    for waited_before in [false, true] {
        let ((mut reader, _first), (second, _second)) = (piped(&reactor), pipe().unwrap());
        if waited_before {
            // The kernel was asked for an event of this descriptor, which is closed soon.
            assert!(task.poll(&mut reader.readable()).is_pending());
        }
        *reader.get_mut() = second;
        let mut wait = reader.readable();
        assert_eq!(kind(task.poll(&mut wait)), io::ErrorKind::NotFound);
        assert_eq!(task.held(), 0);
    }
    assert!(!reactor.has_registrations());
}

#[test]
fn descriptors_that_are_swapped_are_waited_for_where_they_are() {
    let (reactor, one, other) = (reactor(), Task::new(), Task::new());
    let ((mut first, mut to_first), (mut second, _to_second)) = (piped(&reactor), piped(&reactor));
    assert!(one.poll(&mut first.readable()).is_pending());
    assert!(other.poll(&mut second.readable()).is_pending());
    std::mem::swap(first.get_mut(), second.get_mut());
    let (mut first, mut second) = (first.readable(), second.readable());
    assert!(one.poll(&mut first).is_pending());
    assert!(other.poll(&mut second).is_pending());
    to_first.write_all(b"x").unwrap();
    reactor.poll();
    assert!(is_ok(other.poll(&mut second)));
    assert!(one.poll(&mut first).is_pending());
}

#[test]
fn changing_the_owner_of_a_descriptor_has_its_tasks_wait_anew() {
    let reactor = reactor();
    let (mut here, mut there) = full(&reactor);
    let (reading, writing) = (Task::new(), Task::new());
    assert!(here.poll_writable(&mut writing.context()).is_pending());
    let _changed = here.get_mut();
    assert_eq!((writing.wakes(), writing.held()), (1, 0));
    assert!(here.poll_readable(&mut reading.context()).is_pending());
    assert!(here.poll_writable(&mut writing.context()).is_pending());
    there.set_nonblocking(true).unwrap();
    while there.read(&mut [0; 65_536]).is_ok() {}
    reactor.poll();
    assert!(is_ok(here.poll_writable(&mut writing.context())));
}

#[test]
fn task_that_polls_while_its_descriptor_is_replaced_gets_an_error() {
    let (reactor, task) = (reactor(), Task::new());
    let ((mut reader, _first), (second, mut to_second)) = (piped(&reactor), pipe().unwrap());
    assert!(reader.poll_readable(&mut task.context()).is_pending());
    *reader.get_mut() = second;
    to_second.write_all(b"x").unwrap();
    assert_eq!((task.wakes(), task.held()), (1, 0));
    let polled = reader.poll_readable(&mut task.context());
    assert_eq!(kind(polled), io::ErrorKind::NotFound);
}

#[test]
fn tasks_that_poll_while_their_descriptors_are_swapped_wait_for_those() {
    let (reactor, one, other) = (reactor(), Task::new(), Task::new());
    let ((mut first, mut to_first), (mut second, _to_second)) = (piped(&reactor), piped(&reactor));
    assert!(first.poll_readable(&mut one.context()).is_pending());
    assert!(second.poll_readable(&mut other.context()).is_pending());
    std::mem::swap(first.get_mut(), second.get_mut());
    assert_eq!((one.wakes(), other.wakes()), (1, 1));
    assert!(first.poll_readable(&mut one.context()).is_pending());
    assert!(second.poll_readable(&mut other.context()).is_pending());
    to_first.write_all(b"x").unwrap();
    reactor.poll();
    assert_eq!((one.wakes(), other.wakes()), (1, 2));
    assert!(is_ok(second.poll_readable(&mut other.context())));
}

#[test]
fn task_that_has_the_owner_changed_in_each_poll_is_not_woken_for_ever() {
    let (reactor, task) = (reactor(), Task::new());
    let ((mut reader, mut writer), (second, _to_second)) = (piped(&reactor), pipe().unwrap());
    for round in 1..4 {
        for _ in 0..3 {
            let _changed = reader.get_mut();
            assert!(reader.poll_readable(&mut task.context()).is_pending());
        }
        assert_eq!(task.wakes(), 2 * round - 1);
        writer.write_all(b"x").unwrap();
        reactor.poll();
        assert_eq!(task.wakes(), 2 * round);
        assert!(is_ok(reader.poll_readable(&mut task.context())));
        reader.get_ref().read_exact(&mut [0]).unwrap();
    }
    // It learns of another descriptor, too.
    assert!(reader.poll_readable(&mut task.context()).is_pending());
    let _changed = reader.get_mut();
    assert!(reader.poll_readable(&mut task.context()).is_pending());
    *reader.get_mut() = second;
    let polled = reader.poll_readable(&mut task.context());
    assert_eq!(kind(polled), io::ErrorKind::NotFound);
}

/// The second change wakes nobody, and the wait for room asks the kernel anew.
#[test]
fn reader_is_told_although_the_owner_is_changed_before_the_writer_waits() {
    let reactor = reactor();
    let ((mut here, mut there), task) = (full(&reactor), Task::new());
    for _ in 0..2 {
        assert!(here.poll_readable(&mut task.context()).is_pending());
        let _changed = here.get_mut();
        assert!(here.poll_writable(&mut task.context()).is_pending());
    }
    let before = task.wakes();
    there.write_all(b"x").unwrap();
    reactor.poll();
    assert_eq!(task.wakes() - before, 1);
    assert!(is_ok(here.poll_readable(&mut task.context())));
}

#[test]
fn future_that_was_leaked_wakes_its_task_when_the_owner_changes() {
    let (reactor, task) = (reactor(), Task::new());
    let (mut reader, _writer) = piped(&reactor);
    let mut wait = reader.readable();
    assert!(task.poll(&mut wait).is_pending());
    std::mem::forget(wait);
    let _changed = reader.get_mut();
    assert_eq!((task.wakes(), task.held()), (1, 0));
    assert!(task.poll(&mut reader.readable()).is_pending());
}

#[test]
fn too_many_duplicates_of_a_descriptor_are_refused_with_the_reason() {
    let reactor = reactor();
    let workers: Vec<_> = (0..50)
        .map(|_| worker_park(2, reactor.io_source()).unwrap())
        .collect();
    let (reader, _writer) = pipe().unwrap();
    let register = || AsyncFd::with_reactor(reader.try_clone().unwrap(), reactor.clone());
    let _registered: Vec<_> = (0..10).map(|_| register().unwrap()).collect();
    let error = register().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(
        error.to_string().contains("registered too often"),
        "{error}"
    );
    drop(workers);
}

#[test]
fn descriptor_that_was_removed_can_be_registered_again() {
    let reactor = reactor();
    let ((reader, mut writer), task) = (piped(&reactor), Task::new());
    assert!(reader.poll_readable(&mut task.context()).is_pending());
    let reader = reader.into_inner();
    assert_eq!((task.held(), reactor.has_registrations()), (0, false));
    let reader = register(&reactor, reader);
    writer.write_all(b"x").unwrap();
    reactor.poll();
    assert_eq!(task.wakes(), 0);
    assert!(reader.poll_readable(&mut task.context()).is_pending());
    reactor.poll();
    assert!(is_ok(reader.poll_readable(&mut task.context())));
}

#[test]
fn waits_fail_when_the_runtime_is_gone_and_operations_do_not() {
    let reactor = reactor();
    let ((reader, mut writer), task) = (piped(&reactor), Task::new());
    let mut wait = reader.readable();
    assert!(task.poll(&mut wait).is_pending());
    reactor.close();
    reactor.close();
    assert_eq!((task.wakes(), task.held()), (1, 0));
    assert_eq!(kind(task.poll(&mut wait)), io::ErrorKind::Other);
    assert_eq!(kind(task.poll(&mut wait)), io::ErrorKind::Other);
    let poll = reader.poll_writable(&mut task.context());
    assert_eq!(kind(poll), io::ErrorKind::Other);
    writer.write_all(b"x").unwrap();
    let mut read = pin!(reader.read_with(|mut io| io.read(&mut [0; 2])));
    assert!(matches!(
        read.as_mut().poll(&mut task.context()),
        Poll::Ready(Ok(1))
    ));
    let (another, _writer) = pipe().unwrap();
    let error = AsyncFd::with_reactor(another, reactor.clone()).unwrap_err();
    assert!(error.to_string().contains("is gone"), "{error}");
}

#[test]
fn an_operation_is_tried_once_more_at_the_end_of_the_runtime_whatever_was_told_for_nothing() {
    let reactor = reactor();
    let (here, mut there) = full(&reactor);
    there.set_nonblocking(true).unwrap();
    let (reading, writing) = (Task::new(), Task::new());
    let mut read = here.read_with(|mut io| io.read(&mut [0; 2]));
    assert!(reading.poll(&mut read).is_pending());
    let write = |mut io: &UnixStream| io.write(b"x");
    let wait = here.poll_write_with(&mut writing.context(), write);
    assert!(wait.is_pending());
    for _ in 0..2 {
        // The second time nobody waits for the room.
        while there.read(&mut [0; 65_536]).is_ok() {}
        reactor.poll();
        here.get_ref().write_all(b"x").unwrap();
    }
    assert_eq!((reading.wakes(), writing.wakes()), (0, 1));
    reactor.close();
    there.write_all(b"x").unwrap();
    assert!(matches!(reading.poll(&mut read), Poll::Ready(Ok(1))));
}

#[test]
fn runtime_without_an_epoll_instance_reports_the_reason() {
    let reason = io::Error::from_raw_os_error(24);
    let reactor = Arc::new(Reactor::without_io(reason));
    assert!(!reactor.is_live());
    let (reader, _writer) = pipe().unwrap();
    let error = AsyncFd::with_reactor(reader, reactor.clone()).unwrap_err();
    assert!(error.to_string().contains("has no I/O"), "{error}");
    reactor.poll();
    reactor.close();
}

#[test]
fn waker_that_panics_costs_no_other_task_its_wake_up() {
    let reactor = reactor();
    let (reader, mut writer) = piped(&reactor);
    let bad = Waker::from(Arc::new(Call(|| panic!("a bad waker"))));
    let (first, last) = (Task::new(), Task::new());
    let mut waits = [reader.readable(), reader.readable(), reader.readable()];
    assert!(first.poll(&mut waits[0]).is_pending());
    let poll = Pin::new(&mut waits[1]).poll(&mut Context::from_waker(&bad));
    assert!(poll.is_pending());
    assert!(last.poll(&mut waits[2]).is_pending());
    writer.write_all(b"x").unwrap();
    reactor.poll();
    assert_eq!((first.wakes(), last.wakes()), (1, 1));
}

#[test]
fn waker_may_use_the_reactor_that_calls_it() {
    let reactor = reactor();
    let (reader, mut writer) = piped(&reactor);
    let reader = Arc::new(reader);
    let (using, again) = (reader.clone(), reactor.clone());
    let waker = Waker::from(Arc::new(Call(move || {
        let (other, _writer) = piped(&again);
        drop(other);
        let task = Task::new();
        let mut wait = using.readable();
        assert!(task.poll(&mut wait).is_pending());
        again.poll();
        assert!(is_ok(task.poll(&mut wait)));
        again.close();
    })));
    let mut wait = reader.readable();
    assert!(
        Pin::new(&mut wait)
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    writer.write_all(b"x").unwrap();
    reactor.poll();
    let task = Task::new();
    assert_eq!(
        kind(task.poll(&mut reader.writable())),
        io::ErrorKind::Other
    );
}

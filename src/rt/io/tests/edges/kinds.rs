//! Descriptors of several kinds, that end, or that change while operations wait.

use super::*;

/// As a read of a terminal fails while another one reads: what is there makes no edge after that.
#[test]
fn device_whose_operation_would_block_although_it_is_ready_is_asked_again() {
    let reactor = reactor();
    let (device, task) = (File::open("/dev/random").unwrap(), Task::new());
    let device = register(&reactor, device);
    let mut tries = 0;
    let mut poll = || {
        device.poll_read_with(&mut task.context(), |mut device| {
            tries += 1;
            match tries {
                ..4 => Err(io::ErrorKind::WouldBlock.into()),
                _ => device.read(&mut [0]),
            }
        })
    };
    for wakes in 1..4 {
        assert_eq!(len(poll()), None);
        reactor.poll();
        assert_eq!(task.wakes(), wakes);
    }
    assert_eq!(len(poll()), Some(1));
}

#[test]
fn descriptor_that_took_the_place_of_another_kind_is_asked_as_its_own_kind() {
    let (reactor, task) = (reactor(), Task::new());
    let refuses = |_: &OwnedFd| Err::<(), _>(io::ErrorKind::WouldBlock.into());
    let poll = |fd: &AsyncFd<OwnedFd>| {
        let polled = fd.poll_read_with(&mut task.context(), refuses);
        assert!(polled.is_pending());
    };
    let (reader, _writer) = pipe().unwrap();
    let mut pipe = register(&reactor, OwnedFd::from(reader));
    let device = File::open("/dev/random").unwrap();
    let mut device = register(&reactor, OwnedFd::from(device));
    poll(&pipe);
    std::mem::swap(pipe.get_mut(), device.get_mut());
    let before = task.wakes();
    for wakes in 1..4 {
        poll(&pipe);
        reactor.poll();
        assert_eq!(task.wakes() - before, wakes);
    }
}

#[test]
fn half_closed_peer_ends_each_read_and_can_still_be_written_to() {
    let reactor = reactor();
    let ((here, mut there), task) = (connected(&reactor), Task::new());
    assert_eq!(len(read(&here, &task)), None);
    there.write_all(b"x").unwrap();
    poll_until_woken(&reactor, &task, 1);
    assert_eq!(len(read(&here, &task)), Some(1));
    assert_eq!(len(read(&here, &task)), None);
    there.shutdown(Shutdown::Write).unwrap();
    poll_until_woken(&reactor, &task, 2);
    for _ in 0..2 {
        assert_eq!(len(read(&here, &task)), Some(0));
    }
    here.get_ref().write_all(b"y").unwrap();
    there.read_exact(&mut [0]).unwrap();
    // Also of a wait that tries nothing.
    let mut wait = here.readable();
    assert!(task.poll(&mut wait).is_pending());
    reactor.poll();
    assert!(is_ok(task.poll(&mut wait)));
}

#[test]
fn reset_and_hang_up_end_the_waits_of_operations() {
    let reactor = reactor();
    let ((here, there), task) = (connected(&reactor), Task::new());
    assert_eq!(len(read(&here, &task)), None);
    // What it has not read makes its end a reset.
    here.get_ref().write_all(b"x").unwrap();
    there.peek(&mut [0]).unwrap();
    drop(there);
    poll_until_woken(&reactor, &task, 1);
    assert_eq!(
        kind(read(&here, &task).map_ok(drop)),
        io::ErrorKind::ConnectionReset
    );

    let (here, there) = full(&reactor);
    let (reading, writing) = (Task::new(), Task::new());
    let write = |mut io: &UnixStream| io.write(&[0; 4096]);
    assert_eq!(len(read(&here, &reading)), None);
    assert!(
        here.poll_write_with(&mut writing.context(), write)
            .is_pending()
    );
    drop(there);
    reactor.poll();
    assert_eq!((reading.wakes(), writing.wakes()), (1, 1));
    let written = here.poll_write_with(&mut writing.context(), write);
    assert_eq!(kind(written.map_ok(drop)), io::ErrorKind::BrokenPipe);
}

#[test]
fn urgent_data_hide_no_data_that_come_after_them() {
    let reactor = reactor();
    let ((here, mut there), task) = (connected(&reactor), Task::new());
    assert_eq!(len(read(&here, &task)), None);
    send(&there, b"!", SendFlags::OOB).unwrap();
    there.write_all(b"x").unwrap();
    let mut got = 0;
    let mut rounds = 0;
    while got == 0 {
        reactor.poll();
        got = match len(read(&here, &task)) {
            Some(len) => len,
            None => {
                let before = task.wakes();
                while task.wakes() == before {
                    reactor.poll();
                    rounds += 1;
                    assert!(rounds < 60_000, "nobody woke the task");
                    thread::sleep(Duration::from_millis(1));
                }
                0
            }
        };
    }
    assert_eq!(got, 1);
}

#[test]
fn descriptor_that_replaced_another_is_not_waited_for_by_an_operation() {
    let (reactor, task) = (reactor(), Task::new());
    let ((mut reader, mut writer), (second, _to_second)) = (piped(&reactor), pipe().unwrap());
    assert_eq!(len(read(&reader, &task)), None);
    writer.write_all(b"x").unwrap();
    reactor.poll();
    assert_eq!(len(read(&reader, &task)), Some(1));
    *reader.get_mut() = second;
    let refuses = |_: &PipeReader| Err::<(), _>(io::ErrorKind::WouldBlock.into());
    let polled = reader.poll_read_with(&mut task.context(), refuses);
    assert_eq!(kind(polled), io::ErrorKind::NotFound);
}

#[test]
fn operation_that_waits_while_its_descriptor_is_replaced_gets_an_error() {
    let (reactor, task) = (reactor(), Task::new());
    let ((mut reader, _writer), (second, _to_second)) = (piped(&reactor), pipe().unwrap());
    let refuses = |_: &PipeReader| Err::<(), _>(io::ErrorKind::WouldBlock.into());
    let poll = |reader: &AsyncFd<_>| reader.poll_read_with(&mut task.context(), refuses);
    for wakes in [0, 1] {
        assert!(poll(&reader).is_pending());
        assert_eq!(task.wakes(), wakes);
        let _changed = reader.get_mut();
    }
    // It was woken at the first change, and waits anew.
    assert!(poll(&reader).is_pending());
    *reader.get_mut() = second;
    assert_eq!(task.wakes(), 1);
    assert_eq!(kind(poll(&reader)), io::ErrorKind::NotFound);
}

#[test]
fn descriptor_that_moves_to_another_reactor_is_waited_for_there() {
    let (first, second, task) = (reactor(), reactor(), Task::new());
    let (reader, mut writer) = piped(&first);
    assert_eq!(len(read(&reader, &task)), None);
    writer.write_all(b"x").unwrap();
    let reader = register(&second, reader.into_inner());
    first.poll();
    assert_eq!((task.wakes(), task.held()), (0, 0));
    assert_eq!(len(read(&reader, &task)), Some(1));
    assert_eq!(len(read(&reader, &task)), None);
    writer.write_all(b"x").unwrap();
    first.poll();
    assert_eq!(task.wakes(), 0);
    second.poll();
    assert_eq!(task.wakes(), 1);
}

#[test]
fn number_that_is_used_again_is_another_descriptor() {
    let (reactor, task, other) = (reactor(), Task::new(), Task::new());
    let (reader, mut writer) = piped(&reactor);
    assert_eq!(len(read(&reader, &task)), None);
    writer.write_all(b"x").unwrap();
    drop(reader);
    // Likely with its number, and with its key.
    let (reader, mut writer) = piped(&reactor);
    assert_eq!(len(read(&reader, &other)), None);
    reactor.poll();
    assert_eq!((task.wakes(), other.wakes()), (0, 0));
    writer.write_all(b"x").unwrap();
    reactor.poll();
    assert_eq!((task.wakes(), other.wakes()), (0, 1));
}

#[test]
fn task_that_is_displaced_while_its_operation_waits_is_woken() {
    let reactor = reactor();
    let (reader, mut writer) = piped(&reactor);
    let (first, second) = (Task::new(), Task::new());
    assert_eq!(len(read(&reader, &first)), None);
    assert_eq!(len(read(&reader, &second)), None);
    assert_eq!((first.wakes(), first.held()), (1, 0));
    writer.write_all(b"x").unwrap();
    reactor.poll();
    assert_eq!((second.wakes(), second.held()), (1, 0));
}

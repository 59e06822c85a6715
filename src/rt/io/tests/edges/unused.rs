//! What the kernel tells of a direction while no task waits for it.

use super::*;

#[test]
fn direction_that_tells_for_nothing_is_not_asked_for_again() {
    let reactor = reactor();
    let (here, mut there) = full(&reactor);
    there.set_nonblocking(true).unwrap();
    let (reading, writing) = (Task::new(), Task::new());
    let wait = || {
        fill(&here);
        let write = |mut io: &UnixStream| io.write(&[0; 4096]);
        here.poll_write_with(&mut writing.context(), write)
            .is_pending()
    };
    let mut drain = || while there.read(&mut [0; 65_536]).is_ok() {};
    assert!(wait());
    drain();
    reactor.poll();
    assert_eq!(writing.wakes(), 1);
    here.get_ref().write_all(b"x").unwrap();
    drain();
    assert!(
        reactor.has_events(),
        "there is room, and nobody waits for it"
    );
    reactor.poll();
    assert_eq!(len(read(&here, &reading)), None);
    reactor.poll();
    here.get_ref().write_all(b"x").unwrap();
    drain();
    assert!(!reactor.has_events());
    // The next writer that waits is told again.
    assert!(wait());
    drain();
    reactor.poll();
    assert_eq!((reading.wakes(), writing.wakes()), (0, 2));
}

#[test]
fn sender_that_never_waits_again_is_not_told_of_what_its_peer_takes() {
    let reactor = reactor();
    let (here, mut there) = full(&reactor);
    there.set_nonblocking(true).unwrap();
    let task = Task::new();
    let write = |bytes: &[u8]| {
        here.poll_write_with(&mut task.context(), |mut io| io.write(bytes))
            .is_ready()
    };
    let mut drain = || while there.read(&mut [0; 65_536]).is_ok() {};
    assert!(!write(b"x"));
    drain();
    reactor.poll();
    assert_eq!(task.wakes(), 1);
    assert!(write(b"x"));
    drain();
    assert!(
        reactor.has_events(),
        "there is room, and nobody waits for it"
    );
    reactor.poll();
    for _ in 0..3 {
        assert!(write(b"x"));
        drain();
        assert!(!reactor.has_events());
    }
    fill(&here);
    assert!(!write(b"x"));
    drain();
    reactor.poll();
    assert_eq!(task.wakes(), 2);
}

#[test]
fn room_that_comes_between_the_operation_and_the_wait_is_not_told_for_nothing() {
    let reactor = reactor();
    let (here, mut there) = full(&reactor);
    there.set_nonblocking(true).unwrap();
    let task = Task::new();
    let mut drain = || while there.read(&mut [0; 65_536]).is_ok() {};
    let write = |mut io: &UnixStream| io.write(b"x");
    let polled = here.poll_write_with(&mut task.context(), write);
    assert!(polled.is_pending());
    drain();
    reactor.poll();
    fill(&here);
    let mut tries = 0;
    let polled = here.poll_write_with(&mut task.context(), |io| {
        tries += 1;
        let written = write(io);
        if tries == 1 {
            drain();
            reactor.poll();
        }
        written
    });
    assert_eq!((len(polled), tries), (Some(1), 2));
    drain();
    assert!(
        reactor.has_events(),
        "the kernel was asked to report no room"
    );
}

#[test]
fn connected_datagram_socket_is_told_when_its_peer_has_room() {
    let reactor = reactor();
    let (here, there) = UnixDatagram::pair().unwrap();
    here.set_nonblocking(true).unwrap();
    let (here, task) = (register(&reactor, here), Task::new());
    let send = |socket: &UnixDatagram| socket.send(b"x");
    for round in 1..4 {
        while here.get_ref().send(b"x").is_ok() {}
        assert!(here.poll_write_with(&mut task.context(), send).is_pending());
        reactor.poll();
        assert_eq!(task.wakes(), round - 1);
        there.set_nonblocking(true).unwrap();
        while there.recv(&mut [0]).is_ok() {}
        reactor.poll();
        assert_eq!(task.wakes(), round);
    }
}

#[test]
fn message_that_is_read_without_a_wait_is_no_reason_to_ask_anew() {
    let reactor = reactor();
    let ((reader, mut writer), task) = (piped(&reactor), Task::new());
    assert_eq!(len(read(&reader, &task)), None);
    for _ in 0..3 {
        writer.write_all(b"x").unwrap();
        assert!(reactor.has_events());
        reactor.poll();
        assert_eq!(len(read(&reader, &task)), Some(1));
    }
    assert_eq!(task.wakes(), 1);
}

#[test]
fn task_that_waits_is_told_although_the_other_direction_is_taken_away() {
    let reactor = reactor();
    let (here, mut there) = full(&reactor);
    there.set_nonblocking(true).unwrap();
    let (reading, writing) = (Task::new(), Task::new());
    let write = |task: &Task| {
        here.poll_write_with(&mut task.context(), |mut io| io.write(b"x"))
            .is_ready()
    };
    assert!(!write(&writing));
    assert_eq!(len(read(&here, &reading)), None);
    for _ in 0..2 {
        while there.read(&mut [0; 65_536]).is_ok() {}
        reactor.poll();
        assert!(write(&writing));
    }
    there.write_all(b"x").unwrap();
    reactor.poll();
    assert_eq!((reading.wakes(), writing.wakes()), (1, 1));
    assert_eq!(len(read(&here, &reading)), Some(1));
}

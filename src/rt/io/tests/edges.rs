//! Waits of operations, for which the kernel is not asked each time.

use rustix::net::{SendFlags, send};
use std::cell::Cell;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;

use super::*;

fn read<T: AsFd>(fd: &AsyncFd<T>, task: &Task) -> Poll<io::Result<usize>>
where
    for<'a> &'a T: Read,
{
    fd.poll_read_with(&mut task.context(), |mut io| io.read(&mut [0; 64]))
}

fn len(poll: Poll<io::Result<usize>>) -> Option<usize> {
    match poll {
        Poll::Ready(result) => Some(result.unwrap()),
        Poll::Pending => None,
    }
}

/// Writes until there is no room.
fn fill(fd: &AsyncFd<UnixStream>) {
    while fd.get_ref().write(&[0; 4096]).is_ok() {}
}

fn connected(reactor: &Arc<Reactor>) -> (AsyncFd<TcpStream>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    there.set_nodelay(true).unwrap();
    (register(reactor, listener.accept().unwrap().0), there)
}

/// Polls until the task was woken so often: over TCP, what was sent may take a moment.
fn poll_until_woken(reactor: &Reactor, task: &Task, wakes: usize) {
    let mut rounds = 0;
    while task.wakes() < wakes {
        reactor.poll();
        thread::sleep(Duration::from_millis(1));
        rounds += 1;
        assert!(rounds < 60_000, "nobody woke the task");
    }
    assert_eq!(task.wakes(), wakes);
}

#[test]
fn each_message_ends_the_wait_of_a_reader() {
    let reactor = reactor();
    let ((reader, mut writer), task) = (piped(&reactor), Task::new());
    for round in 1..4 {
        assert_eq!(len(read(&reader, &task)), None);
        assert_eq!(len(read(&reader, &task)), None);
        writer.write_all(b"x").unwrap();
        reactor.poll();
        assert_eq!((task.wakes(), task.held()), (round, 0));
        assert_eq!(len(read(&reader, &task)), Some(1));
    }
    reactor.poll();
    assert_eq!(task.wakes(), 3);
}

#[test]
fn message_that_comes_between_the_operation_and_the_wait_ends_the_wait() {
    let reactor = reactor();
    let ((reader, writer), task) = (piped(&reactor), Task::new());
    assert_eq!(len(read(&reader, &task)), None);
    for round in 1..4 {
        let mut tries = 0;
        let polled = reader.poll_read_with(&mut task.context(), |mut io| {
            tries += 1;
            let read = io.read(&mut [0; 64]);
            if tries == 1 {
                // It comes now, and a worker tells of it before the task waits.
                (&writer).write_all(b"x").unwrap();
                reactor.poll();
            }
            read
        });
        assert_eq!((len(polled), tries), (Some(1), 2), "round {round}");
    }
}

#[test]
fn descriptor_that_stays_ready_makes_no_events() {
    let reactor = reactor();
    let ((reader, mut writer), task) = (piped(&reactor), Task::new());
    assert_eq!(len(read(&reader, &task)), None);
    writer.write_all(b"x").unwrap();
    reactor.poll();
    // Nobody reads it.
    assert!(!reactor.has_events());
    let mut wait = reader.readable();
    assert!(task.poll(&mut wait).is_pending());
    reactor.poll();
    assert!(is_ok(task.poll(&mut wait)));
    assert!(!reactor.has_events());
    assert_eq!(len(read(&reader, &task)), Some(1));
}

#[test]
fn wait_for_readiness_sees_what_an_operation_has_left() {
    let reactor = reactor();
    let ((reader, mut writer), task) = (piped(&reactor), Task::new());
    assert_eq!(len(read(&reader, &task)), None);
    writer.write_all(b"xy").unwrap();
    reactor.poll();
    let one = |mut io: &PipeReader| io.read(&mut [0]);
    let polled = reader.poll_read_with(&mut task.context(), one);
    assert_eq!(len(polled), Some(1));
    // At the same place as the wait of an operation that blames the descriptor wrongly.
    let refuses = |_: &PipeReader| Err::<(), _>(io::ErrorKind::WouldBlock.into());
    let polled = reader.poll_read_with(&mut task.context(), refuses);
    assert!(polled.is_pending());
    assert!(reader.poll_readable(&mut task.context()).is_pending());
    reactor.poll();
    assert!(is_ok(reader.poll_readable(&mut task.context())));
}

#[test]
fn reader_and_writer_of_one_socket_wait_at_once() {
    let reactor = reactor();
    let (here, mut there) = full(&reactor);
    there.set_nonblocking(true).unwrap();
    let (reading, writing) = (Task::new(), Task::new());
    let write =
        |task: &Task| here.poll_write_with(&mut task.context(), |mut io| io.write(&[0; 4096]));
    for round in 1..4 {
        assert_eq!(len(read(&here, &reading)), None);
        fill(&here);
        assert!(write(&writing).is_pending());
        there.write_all(b"x").unwrap();
        reactor.poll();
        assert_eq!(
            (reading.wakes(), writing.wakes()),
            (2 * round - 1, round - 1)
        );
        assert_eq!(len(read(&here, &reading)), Some(1));
        assert_eq!(len(read(&here, &reading)), None);
        while there.read(&mut [0; 65_536]).is_ok() {}
        reactor.poll();
        assert_eq!(writing.wakes(), round);
        assert!(write(&writing).is_ready());
        there.write_all(b"x").unwrap();
        reactor.poll();
        assert_eq!((reading.wakes(), writing.wakes()), (2 * round, round));
        assert_eq!(len(read(&here, &reading)), Some(1));
    }
}

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

/// What comes while an operation fails ends its wait at once. So no other task has its turn.
#[test]
fn operation_whose_waits_are_never_pending_spends_its_budget() {
    let reactor = reactor();
    let ((reader, writer), task) = (piped(&reactor), Task::new());
    assert_eq!(len(read(&reader, &task)), None);
    let tries = Cell::new(0);
    let blocks = |mut io: &PipeReader| {
        tries.set(tries.get() + 1);
        assert!(tries.get() <= 200, "no other task has its turn");
        (&writer).write_all(b"x").unwrap();
        reactor.poll();
        io.read_exact(&mut [0]).unwrap();
        Err::<(), _>(io::ErrorKind::WouldBlock.into())
    };
    assert!(
        reader
            .poll_read_with(&mut task.context(), &blocks)
            .is_pending()
    );
    let mut read = pin!(reader.read_with(&blocks));
    assert!(read.as_mut().poll(&mut task.context()).is_pending());
    assert_eq!(tries.get(), 64 + 64);
}

#[test]
fn wait_for_one_direction_gives_the_other_no_budget() {
    let reactor = reactor();
    let (here, mut there) = full(&reactor);
    let task = Task::new();
    there.write_all(&[0; 1024]).unwrap();
    let mut reads = 0;
    loop {
        let polled = here.poll_write_with(&mut task.context(), |mut io| io.write(&[0; 4096]));
        assert!(polled.is_pending());
        let one = |mut io: &UnixStream| io.read(&mut [0]);
        match here.poll_read_with(&mut task.context(), one) {
            Poll::Ready(read) => assert_eq!(read.unwrap(), 1),
            Poll::Pending => break,
        }
        reads += 1;
    }
    assert_eq!(reads, 64);
}

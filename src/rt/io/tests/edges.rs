//! Waits of operations, for which the kernel is not asked each time.

mod kinds;
mod short;
mod unused;

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

/// Tasks that use one descriptor share its budget.
#[test]
fn operation_that_has_yielded_is_tried_however_much_others_have_done_meanwhile() {
    let reactor = reactor();
    let ((_reader, writer), task) = (piped(&reactor), Task::new());
    let writer = register(&reactor, writer);
    let write = || done_at_once(&writer);
    let others = || {
        for _ in 0..64 {
            assert!(task.poll(&mut write()).is_ready());
        }
    };
    others();
    let mut late = write();
    assert!(task.poll(&mut late).is_pending());
    assert_eq!(task.wakes(), 1);
    others();
    assert!(task.poll(&mut late).is_ready());
}

fn done_at_once(writer: &AsyncFd<PipeWriter>) -> impl Future<Output = io::Result<()>> + Unpin {
    writer.write_with(|_| Ok(()))
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

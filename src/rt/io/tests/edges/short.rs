//! A read of a TCP socket that is short: the next one waits at once.

use rustix::event::{PollFd, PollFlags, poll};

use super::*;

/// Reads with room for so many bytes.
fn read_up_to(fd: &AsyncFd<TcpStream>, task: &Task, room: usize) -> Option<usize> {
    let mut buffer = vec![0; room];
    len(pin!(fd.read(&mut buffer)).poll(&mut task.context()))
}

/// A connection as `accept` makes it, for which the kernel was asked.
fn accepted(reactor: &Arc<Reactor>, task: &Task) -> (AsyncFd<TcpStream>, TcpStream) {
    let (here, there) = connected(reactor);
    let here = here.of_tcp();
    assert_eq!(read_up_to(&here, task, 64), None);
    (here, there)
}

/// Writes, and waits until it has arrived.
fn send_to(here: &AsyncFd<TcpStream>, mut there: &TcpStream, bytes: &[u8]) {
    there.write_all(bytes).unwrap();
    poll(&mut [PollFd::new(here, PollFlags::IN)], None).unwrap();
}

#[test]
fn a_read_after_a_short_one_waits_for_the_event_of_what_comes_next() {
    let (reactor, task) = (reactor(), Task::new());
    let (here, there) = accepted(&reactor, &task);
    send_to(&here, &there, b"hello");
    assert_eq!(read_up_to(&here, &task, 64), Some(5));
    send_to(&here, &there, b"!");
    // It has come, but that was not told yet: no call was tried.
    assert_eq!(read_up_to(&here, &task, 64), None);
    reactor.poll();
    assert_eq!(read_up_to(&here, &task, 64), Some(1));
}

#[test]
fn a_read_after_one_that_was_not_short_is_tried() {
    let (reactor, task) = (reactor(), Task::new());
    let (here, there) = accepted(&reactor, &task);
    send_to(&here, &there, b"hello");
    assert_eq!(read_up_to(&here, &task, 5), Some(5));
    send_to(&here, &there, b"!");
    assert_eq!(read_up_to(&here, &task, 64), Some(1));
}

/// It may be another socket by then.
#[test]
fn a_read_after_a_short_one_is_tried_if_the_owner_may_have_changed_the_socket() {
    let (reactor, task) = (reactor(), Task::new());
    let (mut here, there) = accepted(&reactor, &task);
    send_to(&here, &there, b"hello");
    assert_eq!(read_up_to(&here, &task, 64), Some(5));
    let _stream = here.get_mut();
    for _ in 0..2 {
        send_to(&here, &there, b"!");
        assert_eq!(read_up_to(&here, &task, 64), Some(1));
    }
}

#[test]
fn what_is_there_after_a_short_read_is_read_although_the_runtime_is_gone() {
    let (reactor, task) = (reactor(), Task::new());
    let (here, there) = accepted(&reactor, &task);
    reactor.close();
    for _ in 0..2 {
        send_to(&here, &there, b"hello");
        assert_eq!(read_up_to(&here, &task, 64), Some(5));
    }
    drop(there);
    poll(&mut [PollFd::new(&here, PollFlags::RDHUP)], None).unwrap();
    assert_eq!(read_up_to(&here, &task, 64), Some(0));
}

#[test]
fn a_read_without_room_does_not_begin_with_a_wait() {
    let (reactor, task) = (reactor(), Task::new());
    let (here, there) = accepted(&reactor, &task);
    send_to(&here, &there, b"hello");
    assert_eq!(read_up_to(&here, &task, 64), Some(5));
    send_to(&here, &there, b"!");
    assert_eq!(read_up_to(&here, &task, 0), Some(0));
    assert_eq!(read_up_to(&here, &task, 64), None);
}

#[test]
fn the_end_that_comes_with_the_last_data_is_read() {
    let (reactor, task) = (reactor(), Task::new());
    let (here, there) = accepted(&reactor, &task);
    send_to(&here, &there, b"hello");
    drop(there);
    poll(&mut [PollFd::new(&here, PollFlags::RDHUP)], None).unwrap();
    reactor.poll();
    assert_eq!(read_up_to(&here, &task, 64), Some(5));
    assert_eq!(read_up_to(&here, &task, 64), Some(0));
}

#[test]
fn the_end_that_comes_after_a_short_read_is_read() {
    let (reactor, task) = (reactor(), Task::new());
    let (here, there) = accepted(&reactor, &task);
    send_to(&here, &there, b"hello");
    assert_eq!(read_up_to(&here, &task, 64), Some(5));
    drop(there);
    poll(&mut [PollFd::new(&here, PollFlags::RDHUP)], None).unwrap();
    reactor.poll();
    assert_eq!(read_up_to(&here, &task, 64), Some(0));
}

/// The kernel ends a read where the urgent byte was.
#[test]
fn what_comes_after_urgent_data_is_read() {
    let (reactor, task) = (reactor(), Task::new());
    let (here, there) = accepted(&reactor, &task);
    send_to(&here, &there, b"ab");
    send(&there, b"c", SendFlags::OOB).unwrap();
    send_to(&here, &there, b"de");
    poll(&mut [PollFd::new(&here, PollFlags::PRI)], None).unwrap();
    let mut read = 0;
    repeat_until(|| {
        reactor.poll();
        read += read_up_to(&here, &task, 64).unwrap_or(0);
        read == 4
    });
}

/// Repeats `round`, with pauses, until it returns `true`.
fn repeat_until(mut round: impl FnMut() -> bool) {
    let mut rounds = 0;
    while !round() {
        thread::sleep(Duration::from_millis(1));
        rounds += 1;
        assert!(rounds < 60_000, "it goes on for ever");
    }
}

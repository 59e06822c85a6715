//! Tasks that wait for descriptors, and the worker that collects the kernel's events.
//!
//! The kernel is a stand-in; the reactor and its registrations are those that ship. What goes wrong
//! when one of these fails: a task of `reveille::rt` waits for a socket that is ready, and nobody
//! wakes it. Here that is a deadlock, which loom reports. Two workers that collect at once are not
//! modelled: loom does not look for the orders in which a `try_lock` fails.

mod descriptors;

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use self::descriptors::{Fd, Io, Peer, Ready};
use crate::Park;
use loom::sync::atomic::{AtomicUsize, Ordering};

use crate::models::support::{Race, Room, Task, Time, at_once, check};

/// How many tasks still wait. With the last the worker stops.
#[derive(Clone)]
struct Tasks(Arc<AtomicUsize>, Io);

impl Tasks {
    fn new(count: usize, io: &Io) -> Self {
        Self(Arc::new(AtomicUsize::new(count)), io.clone())
    }

    /// Sleeps and collects events, as a worker does, until no task waits any more.
    fn work(&self) {
        while self.0.load(Ordering::Acquire) > 0 {
            self.1.sleep();
            self.1.poll();
        }
    }

    fn end_one(&self) {
        if self.0.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.1.wake();
        }
    }

    /// Returns what the thread of a task does: it ends before what it owns is dropped.
    fn ending<T: FnMut() + 'static>(&self, mut task: T) -> impl FnOnce() + use<T> {
        let tasks = self.clone();
        move || {
            task();
            tasks.end_one();
        }
    }

    /// Works until no task waits any more, while two threads run.
    fn work_beside(&self, first: impl FnOnce() + 'static, second: impl FnOnce() + 'static) {
        let race = Race::new();
        let (first, second) = (race.spawn(first), race.spawn(second));
        race.enter();
        self.work();
        first.join().unwrap();
        second.join().unwrap();
    }
}

/// Works until `task` has ended. Another thread runs `other`.
fn work_beside(io: &Io, task: impl FnMut() + 'static, other: impl FnOnce() + 'static) {
    let tasks = Tasks::new(1, io);
    tasks.work_beside(tasks.ending(task), other);
}

/// Works until two tasks have ended.
fn work_beside_two(io: &Io, first: impl FnMut() + 'static, second: impl FnMut() + 'static) {
    let tasks = Tasks::new(2, io);
    tasks.work_beside(tasks.ending(first), tasks.ending(second));
}

/// Polls as a task on a thread of its own, which sleeps until it is woken.
fn block_on<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    let mut room = Room::new(&Time::new());
    let waker = Task::behind(room.unparker()).waker();
    let mut cx = Context::from_waker(&waker);
    loop {
        match poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => room.park(None),
        }
    }
}

fn wait_readable(fd: &Fd) -> std::io::Result<()> {
    let mut wait = fd.readable();
    block_on(|cx| wait.poll(cx))
}

fn wait_writable(fd: &Fd) -> std::io::Result<()> {
    let mut wait = fd.writable();
    block_on(|cx| wait.poll(cx))
}

/// Waits until a read would find something; a wake-up may be for nothing.
fn read(fd: &Fd, peer: &Peer) {
    while !peer.is_readable() {
        wait_readable(fd).unwrap();
    }
}

/// Repeats an operation until it does not block, as `read_with` does.
fn until_done<'a>(operation: impl Fn() -> Result<(), Ready<'a>>) -> std::io::Result<()> {
    loop {
        let Err(mut ready) = operation() else {
            return Ok(());
        };
        block_on(|cx| ready.poll(cx))?;
    }
}

/// Has the kernel report the edges for reading, as it does after the first wait.
fn report_edges(fd: &Fd) {
    let Err(mut ready) = fd.read() else {
        panic!("nothing was sent");
    };
    let polled = ready.poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending());
}

fn opened() -> (Io, Arc<Peer>, Arc<Fd>) {
    let io = Io::new();
    let peer = io.open();
    let fd = io.register(&peer).unwrap();
    (io, Arc::new(peer), Arc::new(fd))
}

/// It may become ready before the kernel is asked, between that and the collection, or after.
#[test]
fn task_is_woken_whenever_its_descriptor_becomes_ready() {
    check(Some(3), || {
        let (io, peer, fd) = opened();
        let task = move || wait_readable(&fd).unwrap();
        let sender = move || peer.make_readable();
        work_beside(&io, task, sender);
    });
}

/// The owner forgets a wait that was given up while its event is on the way, and waits anew.
#[test]
fn wait_that_is_forgotten_while_it_is_told_is_asked_for_anew() {
    check(Some(2), || {
        let io = Io::new();
        let peer = io.open();
        let mut fd = io.register(&peer).unwrap();
        let task = move || {
            let mut cx = Context::from_waker(Waker::noop());
            let _given_up = fd.readable().poll(&mut cx);
            fd.get_mut();
            wait_readable(&fd).unwrap();
        };
        let sender = move || peer.make_readable();
        work_beside(&io, task, sender);
    });
}

/// The owner may have changed the descriptor in each poll of a task that waits for both directions.
/// Only the first change wakes it, and the kernel is asked for what is polled after the second one.
#[test]
fn task_that_polls_both_directions_while_its_owner_changes_is_told_of_each() {
    check(Some(2), || {
        let io = Io::new();
        let peer = io.open();
        let mut fd = io.register(&peer).unwrap();
        let task = move || {
            block_on(|cx| {
                let polled = fd.poll_readable(cx);
                if polled.is_pending() {
                    fd.get_mut();
                    assert!(fd.poll_writable(cx).is_pending());
                }
                polled
            })
            .unwrap();
        };
        let sender = move || peer.make_readable();
        work_beside(&io, task, sender);
    });
}

/// The owner replaces the descriptor after a task has begun to wait for it, whose event is on the way.
/// That task polls again, and must not wait for an event of the one that is closed.
#[test]
fn task_that_polls_while_its_descriptor_is_replaced_learns_it() {
    check(Some(3), || {
        let io = Io::new();
        let (peer, other) = (io.open(), io.open());
        let mut fd = io.register(&peer).unwrap();
        let task = move || {
            let waker = Task::new().waker();
            let polled = fd.poll_readable(&mut Context::from_waker(&waker));
            fd.replace(&other);
            if polled.is_pending() {
                let error = block_on(|cx| fd.poll_readable(cx)).unwrap_err();
                assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
            }
        };
        let sender = move || peer.make_readable();
        work_beside(&io, task, sender);
    });
}

/// The second read begins with a wait. The peer sends before the first one looks, or after it.
#[test]
fn read_after_a_short_one_gets_what_came_since() {
    check(Some(2), || {
        let (io, peer, fd) = opened();
        report_edges(&fd);
        peer.make_readable();
        let reader = move || {
            until_done(|| fd.read_short()).unwrap();
            until_done(|| fd.read_short()).unwrap();
        };
        let sender = move || {
            let may_be_read_with_the_first = peer.is_readable();
            peer.make_readable();
            if may_be_read_with_the_first {
                peer.hang_up();
            }
        };
        work_beside(&io, reader, sender);
    });
}

/// The end may come before the short read looks, and makes no further edge then.
#[test]
fn read_after_a_short_one_finds_the_end() {
    check(Some(2), || {
        let (io, peer, fd) = opened();
        report_edges(&fd);
        peer.make_readable();
        let reader = move || {
            until_done(|| fd.read_short()).unwrap();
            until_done(|| fd.read_short()).unwrap();
        };
        let leaver = move || peer.hang_up();
        work_beside(&io, reader, leaver);
    });
}

/// The peer hangs up before, between or after what a reader and a writer do.
#[test]
fn hang_up_ends_the_waits_of_both_directions() {
    check(Some(2), || {
        let (io, peer, fd) = opened();
        report_edges(&fd);
        let reading = fd.clone();
        let reader = move || until_done(|| reading.read()).unwrap();
        let writer = move || {
            peer.hang_up();
            until_done(|| fd.write()).unwrap();
        };
        work_beside_two(&io, reader, writer);
    });
}

/// A read of a terminal fails because it meets another one, and what is there makes no edge any more.
#[test]
fn reader_of_a_terminal_that_meets_another_one_reads_what_is_there() {
    check(Some(3), || {
        let io = Io::new();
        let peer = Arc::new(io.open_terminal());
        let fd = io.register(&peer).unwrap();
        report_edges(&fd);
        let other = peer.clone();
        let reader = move || until_done(|| fd.read()).unwrap();
        let sender = move || {
            other.make_readable();
            other.set_busy();
        };
        work_beside(&io, reader, sender);
        drop(peer);
    });
}

/// The event of one direction comes while a task begins to wait for the other one, which changes
/// what the kernel is asked for.
#[test]
fn task_that_waits_for_the_other_direction_waits_on() {
    check(Some(2), || {
        let (io, peer, fd) = opened();
        peer.make_readable();
        let reading = fd.clone();
        let reader = move || {
            wait_readable(&reading).unwrap();
            peer.make_writable();
        };
        let writer = move || wait_writable(&fd).unwrap();
        work_beside_two(&io, reader, writer);
    });
}

/// The event was for both, and the one that goes must not take it along; nor may the kernel be left
/// without a request when the one that asked goes.
#[test]
fn wait_that_is_dropped_while_it_is_told_leaves_the_other_one_its_event() {
    check(Some(3), || {
        let (io, peer, fd) = opened();
        let waiting = fd.clone();
        let task = move || wait_readable(&waiting).unwrap();
        let leaver = move || {
            let waker = Task::new().waker();
            let mut wait = fd.readable();
            let _ = wait.poll(&mut Context::from_waker(&waker));
            peer.make_readable();
            drop(wait);
        };
        work_beside(&io, task, leaver);
    });
}

/// The event removes the waiter of the one that goes, and the other one may get its place: that must
/// not be removed with it.
#[test]
fn wait_that_is_dropped_while_its_event_comes_removes_no_other_waiter() {
    check(Some(3), || {
        let (io, peer, fd) = opened();
        report_edges(&fd);
        let waiting = fd.clone();
        let task = move || wait_readable(&waiting).unwrap();
        let leaver = move || {
            let waker = Task::new().waker();
            let wait = fd.read().map_err(|mut wait| {
                let _ = wait.poll(&mut Context::from_waker(&waker));
                wait
            });
            peer.make_readable();
            drop(wait);
        };
        work_beside(&io, task, leaver);
    });
}

/// The worker has collected an event when its descriptor goes, and another one gets the same key.
/// The event then ends a wait of that one for nothing, and its registration takes what was asked for
/// as told.
#[test]
fn late_event_of_a_descriptor_that_is_gone_costs_the_next_one_no_wake_up() {
    check(Some(3), || {
        let (io, peer, fd) = opened();
        let (tasks, next) = (Tasks::new(1, &io), Arc::new(io.open()));
        let (ended, awaited) = (tasks.clone(), next.clone());
        let task = move || {
            let waker = Task::new().waker();
            let polled = fd.readable().poll(&mut Context::from_waker(&waker));
            peer.make_readable();
            assert!(polled.is_pending());
            drop(fd);
            let fd = io.register(&awaited).unwrap();
            read(&fd, &awaited);
            ended.end_one();
        };
        tasks.work_beside(task, move || next.make_readable());
    });
}

/// A second task polls at the place that is for one, and goes on with something else. The first one
/// must not rely on a waker that is no longer there.
#[test]
fn task_that_is_displaced_while_it_is_told_learns_either() {
    check(Some(3), || {
        let (io, peer, fd) = opened();
        let waiting = fd.clone();
        let task = move || block_on(|cx| waiting.poll_readable(cx)).unwrap();
        let other = move || {
            let waker = Task::new().waker();
            peer.make_readable();
            // Perhaps it is told what the first one waits for. Then that one waits for the next
            // event, which comes at once, since it is readable still.
            let _told = fd.poll_readable(&mut Context::from_waker(&waker));
        };
        work_beside(&io, task, other);
    });
}

/// Whichever comes first: the task waits and is woken, or it learns that it cannot wait.
#[test]
fn task_that_waits_while_the_runtime_ends_learns_it_and_keeps_nothing_open() {
    check(Some(3), || {
        let (io, peer, fd) = opened();
        let race = Race::new();
        // The kernel stays asked: the next task that waits need not ask, which would fail.
        let waker = Task::new().waker();
        let _ = fd.readable().poll(&mut Context::from_waker(&waker));
        let waiting = fd.clone();
        let reader = race.spawn(move || wait_readable(&waiting).unwrap_err());
        let waiting = fd.clone();
        let writer = race.spawn(move || wait_writable(&waiting).unwrap_err());
        race.enter();
        io.close();
        reader.join().unwrap();
        writer.join().unwrap();
        assert!(!io.is_open());
        drop((fd, peer));
    });
}

/// The worker may collect and the owner register, ask, and take out meanwhile.
#[test]
fn descriptors_that_come_and_go_while_the_runtime_ends_keep_nothing_open() {
    check(Some(3), || {
        let (io, peer, fd) = opened();
        let second = io.open();
        peer.make_readable();
        let race = Race::new();
        let registering = io.clone();
        let owner = race.spawn(move || {
            let waker = Task::new().waker();
            let mut cx = Context::from_waker(&waker);
            let _ = fd.readable().poll(&mut cx);
            let late = registering.register(&second);
            if let Ok(late) = &late {
                let _ = late.writable().poll(&mut cx);
            }
            drop(fd);
            late
        });
        let collecting = io.clone();
        let worker = race.spawn(move || collecting.poll());
        race.enter();
        io.close();
        let late = owner.join().unwrap();
        worker.join().unwrap();
        assert!(!io.is_open());
        assert!(late.is_err() || wait_readable(&late.unwrap()).is_err());
    });
}

/// It comes before the operation looks, between that and the wait, or while the task waits. The
/// kernel is not asked.
#[test]
fn what_comes_around_an_operation_that_would_block_ends_its_wait() {
    check(Some(3), || {
        let (io, peer, fd) = opened();
        report_edges(&fd);
        let task = move || until_done(|| fd.read()).unwrap();
        let sender = move || peer.make_readable();
        work_beside(&io, task, sender);
    });
}

/// The same for the first wait, which asks the kernel.
#[test]
fn what_comes_around_the_first_operation_that_would_block_ends_its_wait() {
    check(Some(3), || {
        let (io, peer, fd) = opened();
        let task = move || until_done(|| fd.read()).unwrap();
        let sender = move || peer.make_readable();
        work_beside(&io, task, sender);
    });
}

/// Both are told of one message, and the one that does not get it waits for the next.
#[test]
fn two_tasks_that_read_get_a_message_each() {
    check(Some(2), || {
        let (io, peer, fd) = opened();
        report_edges(&fd);
        // The task that reads this sends the next.
        peer.make_readable();
        let (reading, next) = (fd.clone(), peer.clone());
        let first = move || {
            until_done(|| reading.read()).unwrap();
            next.make_readable();
        };
        let second = move || {
            until_done(|| fd.read()).unwrap();
            peer.make_readable();
        };
        work_beside_two(&io, first, second);
    });
}

/// One for reading and one for writing; each changes what the kernel is asked for.
#[test]
fn reader_and_writer_of_one_descriptor_are_each_woken() {
    check(Some(2), || {
        let (io, peer, fd) = opened();
        report_edges(&fd);
        let (reading, sending) = (fd.clone(), peer.clone());
        let reader = move || {
            until_done(|| reading.read()).unwrap();
            sending.make_writable();
        };
        let writer = move || {
            peer.make_readable();
            until_done(|| fd.write()).unwrap();
        };
        work_beside_two(&io, reader, writer);
    });
}

/// A task that asks for one direction takes the other one back, which no task waits for: one may
/// be about to, with an operation that has failed already.
#[test]
fn direction_that_is_taken_back_is_asked_for_by_the_next_wait() {
    check(Some(3), || {
        let (io, peer, fd) = opened();
        report_edges(&fd);
        let reading = fd.clone();
        let reader = move || until_done(|| reading.read()).unwrap();
        let asking = move || {
            let _ = fd.writable().poll(&mut Context::from_waker(Waker::noop()));
            peer.make_readable();
        };
        work_beside(&io, reader, asking);
    });
}

/// A direction that has told for nothing is taken back by an operation of the other one.
#[test]
fn direction_that_has_told_for_nothing_is_asked_for_by_the_next_wait() {
    check(Some(3), || {
        let (io, peer, fd) = opened();
        report_edges(&fd);
        peer.make_readable();
        io.poll();
        peer.read_elsewhere();
        let reading = fd.clone();
        let reader = move || until_done(|| reading.read()).unwrap();
        let writer = move || {
            let mut cx = Context::from_waker(Waker::noop());
            if let Err(mut ready) = fd.write() {
                let _ = ready.poll(&mut cx);
            }
            peer.make_readable();
        };
        work_beside(&io, reader, writer);
    });
}

/// The same by an operation that does not block, for either direction, while a task begins to wait.
#[test]
fn direction_that_an_operation_takes_back_is_asked_for_by_the_next_wait() {
    check(Some(3), || {
        let (io, peer, fd) = opened();
        report_edges(&fd);
        peer.make_readable();
        io.poll();
        peer.read_elsewhere();
        peer.make_writable();
        let reading = fd.clone();
        let reader = move || until_done(|| reading.read()).unwrap();
        let writer = move || {
            assert!(fd.write().is_ok(), "there is room");
            peer.make_readable();
        };
        work_beside(&io, reader, writer);
    });
}

/// The event of what is there already may be delivered before the task waits, to nobody.
#[test]
fn task_that_asks_learns_of_what_was_told_before() {
    check(Some(3), || {
        let (io, peer, fd) = opened();
        report_edges(&fd);
        peer.make_readable();
        let (tasks, waiting) = (Tasks::new(1, &io), fd.clone());
        let task = tasks.ending(move || wait_readable(&waiting).unwrap());
        at_once(task, || {
            io.poll();
            tasks.work();
        });
    });
}

/// A task reads at the place that is for one and waits there, and another one reads there too.
#[test]
fn task_that_polls_is_woken_by_what_comes_or_by_the_next_one() {
    check(Some(3), || {
        let (io, peer, fd) = opened();
        report_edges(&fd);
        let reading = fd.clone();
        let task = move || block_on(|cx| reading.poll_read(cx)).unwrap();
        let other = move || {
            let waker = Task::new().waker();
            let read = fd.poll_read(&mut Context::from_waker(&waker));
            peer.make_readable();
            assert!(read.is_pending());
        };
        work_beside(&io, task, other);
    });
}

/// Whatever the event of a descriptor that is gone does to the next one with its key, a task that
/// has read nothing there waits for what comes.
#[test]
fn late_event_of_a_descriptor_that_is_gone_ends_no_wait_for_good() {
    check(Some(3), || {
        let (io, peer, fd) = opened();
        report_edges(&fd);
        peer.make_readable();
        let (tasks, next) = (Tasks::new(1, &io), Arc::new(io.open()));
        let (ended, awaited) = (tasks.clone(), next.clone());
        let task = move || {
            drop(fd);
            let fd = io.register(&awaited).unwrap();
            until_done(|| fd.read()).unwrap();
            ended.end_one();
        };
        tasks.work_beside(task, move || next.make_readable());
    });
}

/// The runtime ends between the operation and the wait, or while the task waits.
#[test]
fn task_whose_operation_would_block_learns_that_the_runtime_ends() {
    check(Some(3), || {
        let (io, peer, fd) = opened();
        report_edges(&fd);
        let reader = move || until_done(|| fd.read()).unwrap_err();
        at_once(reader, || io.close());
        assert!(!io.is_open());
        drop(peer);
    });
}

//! Tests of the blocking mode of a descriptor before, in and after an `AsyncFd`.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use futures::FutureExt as _;
use futures::future::select_all;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{OFlags, fcntl_getfl};

use crate::*;

fn blocks(descriptor: impl AsFd) -> bool {
    !fcntl_getfl(descriptor).unwrap().contains(OFlags::NONBLOCK)
}

/// The worker used to block in the read, and with it the timer that was to end the read.
#[test]
fn a_blocking_descriptor_does_not_delay_the_timeout_around_it() {
    on_each(async || {
        let socket = AsyncFd::new(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
        let received = socket.read_with(|socket| socket.recv(&mut [0]));
        assert!(timeout(ms(1), received).await.is_err());

        let (reader, _writer) = pipe().unwrap();
        let reader = AsyncFd::new(reader).unwrap();
        let read = reader.read_with(|mut reader| reader.read(&mut [0]));
        assert!(timeout(ms(1), read).await.is_err());
    });
}

/// Both tasks are woken. The slower one finds no data; it used to block its worker.
#[test]
fn a_task_woken_for_data_that_another_has_read_waits_again() {
    on_each(async || {
        let (reader, mut writer) = pipe().unwrap();
        let reader = Arc::new(AsyncFd::new(reader).unwrap());
        let tasks = [(); 2].map(|()| {
            let reader = reader.clone();
            rt::spawn(async move {
                let read = reader.read_with(|mut reader| reader.read(&mut [0]));
                read.await.unwrap()
            })
        });
        rt::yield_now().await;
        writer.write_all(b"x").unwrap();
        let (first, second) = select_all(tasks)
            .map(|(first, _, rest)| (first, rest))
            .await;
        drop(writer);
        let second = join_all(second).await.pop().unwrap();
        assert_eq!((first.unwrap(), second.unwrap()), (1, 0));
    });
}

#[test]
fn a_descriptor_is_returned_in_its_former_mode() {
    on_each(async || {
        let (reader, writer) = pipe().unwrap();
        let reader = AsyncFd::new(reader).unwrap();
        assert!(!blocks(&reader));
        assert!(blocks(reader.into_inner()));
        // The other end is another open file description.
        let borrowed = AsyncFd::new(&writer).unwrap();
        assert!(!blocks(&writer));
        drop(borrowed);
        assert!(blocks(&writer));

        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        drop(AsyncFd::new(&writer).unwrap());
        assert!(!blocks(&writer));
        assert!(!blocks(AsyncFd::new(writer).unwrap().into_inner()));
    });
}

#[test]
fn a_refused_descriptor_keeps_its_mode() {
    on_each(async || {
        let (reader, _writer) = pipe().unwrap();
        let registered = AsyncFd::new(&reader).unwrap();
        assert!(AsyncFd::new(&reader).is_err());
        assert!(!blocks(&reader), "the mode was restored during a wait");
        drop(registered);
        assert!(blocks(&reader));
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        assert!(AsyncFd::new(&file).is_err());
        assert!(blocks(&file));
    });
}

/// One descriptor for reading and a duplicate of it for writing share one mode. If dropping the
/// first one restored it, the other one would block.
#[test]
fn the_mode_of_duplicates_is_restored_with_the_last_of_them() {
    on_each(async || {
        for first in [true, false] {
            let (here, _there) = UnixStream::pair().unwrap();
            let duplicate = here.try_clone().unwrap();
            let (one, other) = (
                AsyncFd::new(&here).unwrap(),
                AsyncFd::new(&duplicate).unwrap(),
            );
            let last = if first {
                drop(one);
                other
            } else {
                drop(other);
                one
            };
            assert!(!blocks(&here));
            let read = last.read_with(|stream| { *stream }.read(&mut [0]));
            assert!(timeout(ms(1), read).await.is_err());
            drop(last);
            assert!(blocks(&here) && blocks(&duplicate));
        }
    });
}

/// While one `AsyncFd` restores the mode, another one may find the descriptor non-blocking still.
#[test]
fn duplicates_that_come_and_go_on_many_threads_do_not_block_each_other() {
    watched(|| {
        let runtime = runtime(1);
        let (here, _there) = UnixStream::pair().unwrap();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let _entered = runtime.enter();
                    let duplicate = here.try_clone().unwrap();
                    for _ in 0..2_000 {
                        let stream = AsyncFd::new(&duplicate).unwrap();
                        assert!(!blocks(&stream));
                    }
                });
            }
        });
        assert!(blocks(&here));
    });
}

/// The kernel has one inode for all eventfds, so by their numbers these two are one open file.
#[test]
fn an_eventfd_that_was_nonblocking_stays_so_beside_one_that_was_blocking() {
    on_each(async || {
        let blocking = AsyncFd::new(eventfd(0, EventfdFlags::CLOEXEC).unwrap()).unwrap();
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let nonblocking = AsyncFd::new(eventfd(0, flags).unwrap()).unwrap();
        drop(blocking);
        assert!(!blocks(nonblocking.into_inner()));
    });
}

#[test]
fn a_descriptor_that_replaces_another_keeps_its_mode() {
    on_each(async || {
        let (first, _first) = pipe().unwrap();
        let (second, _second) = pipe().unwrap();
        let mut reader = AsyncFd::new(first).unwrap();
        *reader.get_mut() = second;
        rustix::io::ioctl_fionbio(reader.get_ref(), true).unwrap();
        assert!(!blocks(reader.into_inner()));
    });
}

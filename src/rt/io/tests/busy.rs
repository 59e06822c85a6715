//! A worker that I/O has unparked, and that is busy since: it looks for I/O between its tasks.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use super::*;
use crate::rt::scopes::running_current;
use crate::rt::{Runtime, yield_now};

/// A waker that notes which thread has collected the event.
#[derive(Default)]
struct CollectedBy(Mutex<Option<ThreadId>>);

impl Wake for CollectedBy {
    fn wake(self: Arc<Self>) {
        *self.0.lock().unwrap() = Some(thread::current().id());
    }
}

/// Returns whether the worker that runs the caller is away for I/O.
fn is_away_for_io() -> bool {
    let scope = running_current().unwrap();
    let worker = scope.core().unwrap().index;
    scope.inner().pool.idle.is_away_for_io(worker)
}

/// Waits for I/O. If its worker is then away, sends something to a descriptor, and goes on yielding
/// until that is collected. Returns whether its own thread has collected it.
async fn send_and_keep_busy(first: AsyncFd<PipeReader>, reactor: Arc<Reactor>) -> Option<bool> {
    first.read_with(|mut io| io.read(&mut [0])).await.unwrap();
    if !is_away_for_io() {
        return None;
    }
    let here = thread::current().id();
    let (second, mut writer) = piped(&reactor);
    let collected = Arc::new(CollectedBy::default());
    let waker = Waker::from(collected.clone());
    let polled = second.poll_readable(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    writer.write_all(b"x").unwrap();
    loop {
        if let Some(by) = *collected.0.lock().unwrap() {
            return Some(by == here);
        }
        yield_now().await;
    }
}

/// Otherwise the I/O waits for the I/O deputy, which takes over after some milliseconds and
/// collects it on another thread. (That may happen here, too, if this thread is not scheduled for
/// so long.)
#[test]
fn worker_that_is_away_and_busy_finds_the_io_itself() {
    watched(|| {
        // The first worker has no thread.
        let runtime = Runtime::builder().worker_threads(3).build().unwrap();
        let reactor = runtime.handle().inner().pool.reactor.clone();
        let mut found = 0;
        let mut tries = 0;
        while tries < 20 {
            let (first, mut writer) = piped(&reactor);
            let task = runtime.spawn(send_and_keep_busy(first, reactor.clone()));
            // Let the workers park, as a rule.
            thread::yield_now();
            writer.write_all(b"x").unwrap();
            if let Some(is_own) = pollster::block_on(task).unwrap() {
                tries += 1;
                found += usize::from(is_own);
            }
        }
        assert!(found > tries / 2, "in {found} of {tries} cases");
    });
}

/// The worker looked for I/O after 128 tasks, however long they were, where no timer was armed that
/// had it measure them.
#[test]
fn worker_whose_tasks_are_long_finds_io_after_a_few_of_them_although_no_timer_is_armed() {
    watched(|| {
        let runtime = Runtime::builder().worker_threads(1).build().unwrap();
        let reactor = runtime.handle().inner().pool.reactor.clone();
        let (reader, mut writer) = piped(&reactor);
        let (reads, ran) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let (done, is_done) = (reads.clone(), reads.clone());
        let count = ran.clone();
        let long = runtime.spawn(async move {
            writer.write_all(b"x").unwrap();
            while !is_done.load(Ordering::SeqCst) {
                let start = Instant::now();
                while start.elapsed() < Duration::from_micros(200) {}
                count.fetch_add(1, Ordering::SeqCst);
                yield_now().await;
            }
        });
        runtime.block_on(async move {
            reader.read_with(|mut io| io.read(&mut [0])).await.unwrap();
            done.store(true, Ordering::SeqCst);
            long.await.unwrap();
        });
        let ran = ran.load(Ordering::SeqCst);
        assert!(ran <= 64, "{ran} tasks first");
    });
}

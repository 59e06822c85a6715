//! The memory of timers in a loop that never fires all that is due.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::time::Sleep;
use crate::{Clock, Driver, Handle};

const TASKS: usize = 3000;

/// Tasks that each have one timer, and the queue of those that were woken.
struct Tasks {
    sleeps: Vec<Sleep>,
    wakers: Vec<Waker>,
    ready: Arc<Mutex<VecDeque<usize>>>,
}

struct Ready(usize, Arc<Mutex<VecDeque<usize>>>);

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.1.lock().unwrap().push_back(self.0);
    }
}

impl Tasks {
    /// Arms the timer of each task.
    fn new(handle: &Handle, wait: impl Fn(usize) -> Duration) -> Self {
        let ready = Arc::<Mutex<VecDeque<usize>>>::default();
        let waker = |task| Waker::from(Arc::new(Ready(task, ready.clone())));
        let mut tasks = Self {
            sleeps: (0..TASKS).map(|task| handle.sleep(wait(task))).collect(),
            wakers: (0..TASKS).map(waker).collect(),
            ready,
        };
        for task in 0..TASKS {
            assert!(tasks.poll(task).is_pending());
        }
        tasks
    }

    fn poll(&mut self, task: usize) -> Poll<()> {
        let mut cx = Context::from_waker(&self.wakers[task]);
        Pin::new(&mut self.sleeps[task]).poll(&mut cx)
    }

    /// Runs the tasks that were woken: each makes its next timer. Returns how many ran.
    fn run(&mut self, handle: &Handle, wait: impl Fn(usize) -> Duration) -> usize {
        let ready = std::mem::take(&mut *self.ready.lock().unwrap());
        for &task in &ready {
            assert!(self.poll(task).is_ready());
            self.sleeps[task] = handle.sleep(wait(task));
            assert!(self.poll(task).is_pending());
        }
        ready.len()
    }
}

/// Turns the driver a thousand times, each time cut by its budget because by then more timers are
/// due than a turn fires. Returns how many entries the table has, and how many timers were armed at
/// most.
fn always_behind(wait: impl Fn(usize) -> Duration) -> (usize, usize) {
    let micros = Arc::new(AtomicU64::new(0));
    let shown = micros.clone();
    let clock = Clock::custom(move || Duration::from_micros(shown.load(Ordering::Relaxed)));
    let mut driver = Driver::builder().clock(clock).build_with_unpark(|| {});
    let handle = driver.handle().clone();
    let mut tasks = Tasks::new(&handle, &wait);
    let mut most = handle.armed();
    let mut fired = 0;
    for _ in 0..1000 {
        micros.fetch_add(10, Ordering::Relaxed);
        let turn = driver.turn();
        assert!(turn.is_unfinished());
        fired += turn.fired();
        tasks.run(&handle, &wait);
        most = most.max(handle.armed());
    }
    assert!(fired > 100 * TASKS);
    (handle.shared.lock().timers.capacity(), most)
}

/// The indices of fired timers were given out again only when all that was due was out, so each
/// timer that was armed in between took a new entry: a megabyte each 25 000 firings, for ever.
#[test]
fn a_loop_that_is_always_behind_uses_the_entries_of_fired_timers_again() {
    let (capacity, most) = always_behind(|_| Duration::from_nanos(1));
    assert!(capacity <= 3 * most, "{capacity} entries for {most} timers");
    let (capacity, most) = always_behind(|task| Duration::from_nanos(1 + task as u64 % 7));
    assert!(capacity <= 3 * most, "{capacity} entries for {most} timers");
}

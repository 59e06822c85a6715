//! The pool of the page on executors, on a manual clock: time stands still while a task is in the
//! queue, or runs.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use reveille::time::{Duration, Instant, sleep};
use reveille::{Driver, Handle, Hold, ManualClock, ThreadPark};

struct Pool {
    state: Mutex<State>,
    changed: Condvar,
    timers: Handle,
}

struct State {
    /// Each with the hold that it needs until its poll is over.
    tasks: VecDeque<(Arc<Task>, Hold)>,
    driver: Option<Driver<ThreadPark>>,
    ended: bool,
}

struct Task {
    future: Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>,
    pool: Arc<Pool>,
}

impl Pool {
    fn new(clock: &ManualClock) -> Arc<Self> {
        let driver = Driver::builder().clock(clock).build(ThreadPark::new());
        let timers = driver.handle().clone();
        let state = Mutex::new(State {
            tasks: VecDeque::new(),
            driver: Some(driver),
            ended: false,
        });
        let changed = Condvar::new();
        Arc::new(Self {
            state,
            changed,
            timers,
        })
    }

    fn spawn(self: &Arc<Self>, future: impl Future<Output = ()> + Send + 'static) {
        let future = Mutex::new(Some(Box::pin(future) as _));
        let pool = self.clone();
        self.schedule(Arc::new(Task { future, pool }));
    }

    fn schedule(&self, task: Arc<Task>) {
        let mut state = self.state.lock().unwrap();
        state.tasks.push_back((task, self.timers.clock().hold()));
        let parked = state.driver.is_none();
        drop(state);
        self.changed.notify_one();
        if parked {
            self.timers.unpark();
        }
    }

    fn work(&self) {
        let _entered = self.timers.enter();
        let mut state = self.state.lock().unwrap();
        while !state.ended {
            if let Some((task, hold)) = state.tasks.pop_front() {
                drop(state);
                task.run();
                drop(hold);
                state = self.state.lock().unwrap();
            } else if let Some(mut driver) = state.driver.take() {
                drop(state);
                if !driver.advance_when_idle() {
                    driver.park();
                }
                state = self.state.lock().unwrap();
                state.driver = Some(driver);
                self.changed.notify_one();
            } else {
                state = self.changed.wait(state).unwrap();
            }
        }
    }

    fn end(&self) {
        self.state.lock().unwrap().ended = true;
        self.changed.notify_all();
        self.timers.unpark();
    }
}

impl Task {
    fn run(self: Arc<Self>) {
        let waker = Waker::from(self.clone());
        let mut cx = Context::from_waker(&waker);
        let mut future = self.future.lock().unwrap();
        let poll =
            |running: &mut Pin<Box<dyn Future<Output = ()> + Send>>| running.as_mut().poll(&mut cx);
        if future.as_mut().map(poll) == Some(Poll::Ready(())) {
            *future = None;
        }
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.pool.clone().schedule(self);
    }
}

async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Every sleep ends at its very second of simulated time, on two workers.
#[test]
fn time_stands_still_while_a_task_is_queued_or_runs() {
    for _ in 0..200 {
        let clock = ManualClock::starting_at(Instant::ORIGIN);
        let pool = Pool::new(&clock);
        let workers = [(); 2].map(|()| {
            let pool = pool.clone();
            thread::spawn(move || pool.work())
        });
        let (sender, receiver) = mpsc::channel();
        // Without it, time could move between two spawns.
        let hold = clock.hold();
        for secs in 1..=10 {
            let sender = sender.clone();
            pool.spawn(async move {
                for n in 1..=10 {
                    sleep(Duration::from_secs(secs)).await;
                    yield_now().await;
                    let now = Instant::now() - Instant::ORIGIN;
                    sender.send((secs * n, now.as_secs())).unwrap();
                }
            });
        }
        drop((hold, sender));
        let ends: Vec<_> = receiver.iter().collect();
        assert_eq!(ends.len(), 100);
        for (wanted, ended) in ends {
            assert_eq!(ended, wanted);
        }
        pool.end();
        for worker in workers {
            worker.join().unwrap();
        }
        drop(pool.state.lock().unwrap().driver.take());
        drop(std::mem::take(&mut pool.state.lock().unwrap().tasks));
    }
}

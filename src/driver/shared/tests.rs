//! The memory of timers in a loop that never fires all that is due, how often timers that are each
//! earlier than the one before interrupt a loop, and a driver that was left behind by a fork.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::driver::shared::{Arm, Reset};
use crate::instant::NEVER;
use crate::time::Sleep;
use crate::{Clock, Driver, Handle};

const TASKS: usize = 3000;

/// Returns a timer that is armed.
fn armed(driver: &Driver<()>, wait: Duration) -> Sleep {
    let mut sleep = driver.handle().sleep(wait);
    let polled = Pin::new(&mut sleep).poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending());
    sleep
}

/// Returns a driver on `clock` that counts how often its loop is interrupted.
fn counting_unparks(clock: impl Into<Clock>) -> (Driver<()>, Arc<AtomicUsize>) {
    let unparks = Arc::<AtomicUsize>::default();
    let counted = unparks.clone();
    let driver = Driver::builder().clock(clock).build_with_unpark(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    (driver, unparks)
}

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
/// due than a turn fires. Returns how many entries there are, and how many timers were armed at
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
    (handle.shared.entries(), most)
}

/// The indices of fired timers were given out again only when all that was due was out, so each
/// timer that was armed in between took a new entry: a megabyte each 25 000 firings, for ever.
#[test]
fn a_loop_that_is_always_behind_uses_the_entries_of_fired_timers_again() {
    let (entries, most) = always_behind(|_| Duration::from_nanos(1));
    assert!(entries < most + 256, "{entries} entries for {most} timers");
    let (entries, most) = always_behind(|task| Duration::from_nanos(1 + task as u64 % 7));
    assert!(entries < most + 256, "{entries} entries for {most} timers");
}

/// Arms `count` timers, an hour from now and each a microsecond earlier than the one before, while
/// the loop waits. Returns how many of them interrupted it.
fn each_earlier(driver: &Driver<()>, count: usize, unparks: &AtomicUsize) -> (Vec<Sleep>, usize) {
    let before = unparks.load(Ordering::Relaxed);
    let mut interrupted = before;
    assert!(driver.next_timeout().is_some());
    let sleeps = (1..=count as u64).map(|i| {
        let wait = Duration::from_secs(3600) - Duration::from_micros(i);
        let sleep = armed(driver, wait);
        let now = unparks.load(Ordering::Relaxed);
        if std::mem::replace(&mut interrupted, now) != now {
            assert!(driver.next_timeout().unwrap() <= wait);
        }
        sleep
    });
    (sleeps.collect(), unparks.load(Ordering::Relaxed) - before)
}

/// Each of them interrupted the loop: a wake-up for each timer.
#[test]
fn timers_that_are_each_earlier_than_the_one_before_interrupt_a_loop_a_few_times() {
    let nanos = Arc::<AtomicU64>::default();
    let shown = nanos.clone();
    let clock = Clock::custom(move || Duration::from_nanos(shown.load(Ordering::Relaxed)));
    let (mut driver, unparks) = counting_unparks(clock);
    let _first = armed(&driver, Duration::from_secs(3600));

    let (sleeps, interruptions) = each_earlier(&driver, 10_000, &unparks);
    assert_eq!(interruptions, 4);
    // The loop wakes before the deadline, once, and then at the deadline.
    let deadline = Duration::from_secs(3600) - Duration::from_micros(10_000);
    let early = driver.next_timeout().unwrap();
    assert!(
        early < deadline && early > deadline - Duration::from_secs(4),
        "{early:?}"
    );
    nanos.store(early.as_nanos() as u64, Ordering::Relaxed);
    assert_eq!(driver.turn().fired(), 0);
    assert_eq!(driver.next_timeout(), Some(deadline - early));
    nanos.store(deadline.as_nanos() as u64, Ordering::Relaxed);
    assert_eq!(driver.turn().fired(), 1);
    drop(sleeps);
}

/// They counted as interruptions in a row, and the loop went on to wake before the deadline for
/// nothing.
#[test]
fn a_wait_that_the_slack_ends_is_the_end_of_a_row_of_interruptions() {
    let (nanos, unparks) = (Arc::<AtomicU64>::default(), Arc::<AtomicUsize>::default());
    let (shown, counted) = (nanos.clone(), unparks.clone());
    let clock = Clock::custom(move || Duration::from_nanos(shown.load(Ordering::Relaxed)));
    let mut driver = Driver::builder()
        .clock(clock)
        .slack(Duration::from_millis(10))
        .build_with_unpark(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
    let arm = |wait| {
        let mut sleep = driver.handle().sleep(wait);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut sleep).poll(&mut cx).is_pending());
        sleep
    };
    let due = arm(Duration::from_nanos(1));
    let far = arm(Duration::from_secs(3600));
    // A firing, after which the slack fixes the end of the next wait.
    nanos.store(1, Ordering::Relaxed);
    let soon = arm(Duration::from_millis(1));
    assert_eq!(driver.turn().fired(), 1);
    let (sleeps, interruptions) = {
        let shared = &driver.handle().shared;
        (0..4).for_each(|_| {
            let state = shared.lock();
            shared.announce(&state, NEVER);
            assert!(shared.note_armed(1));
        });
        (soon, shared.needs_margin())
    };
    assert!(interruptions);
    assert_eq!(driver.next_timeout(), Some(Duration::from_millis(10)));
    nanos.store(10_000_001, Ordering::Relaxed);
    assert_eq!(driver.turn().fired(), 1);
    assert!(!driver.handle().shared.needs_margin());
    drop((due, far, sleeps));
}

/// Time moves on to what a frozen clock's loop announces, so that must be the deadline.
#[test]
fn a_frozen_clock_is_announced_exactly_however_often_timers_interrupt() {
    let clock = crate::ManualClock::new();
    let (driver, unparks) = counting_unparks(&clock);
    let _first = armed(&driver, Duration::from_secs(3600));
    assert_eq!(driver.next_timeout(), None);
    let mut sleeps = Vec::new();
    for i in 1..=20 {
        let wait = Duration::from_secs(3600) - Duration::from_micros(i);
        sleeps.push(armed(&driver, wait));
        assert_eq!(unparks.load(Ordering::Relaxed), i as usize);
        assert_eq!(driver.next_timeout(), None);
    }
}

/// A reset finds that the timer has fired, and a poll arms it anew. The loop waits for a later one,
/// and has to be told.
#[test]
fn a_timer_that_has_fired_and_is_reset_interrupts_a_loop_whose_clock_is_frozen() {
    let clock = crate::ManualClock::new();
    let (driver, unparks) = counting_unparks(&clock);
    let mut cx = Context::from_waker(Waker::noop());
    let [late, mut sleep] = [3600, 1].map(|wait| armed(&driver, Duration::from_secs(wait)));
    clock.advance(Duration::from_secs(1));
    assert!(sleep.is_elapsed());
    assert_eq!(driver.next_timeout(), None);

    let before = unparks.load(Ordering::Relaxed);
    sleep.reset_after(Duration::from_secs(60));
    assert!(Pin::new(&mut sleep).poll(&mut cx).is_pending());
    assert_eq!(unparks.load(Ordering::Relaxed), before + 1);
    drop(late);
}

/// A hundred thousand connections have a limit of 30 s each, and each is put off every 5 s.
///
/// The loop wakes for slots that turn out to be early, and files many of them anew each time.
#[test]
fn timers_that_are_put_off_at_random_cost_few_wake_ups() {
    const N: u64 = 100_000;
    let millis = Arc::<AtomicU64>::default();
    let shown = millis.clone();
    let clock = Clock::custom(move || Duration::from_millis(shown.load(Ordering::Relaxed)));
    let mut driver = Driver::builder().clock(clock).build_with_unpark(|| {});
    let limit = Duration::from_secs(30);
    let mut cx = Context::from_waker(Waker::noop());
    let mut sleeps: Vec<_> = (0..N).map(|_| driver.handle().sleep(limit)).collect();
    for sleep in &mut sleeps {
        assert!(Pin::new(sleep).poll(&mut cx).is_pending());
    }
    let wait = |driver: &Driver<()>| driver.next_timeout().unwrap().as_millis() as u64;
    let (mut wake_at, mut wakes) = (wait(&driver), [0; 90]);
    for now in 1..=90_000 {
        millis.store(now, Ordering::Relaxed);
        for i in now * 20..now * 20 + 20 {
            sleeps[(i * 7919 % N) as usize].reset_after(limit);
        }
        while now >= wake_at {
            assert_eq!(driver.turn().fired(), 0);
            wakes[(now - 1) as usize / 1000] += 1;
            wake_at = now + wait(&driver);
        }
    }
    // All come to the front at once after 30 s, and then within 5 s.
    let total: usize = wakes.iter().sum();
    assert!(wakes.iter().all(|&wakes| wakes <= 30), "{wakes:?}");
    assert!(total <= 90, "{total}: {wakes:?}");
}

/// In a forked process the driver is gone, and its state is not closed. A timer is not due there,
/// but moves to another driver.
#[test]
fn a_driver_that_was_abandoned_arms_no_timer() {
    let driver = Driver::with_unpark(|| {});
    let shared = &driver.handle().shared;
    shared.abandon();
    let mut waker = Some(Waker::noop().clone());
    assert!(matches!(shared.arm(NEVER, &mut waker), Arm::Closed));
    assert!(waker.is_some());
}

/// A thread that does not exist in the forked process may have held the lock. To bring a deadline
/// forward waited for it for ever.
#[test]
fn timers_of_a_driver_that_was_abandoned_do_not_wait_for_its_lock() {
    let driver = Driver::with_unpark(|| {});
    let shared = &driver.handle().shared;
    let mut waker = Some(Waker::noop().clone());
    let Arm::Armed { index, .. } = shared.arm(20, &mut waker) else {
        panic!("the driver has not turned yet");
    };
    let held = shared.lock_all();
    shared.abandon();
    assert!(matches!(shared.reset(index, 20, 10), Reset::Gone));
    assert!(!shared.replace_waker(index, 20, &mut Waker::noop().clone()));
    assert!(shared.cancel(index, 20).is_none());
    drop(held);
}

#[test]
fn a_timer_of_a_driver_that_was_abandoned_is_not_ended_by_a_reset() {
    let driver = Driver::with_unpark(|| {});
    let handle = driver.handle();
    let mut sleep = armed(&driver, Duration::from_secs(60));
    handle.shared.abandon();
    sleep.reset_at(handle.now() + Duration::from_secs(30));
    assert!(!sleep.is_elapsed());
}

/// Arms many timers, puts them off, and one more that is due after them. Returns how many calls it
/// takes to fire that, if each may fire as many as it likes.
fn calls_to_get_past_timers_that_were_put_off(clock: Clock) -> usize {
    const COUNT: u64 = 100_000;
    let driver = Driver::builder().clock(clock).build_with_unpark(|| {});
    let shared = &driver.handle().shared;
    for i in 0..COUNT {
        let at = 1_000 + i;
        let mut waker = Some(Waker::noop().clone());
        let Arm::Armed { index, .. } = shared.arm(at, &mut waker) else {
            panic!("not armed");
        };
        assert!(matches!(
            shared.reset(index, at, at << 20),
            Reset::Moved { .. }
        ));
    }
    let mut waker = Some(Waker::noop().clone());
    let armed = shared.arm(2_000 + COUNT, &mut waker);
    assert!(matches!(armed, Arm::Armed { .. }));
    for calls in 1.. {
        let (fired, more) = shared.fire(3_000 + COUNT, usize::MAX);
        assert_eq!(fired, usize::from(!more));
        if !more {
            return calls;
        }
    }
    unreachable!()
}

/// A call without a limit on timers got through all stale slots, however many there were. A tokio
/// runtime made such calls, and its tasks and sockets waited.
#[test]
fn a_call_that_fires_gets_past_a_bounded_number_of_stale_slots() {
    let clock = Clock::custom(|| Duration::ZERO);
    let calls = calls_to_get_past_timers_that_were_put_off(clock);
    assert!((8..100).contains(&calls), "{calls} calls");
}

/// Time that is moved by hand goes from deadline to deadline.
#[test]
fn a_call_that_fires_on_a_clock_moved_by_hand_gets_past_all_stale_slots() {
    let clock = crate::ManualClock::new();
    let calls = calls_to_get_past_timers_that_were_put_off((&clock).into());
    assert_eq!(calls, 1);
}

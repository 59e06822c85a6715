//! The number of instructions that each hot path takes.
//!
//! `cargo bench --bench instructions`; needs `valgrind`. They are counted by callgrind, which
//! simulates the processor, so the figures for one binary are always the same, whatever else the
//! machine does. Each path runs for two numbers of operations in two processes, and the difference
//! of the counts is divided by that of the numbers, which cancels out everything that happens once.

mod callgrind;

use std::future::Future;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use reveille::time::{Instant, Sleep, sleep};
use reveille::{Clock, Driver, Handle, TimerQueue};

use crate::callgrind::counted;

/// The name of a path, and a function that runs it so many times.
type Path = (&'static str, fn(u64));

const PATHS: [Path; 20] = [
    ("read the clock (std)", read_clock),
    ("Instant::now: no driver entered", now_outside),
    ("Instant::now: a driver entered", now_inside),
    ("sleep: arm, cancel; 1 k waiting", arm_and_cancel),
    ("sleep: made, not polled", make),
    ("sleep: by the free function, not polled", make_free),
    ("sleep: process-wide thread; arm, cancel", process_wide),
    ("sleep: reset later, poll", reset),
    ("sleep: poll again, pending", poll_again),
    ("sleep: arm, fire, poll, drop; random", fire),
    ("sleep: ended, poll again", poll_ended),
    ("sleep: due, made, poll, drop", due),
    ("timeout: made, ready at once, drop", timeout_of_ready),
    ("driver: turn with nothing due", idle_turn),
    ("queue: insert, remove; 1 k waiting", queue_insert_remove),
    ("queue: insert, pop; in order", queue_in_order),
    ("queue: insert, pop; decreasing", queue_decreasing),
    ("queue: replace a random one of 20 k", queue_replace),
    ("queue: reset a random one of 20 k", queue_reset),
    ("queue: an interval of 20 k", queue_interval),
];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, path, count] = &args[..]
        && let (Ok(path), Ok(count)) = (path.parse::<usize>(), count.parse())
    {
        return PATHS[path].1(count);
    }
    println!("{:<40} {:>12}", "path", "instructions");
    for (index, (name, _)) in PATHS.iter().enumerate() {
        match (counted(index, 2_000), counted(index, 12_000)) {
            (Some(few), Some(many)) => println!("{name:<40} {:>12}", (many - few) / 10_000),
            _ => {
                println!("valgrind did not run: install it, then run this again");
                return;
            }
        }
    }
}

struct NoopWake;

impl Wake for NoopWake {
    fn wake(self: Arc<Self>) {}
}

fn waker() -> Waker {
    Waker::from(Arc::new(NoopWake))
}

fn poll(sleep: &mut Sleep, waker: &Waker) -> Poll<()> {
    std::pin::Pin::new(sleep).poll(&mut Context::from_waker(waker))
}

fn armed(handle: &Handle, wait: Duration, waker: &Waker) -> Sleep {
    let mut sleep = handle.sleep(wait);
    assert!(poll(&mut sleep, waker).is_pending());
    sleep
}

fn spread(i: u64) -> u64 {
    i.wrapping_mul(6_364_136_223_846_793_005) >> 33
}

fn read_clock(count: u64) {
    for _ in 0..count {
        black_box(std::time::Instant::now());
    }
}

fn now_outside(count: u64) {
    for _ in 0..count {
        black_box(Instant::now());
    }
}

fn now_inside(count: u64) {
    let driver = Driver::with_unpark(|| {});
    let _entered = driver.handle().enter();
    now_outside(count);
}

fn arm_and_cancel(count: u64) {
    let (driver, waker) = (Driver::with_unpark(|| {}), waker());
    let wait = |i| Duration::from_nanos(30_000_000_000 + spread(i) % 1_000_000_000);
    let waiting: Vec<_> = (0..1_000)
        .map(|i| armed(driver.handle(), wait(i), &waker))
        .collect();
    for i in 0..count {
        drop(black_box(armed(driver.handle(), wait(i), &waker)));
    }
    drop(waiting);
}

fn process_wide(count: u64) {
    let waker = waker();
    for i in 0..count + 1 {
        // The first one is the earliest, so that no other one wakes the thread.
        let mut sleep = sleep(Duration::from_secs(3600) + Duration::from_millis(i));
        assert!(poll(&mut sleep, &waker).is_pending());
        drop(black_box(sleep));
    }
}

fn make(count: u64) {
    let driver = Driver::with_unpark(|| {});
    for _ in 0..count {
        drop(black_box(driver.handle().sleep(Duration::from_secs(30))));
    }
}

fn make_free(count: u64) {
    let driver = Driver::with_unpark(|| {});
    let _entered = driver.handle().enter();
    for _ in 0..count {
        drop(black_box(sleep(Duration::from_secs(30))));
    }
}

fn reset(count: u64) {
    let (driver, waker) = (Driver::with_unpark(|| {}), waker());
    let mut sleep = armed(driver.handle(), Duration::from_secs(30), &waker);
    let mut deadline = sleep.deadline();
    for _ in 0..count {
        deadline += Duration::from_nanos(100);
        sleep.reset_at(black_box(deadline));
        assert!(poll(&mut sleep, &waker).is_pending());
    }
}

fn poll_again(count: u64) {
    let (driver, waker) = (Driver::with_unpark(|| {}), waker());
    let mut sleep = armed(driver.handle(), Duration::from_secs(30), &waker);
    for _ in 0..count {
        assert!(poll(&mut sleep, &waker).is_pending());
    }
}

fn fire(count: u64) {
    let nanos = Arc::new(AtomicU64::new(0));
    let counter = nanos.clone();
    let clock = Clock::custom(move || Duration::from_nanos(counter.load(Ordering::Relaxed)));
    let mut driver = Driver::builder().clock(clock).build_with_unpark(|| {});
    let waker = waker();
    for batch in 0..count / 1_000 {
        let wait = |i| Duration::from_nanos(1 + spread(batch * 1_000 + i) % 10_000);
        let mut sleeps: Vec<_> = (0..1_000)
            .map(|i| armed(driver.handle(), wait(i), &waker))
            .collect();
        nanos.fetch_add(10_000, Ordering::Relaxed);
        assert_eq!(driver.turn().fired(), 1_000);
        assert!(
            sleeps
                .iter_mut()
                .all(|sleep| poll(sleep, &waker).is_ready())
        );
    }
}

fn poll_ended(count: u64) {
    let (driver, waker) = (Driver::with_unpark(|| {}), waker());
    let mut sleep = driver.handle().sleep(Duration::ZERO);
    for _ in 0..count {
        while black_box(poll(&mut sleep, &waker)).is_pending() {}
    }
}

fn due(count: u64) {
    let (driver, waker) = (Driver::with_unpark(|| {}), waker());
    for _ in 0..count {
        // Pending now and then, to let other tasks run.
        let mut sleep = driver.handle().sleep(Duration::ZERO);
        while black_box(poll(&mut sleep, &waker)).is_pending() {}
    }
}

fn timeout_of_ready(count: u64) {
    let (driver, waker) = (Driver::with_unpark(|| {}), waker());
    let mut cx = Context::from_waker(&waker);
    let limit = Duration::from_secs(30);
    for i in 0..count {
        let mut limited = driver.handle().timeout(limit, std::future::ready(i));
        while black_box(std::pin::Pin::new(&mut limited).poll(&mut cx)).is_pending() {}
    }
}

fn idle_turn(count: u64) {
    let (mut driver, waker) = (Driver::with_unpark(|| {}), waker());
    let sleep = armed(driver.handle(), Duration::from_secs(30), &waker);
    for _ in 0..count {
        black_box(driver.turn());
    }
    drop(sleep);
}

fn queue_insert_remove(count: u64) {
    let (mut queue, start) = (TimerQueue::new(), Instant::now());
    let at = |i| start + Duration::from_nanos(30_000_000_000 + spread(i) % 1_000_000_000);
    for i in 0..1_000 {
        queue.insert(at(i), i);
    }
    for i in 0..count {
        let key = queue.insert(at(i), i);
        black_box(queue.remove(key));
    }
}

fn queue_in_order(count: u64) {
    let (mut queue, start) = (TimerQueue::new(), Instant::now());
    for i in 0..count {
        queue.insert(start + Duration::from_nanos(i), i);
    }
    while let Some(due) = queue.pop_due(start + Duration::from_secs(1)) {
        black_box(due);
    }
}

fn queue_decreasing(count: u64) {
    let (mut queue, start) = (TimerQueue::new(), Instant::now());
    for i in (0..count).rev() {
        queue.insert(start + Duration::from_nanos(i), i);
    }
    while let Some(due) = queue.pop_due(start + Duration::from_secs(1)) {
        black_box(due);
    }
}

/// How many timers wait in the paths below, and how often each is replaced or reset before the
/// measurement, so that there are as many stale slots as in the long run.
const WAITING: u64 = 20_000;
const ROUNDS: u64 = 10;

/// Returns the number of a random timer, and a random deadline between 29 and 31 s.
fn chosen(i: u64) -> (usize, u64) {
    let random = spread(spread(i) ^ i);
    let jitter = spread(random) % 2_000_000_000;
    ((random % WAITING) as usize, 29_000_000_000 + jitter)
}

fn queue_replace(count: u64) {
    let (mut queue, start) = (TimerQueue::new(), Instant::now());
    let at = |i| start + Duration::from_nanos(chosen(i).1);
    let mut keys: Vec<_> = (0..WAITING).map(|i| queue.insert(at(i), i)).collect();
    for i in WAITING..WAITING * ROUNDS + count {
        let key = &mut keys[chosen(i).0];
        queue.remove(*key);
        *key = queue.insert(at(i), i);
    }
}

fn queue_reset(count: u64) {
    let (mut queue, start) = (TimerQueue::new(), Instant::now());
    let at = |i| start + Duration::from_nanos(30_000_000_000 + i * 100);
    let keys: Vec<_> = (0..WAITING).map(|i| queue.insert(at(i), i)).collect();
    for i in WAITING..WAITING * ROUNDS + count {
        queue.reset(keys[chosen(i).0], at(i));
    }
}

fn queue_interval(count: u64) {
    let (mut queue, start) = (TimerQueue::new(), Instant::now());
    for i in 0..WAITING {
        queue.insert(start + Duration::from_nanos(chosen(i).1), i);
    }
    for _ in 0..WAITING + count {
        let due = queue.pop_due(start + Duration::from_secs(1_000_000));
        let due = due.expect("intervals never end");
        queue.insert(due.deadline + Duration::from_secs(1), due.value);
    }
}

//! Parts 16 to 19: the heap, the loop that drives it, what it stores, and its operations.

use std::sync::mpsc;

use reveille::time::{Duration, Instant};
use reveille::{Driver, ManualClock, ThreadPark, TimerQueue};

use crate::guide::Guide;
use crate::timers::ms;

/// Draws the heap as the guide does: the root above the others. Returns them as the guide's array.
///
/// The root is what the queue would take out next. The others are in no particular order, as in
/// any heap, and are drawn as they lie in the queue's table.
fn draw(guide: &Guide, queue: &mut TimerQueue<char>, start: Instant) -> String {
    let Some((root, ..)) = queue.peek() else {
        return "[]".to_owned();
    };
    let name = |at: Instant, value: &char| format!("{value}{}", (at - start).as_millis());
    let (mut drawn, mut others) = (Vec::new(), Vec::new());
    for (key, at, value) in queue.iter() {
        let list = if key == root { &mut drawn } else { &mut others };
        list.push(name(at, value));
    }
    drawn.append(&mut others);
    guide.note(format!("{:>8}", drawn[0]));
    match &drawn[1..] {
        [] => {}
        [left] => {
            guide.note("   /");
            guide.note(left);
        }
        [left, right, ..] => {
            guide.note("   /    \\");
            guide.note(format!("{left}    {right}"));
        }
    }
    format!("[{}]", drawn.join(", "))
}

pub(crate) fn picture(guide: &mut Guide) {
    guide.part(
        16,
        "The min-heap",
        "A 200 ms, B 100 ms, C 150 ms lie as [B100, A200, C150]; after B, C is the root",
    );
    // No clock is read: a queue is given the time.
    let start = Instant::ORIGIN;
    let mut queue = TimerQueue::new();
    for (name, at) in [('A', 200), ('B', 100), ('C', 150)] {
        queue.insert(start + ms(at), name);
    }
    let three = draw(guide, &mut queue, start);
    guide.expect("the array", three.as_str(), "[B100, A200, C150]");
    let fired = queue.pop_due(start + ms(100)).map(|due| due.value);
    guide.expect("fired at 100 ms", fired, Some('B'));
    let two = draw(guide, &mut queue, start);
    guide.expect("the array", two.as_str(), "[C150, A200]");
    guide.expect("before 150 ms", queue.pop_due(start + ms(149)), None);
}

pub(crate) fn driver_loop(guide: &mut Guide) {
    guide.part(
        17,
        "The loop",
        "look at the root; if it is due, remove it and send; sleep until the next; repeat",
    );
    let mut driver = Driver::new(ThreadPark::new());
    let (sender, channel) = mpsc::channel();
    let start = Instant::now();
    for (name, at) in [('A', 20), ('B', 10), ('C', 15)] {
        let sender = sender.clone();
        driver.handle().call_after(ms(at), move || {
            let _ = sender.send((name, ms(at), Instant::now()));
        });
    }
    let mut order = String::new();
    while let Some(root) = driver.next_deadline() {
        let turn = driver.park(); // sleeps until the root is due, and fires what is
        for (name, least, at) in channel.try_iter() {
            guide.at_least(&format!("{name} was sent after"), at - start, least);
            order.push(name);
        }
        assert!(turn.fired() == 0 || Instant::now() >= root);
    }
    guide.expect("the order", order.as_str(), "BCA");
}

pub(crate) fn record(guide: &mut Guide) {
    guide.part(18, "The record of a timer", "when, period, f, arg and seq");
    let clock = ManualClock::new();
    let start = clock.now();
    let driver = Driver::builder().clock(&clock).build(ThreadPark::new());
    let (sender, channel) = mpsc::channel();
    let call = |arg: &'static str| {
        let (sender, clock) = (sender.clone(), clock.clone());
        move || {
            let _ = sender.send((arg, (clock.now() - start).as_millis()));
        }
    };
    // A function with its argument, once or every period. Of equal times, the first armed is first.
    driver.handle().call_after(ms(30), call("first"));
    driver.handle().call_after(ms(30), call("second"));
    let every = driver.handle().call_every(ms(20), call("every 20"));
    clock.advance(ms(65));
    every.stop();
    clock.advance(ms(1000));
    let calls: Vec<_> = channel.try_iter().collect();
    let promised = vec![
        ("every 20", 20),
        ("first", 30),
        ("second", 30),
        ("every 20", 40),
        ("every 20", 60),
    ];
    guide.expect("argument and time of each call", calls, promised);
}

pub(crate) fn operations(guide: &mut Guide) {
    guide.part(
        19,
        "The runtime's operations",
        "addtimer, deltimer, modtimer; cleantimers and adjusttimers tidy up later",
    );
    const TIMERS: u64 = 100_000;
    let start = Instant::ORIGIN;
    let mut queue = TimerQueue::new();
    let keys: Vec<_> = (1..=TIMERS)
        .map(|n| queue.insert(start + Duration::from_secs(n), n))
        .collect();
    guide.expect("added", queue.len(), TIMERS as usize);
    // Each hundredth stays; of those, each tenth is moved to before all others.
    let mut deleted = 0;
    for (n, &key) in (1..=TIMERS).zip(&keys) {
        if n % 100 != 0 {
            deleted += usize::from(queue.remove(key) == Some(n));
        } else if n % 1000 == 0 {
            queue.reset(key, start + Duration::from_micros(n));
        }
    }
    guide.expect("deleted, and left", (deleted, queue.len()), (99_000, 1000));
    guide.expect("deleted twice", queue.remove(keys[0]), None);
    guide.expect("a deleted one is moved", queue.reset(keys[0], start), false);
    let mut fired = Vec::new();
    while let Some(next) = queue.next_deadline() {
        let due = queue.pop_due(next).map(|due| (due.value, next - start));
        fired.extend(due);
    }
    let moved = (1000..=TIMERS).step_by(1000);
    let others = (100..=TIMERS).step_by(100).filter(|n| n % 1000 != 0);
    let promised: Vec<_> = moved
        .map(|n| (n, Duration::from_micros(n)))
        .chain(others.map(|n| (n, Duration::from_secs(n))))
        .collect();
    let as_promised = fired == promised;
    guide.expect("the moved ones first, each at its time", as_promised, true);
    guide.note(
        "each operation tidies up a little, none for long: `cargo bench --bench longest_call`",
    );
}

//! `Sleep`s in a loop of your own, polled by hand: a game that draws 60 frames a second. Without
//! futures a `TimerQueue` is simpler, see `mio_loop.rs`.
//!
//! ```sh
//! cargo run --release --example your_own_loop
//! ```
//!
//! A game or a window system has a loop already. It only has to call [`Driver::turn`] once a pass,
//! and [`Driver::next_timeout`] before it waits. Each [`Sleep`] is polled with a waker that puts an
//! event on the loop's own list, so timers arrive like key presses. They fire when they are due,
//! also between frames, instead of waiting for the next frame.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use reveille::Driver;
use reveille::time::{Instant, Sleep};

const FRAME: Duration = Duration::from_nanos(1_000_000_000 / 60);
const FRAMES: u32 = 30;

/// What the loop reacts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// Another thread or a timer has put an event on the list.
    Nudge,
    Frame,
    BombExplodes,
    GhostBlinks,
    ShieldEnds,
}

/// A waker that puts an event on the list.
struct Put(Event, Sender<Event>);

impl Wake for Put {
    fn wake(self: Arc<Self>) {
        // This fails if the loop is gone, which does not matter.
        let _ = self.1.send(self.0);
    }
}

/// A timer whose end is an event.
struct Timer {
    sleep: Sleep,
    waker: Waker,
}

impl Timer {
    fn start(driver: &Driver<()>, events: &Sender<Event>, event: Event, after: Duration) -> Self {
        let mut timer = Self {
            sleep: driver.handle().sleep(after),
            waker: Waker::from(Arc::new(Put(event, events.clone()))),
        };
        timer.arm();
        timer
    }

    /// Starts over from the old deadline and not from now, so that the period does not drift.
    fn again(&mut self, after: Duration) {
        // It has fired, so the reset arms nothing: the next poll does. A loop that resets a timer and
        // does not poll it again waits for nothing.
        self.sleep.reset_at(self.sleep.deadline() + after);
        self.arm();
    }

    /// Polls the sleep, which arms it. Before that, the driver does not know it.
    fn arm(&mut self) {
        let mut cx = Context::from_waker(&self.waker);
        if let Poll::Ready(()) = Pin::new(&mut self.sleep).poll(&mut cx) {
            // It is due already. A ready future does not wake its task, so this puts the event on
            // the list.
            self.waker.wake_by_ref();
        }
    }

    fn late(&self, now: Instant) -> Duration {
        now - self.sleep.deadline()
    }
}

fn main() {
    let (sender, events) = channel();

    // Any thread may arm a timer. One that is due before the loop would wake ends its wait.
    let nudge = sender.clone();
    let mut driver = Driver::with_unpark(move || {
        let _ = nudge.send(Event::Nudge); // fails once the loop is gone
    });

    let millis = Duration::from_millis;
    let start = driver.handle().now();
    let mut frame = Timer::start(&driver, &sender, Event::Frame, FRAME);
    let mut bomb = Timer::start(&driver, &sender, Event::BombExplodes, millis(123));
    let mut ghost = Timer::start(&driver, &sender, Event::GhostBlinks, millis(70));
    let mut shield = Timer::start(&driver, &sender, Event::ShieldEnds, millis(150));

    println!("A game at 60 frames a second; its timers fire when due, not at the next frame.\n");
    println!("  time        frame  event          late by");
    let mut frames = 0;
    let mut frame_lateness = Vec::new();
    let mut fired = 0;

    while frames < FRAMES {
        // A game waits for its window here; this program waits for the list.
        let event = wait(&events, driver.next_timeout());
        fired += driver.turn().fired();

        for event in event.into_iter().chain(events.try_iter()) {
            let now = driver.handle().now();
            let timer = match event {
                Event::Nudge => continue,
                Event::Frame => &mut frame,
                Event::BombExplodes => &mut bomb,
                Event::GhostBlinks => &mut ghost,
                Event::ShieldEnds => &mut shield,
            };
            let late = timer.late(now);
            if event == Event::Frame {
                frames += 1;
                frame_lateness.push(late);
                frame.again(FRAME);
                continue;
            }
            let time = (now - start).as_secs_f64() * 1e3;
            println!(
                "  {time:6.2} ms  {frames:6}  {:13}  {late:?}",
                format!("{event:?}")
            );

            match event {
                Event::GhostBlinks => ghost.again(millis(70)),
                // The blast hits the shield and recharges it, so its timer is moved in place.
                Event::BombExplodes => shield.again(millis(150)),
                _ => {}
            }
        }
    }

    let elapsed = driver.handle().now() - start;
    frame_lateness.sort();
    println!(
        "\n  {frames} frames in {elapsed:?}, {:?} wanted",
        FRAME * FRAMES
    );
    println!(
        "  frames were late by {:?} (median), {:?} (most)",
        frame_lateness[frame_lateness.len() / 2],
        frame_lateness[frame_lateness.len() - 1]
    );
    println!("  the driver fired {fired} timers in all");
    assert!(elapsed >= FRAME * FRAMES, "a frame came early");
}

/// Waits for an event, for as long as the driver allows.
fn wait(events: &Receiver<Event>, timeout: Option<Duration>) -> Option<Event> {
    match timeout {
        Some(timeout) => events.recv_timeout(timeout).ok(),
        None => events.recv().ok(),
    }
}

//! Debounce and throttle.
//!
//! ```sh
//! cargo run --release --features patterns --example debounce_throttle
//! ```
//!
//! *Debounce* waits until there is silence, and passes on the last: for a search while somebody
//! types. *Throttle* passes on at most one in each period. [`StreamExt::throttle`] makes the others
//! wait and loses none; [`Gate`] refuses them, for progress reports and other values that the next
//! one makes useless.

use std::time::Duration;

use futures::channel::mpsc;
use futures::{Stream, StreamExt as _};
use reveille::StreamExt;
use reveille::rt;
use reveille::time::{Instant, sleep};

/// Searches for what was typed, once no key has been pressed for `silence`.
pub(crate) async fn search<S: Stream<Item = String>>(
    typed: S,
    silence: Duration,
    mut search: impl FnMut(String),
) {
    let mut words = std::pin::pin!(typed.debounce(silence));
    while let Some(word) = words.next().await {
        search(word);
    }
}

/// Sends everything, but not two things within `period`.
pub(crate) async fn send_slowly<S: Stream>(
    values: S,
    period: Duration,
    mut send: impl FnMut(S::Item),
) {
    let mut values = std::pin::pin!(values.throttle(period));
    while let Some(value) = values.next().await {
        send(value);
    }
}

/// Lets through at most one in each period, and refuses the others.
///
/// No timer runs for it: the time is only compared when something comes.
#[derive(Debug)]
pub(crate) struct Gate {
    period: Duration,
    opens: Option<Instant>,
}

impl Gate {
    pub(crate) fn new(period: Duration) -> Self {
        Self {
            period,
            opens: None,
        }
    }

    /// Returns whether something may pass now.
    pub(crate) fn pass(&mut self) -> bool {
        let now = Instant::now();
        if self.opens.is_some_and(|opens| now < opens) {
            return false;
        }
        self.opens = Some(now + self.period);
        true
    }
}

/// Sends each beginning of `text`, as when it is typed, with `pause` between two keys.
pub(crate) async fn type_in(
    text: &'static str,
    pause: Duration,
    keyboard: &mpsc::UnboundedSender<String>,
) {
    for (start, key) in text.char_indices() {
        let end = start + key.len_utf8();
        let _ = keyboard.unbounded_send(text[..end].to_owned());
        sleep(pause).await;
    }
}

#[allow(dead_code, reason = "the tests include this file as a module")]
fn main() {
    const MS: Duration = Duration::from_millis(1);
    let start = Instant::now();
    let say = |what: &str| println!("  {:>3} ms  {what}", start.elapsed().as_millis());
    rt::block_on(async {
        println!("A search while somebody types, 5 ms a key, after 25 ms of silence:");
        let (keyboard, typed) = mpsc::unbounded();
        rt::spawn(async move {
            type_in("timer", 5 * MS, &keyboard).await;
            sleep(40 * MS).await;
            type_in("timers", 5 * MS, &keyboard).await;
        });
        search(typed, 25 * MS, |word| say(&format!("search for {word}"))).await;

        println!("Five messages at once, sent 10 ms apart:");
        let messages = futures::stream::iter(1..=5);
        send_slowly(messages, 10 * MS, |message| {
            say(&format!("message {message}"))
        })
        .await;

        println!("A report of progress after each of 1000 steps, one in 10 ms at most:");
        let mut gate = Gate::new(10 * MS);
        for step in 1..=1000 {
            if gate.pass() {
                say(&format!("step {step} of 1000"));
            }
            if step % 25 == 0 {
                sleep(MS).await;
            }
        }
    });
}

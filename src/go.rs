//! Go's timers: [`Timer`], [`Ticker`], [`after`], [`tick`] and [`after_func`].
//!
//! For programs that come from Go, and for the two things that Go's timers have and tokio's have
//! not: `stop` and `reset` tell whether the value, or the call, was still to come, and other tasks
//! can call them. What each of Go's names became is on [a page of its own](crate::docs::from_go).
//!
//! | Go | here |
//! |---|---|
//! | `time.Sleep(d)` | [`time::sleep(d).await`](crate::time::sleep) |
//! | `t := time.NewTimer(d)`, `<-t.C` | [`Timer::new(d)`](Timer::new), `(&mut t).await` |
//! | `t.Stop()`, `t.Reset(d)` | [`t.stop()`](Timer::stop), [`t.reset(d)`](Timer::reset) |
//! | the same from another goroutine | [`t.remote()`](Timer::remote), a [`TimerRemote`] |
//! | `time.After(d)` | [`after(d)`](after) |
//! | `time.AfterFunc(d, f)` | [`after_func(d, f)`](after_func), a [`FuncTimer`] |
//! | `time.NewTicker(d)`, `<-t.C` | [`Ticker::new(d)`](Ticker::new), [`t.tick().await`](Ticker::tick) |
//! | `for range t.C` | `while let Some(at) = t.next().await` |
//! | `time.Tick(d)` | [`tick(d)`](tick) |
//!
//! The meanings are those of Go 1.23 and later: after a `stop` or `reset` no earlier value is ever
//! received, nothing has to be drained, and a timer that is no longer referred to is gone.
//!
//! # Durations
//!
//! A [`Duration`] is never negative, so Go's negative ones have no counterpart. Zero is due at
//! once; for a [`Ticker`] it is an error, as in Go. A duration beyond the clock's end (292 years),
//! such as `Duration::MAX`, is never: no call overflows or panics because of it.
//!
//! # Which driver
//!
//! All of them work on any executor, on the [current driver](crate::Handle::current), like the
//! functions of [`time`](crate::time). As a [`Sleep`] does, those that are awaited move to another
//! driver if theirs ends, and [yield](crate::time#yielding). [`after_func`] does neither: if its
//! driver ends, its function is dropped.
//!
//! [`Duration`]: crate::time::Duration
//! [`Sleep`]: crate::time::Sleep
//!
//! # Examples
//!
//! ```
//! use futures::{StreamExt, select};
//! use reveille::go::{self, Ticker};
//! use reveille::time::Duration;
//!
//! pollster::block_on(async {
//!     let mut ticker = Ticker::new(Duration::from_millis(1));
//!     let mut end = go::after(Duration::from_millis(20));
//!     let mut ticks = 0;
//!     loop {
//!         select! {
//!             _ = ticker.select_next_some() => ticks += 1,
//!             _ = end => break,
//!         }
//!     }
//!     assert!(ticks > 0);
//! });
//! ```

// How it is made. `Timer`, `After` and `Ticker` are each a `Sleep` and what Go adds to it: whether
// a value is to come. They are used by their owner alone (`&mut self`), so a value, a stop and a
// reset are in one order without any lock, and nothing is stored that could be stale: a value is
// made when it is received. In Go the channel between the runtime and the receiver stores one.
//
// Other tasks stop and reset a `Timer` through a `TimerRemote`. They do not touch the `Sleep`,
// which the owner may just be polling: they note what is to be, and wake the owner's task
// (`remote.rs`).
//
// A `FuncTimer` is in `callback.rs`, since loops without futures use it too. `after_func` adds that
// its function is spawned as a task (`func.rs`).

mod after;
mod func;
mod remote;
mod ticker;
mod timer;

pub use self::after::{After, after, after_at};
pub use self::func::after_func;
pub use self::remote::TimerRemote;
pub use self::ticker::{Ticker, tick};
pub use self::timer::Timer;
#[doc(no_inline)]
pub use crate::callback::FuncTimer;

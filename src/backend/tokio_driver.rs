//! The drivers of tokio runtimes: inside a runtime, its own loop fires the timers.
//!
//! Each runtime gets a [`TokioDriver`] when a timer is first made in it, until the runtime ends.
//! That is a sharded driver with a shard for each worker and one for all other threads (or a single
//! one, if there is one worker). Its wake source is something that tokio waits for
//! ([`WakeSources`]). Each thread caches its shard.
//!
//! The registry owns the drivers of all runtimes, a driver owns its shards, and a shard refers back
//! to it by a weak reference. Tokio waits for one of the wake sources, with one exception
//! (`unwatched`), so it wakes the driver when it shuts down. Then the shards close, their timers
//! move to another driver (see `time::Sleep`), and the driver is removed from the registry.
//!
//! # On which thread
//!
//! To fire timers, to close a driver and to drop it runs foreign code: the wakers of tasks, and
//! destructors of what the runtime holds. That is done where tokio calls the driver's waker, on a
//! thread of the runtime or the one that shuts it down. It is not done on a thread that makes, arms
//! or drops a timer, which may hold a lock that this code takes. If such a thread finds that the
//! runtime is gone, because it arms a timer while the runtime shuts down, the driver is closed on a
//! thread of its own ([`TokioDriver::end_elsewhere`]). The exceptions: `time::advance`, a system
//! that starts no thread, and a new driver, without timers, that another thread was faster to make.
//!
//! The modules: `time` (the clock of a runtime), `descriptor` (the timerfd), `wake_sources` (what
//! tokio waits for), `wake_cost` (what a wake-up costs), `relay` (who waits while a task computes),
//! and `test_clock` (pausing tokio's clock).

mod descriptor;
mod relay;
#[cfg(feature = "test-util")]
mod test_clock;
mod time;
mod wake_cost;
mod wake_sources;

use std::cell::RefCell;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Wake, Waker};
use std::thread;

use tokio::runtime::{self, Id, worker_index};

use self::descriptor::Descriptor;
use self::relay::Relay;
use self::time::Probe;
use self::wake_sources::{CallNote, WakeSources};
use crate::driver::Handle;
use crate::driver::sharded::{Liveness, ShardedDriver};
use crate::driver::shared::{Notifier, Origin, Shared};
use crate::driver::slack::SharedSlack;
use crate::sync::lock_std;

#[cfg(feature = "test-util")]
pub(crate) use self::test_clock::{advance, can_advance, owns, pause, resume};
pub(crate) use self::time::now;

/// What an error message adds about tokio where a driver is missing: a runtime has one.
pub(super) const HINT: &str = ", or inside of a tokio runtime";

/// About how many timers fire each time that a wake source expires, before tasks run again. What is
/// left takes one more system call and one more pass of tokio's loop.
const MOST_TIMERS: usize = 4096;

/// The drivers of one runtime.
struct TokioDriver {
    runtime: Id,
    sharded_driver: ShardedDriver<WakeSources<Self>>,
    /// The timerfd among the wake sources, which own it.
    descriptor: Option<Weak<Descriptor>>,
    calls: CallNote,
    /// How many timers fire at once, at most: [`MOST_TIMERS`], but all that are due if the clock
    /// may be paused, since tokio may then advance it.
    most: usize,
    /// What tells whether the runtime has ended, if it may end without waking this driver. Then
    /// [`end_unwatched`](Self::end_unwatched) asks.
    unwatched: Option<Probe>,
    relay: Relay,
}

/// The drivers of all runtimes in which a timer was made, and which have not ended.
static DRIVERS: Mutex<Vec<Arc<TokioDriver>>> = Mutex::new(Vec::new());

thread_local! {
    /// The runtime that this thread was last in, and the thread's shard of its driver: `None` if
    /// the runtime cannot have a driver.
    static CACHED: RefCell<Option<(Id, Option<Handle>)>> = const { RefCell::new(None) };
}

/// The tokio runtime that a thread was in when it entered a driver, if it was in one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct RuntimeAtEntry(Option<Id>);

impl RuntimeAtEntry {
    pub(super) fn current() -> Self {
        Self(runtime::Handle::try_current().map(|it| it.id()).ok())
    }

    /// Returns whether the thread has entered no other runtime since.
    ///
    /// Outside of tokio this is a load. Inside, tokio increments a reference count and decrements
    /// it again.
    #[inline]
    pub(super) fn is_still_current(self) -> bool {
        runtime::Handle::try_current().map_or(true, |it| self.0 == Some(it.id()))
    }
}

/// Returns the driver of the tokio runtime that this thread is in, `None` if it is in none, or in
/// one that has neither I/O nor time.
pub(super) fn handle() -> Option<Handle> {
    let runtime = runtime::Handle::try_current().ok()?;
    let id = runtime.id();
    let cached = CACHED.try_with(|cached| {
        let cached = cached.borrow();
        cached
            .as_ref()
            .filter(|(known, _)| *known == id)
            .map(|(_, handle)| handle.clone())
    });
    match cached {
        Ok(Some(Some(handle))) if handle.is_closed() => {
            // The runtime has ended, unless its id belongs to another runtime by now.
            time::is_alive(&runtime)
                .then(|| look_up(&runtime))
                .flatten()
        }
        Ok(Some(handle)) => handle,
        Ok(None) | Err(_) => look_up(&runtime),
    }
}

/// Returns this thread's shard of the driver of a runtime, and caches it.
fn look_up(runtime: &runtime::Handle) -> Option<Handle> {
    let handle = TokioDriver::get_or_create(runtime).map(|driver| {
        let shard = driver.shard();
        driver.release();
        shard
    });
    let previous = CACHED.try_with(|cached| cached.replace(Some((runtime.id(), handle.clone()))));
    // Dropped after the borrow: it may be the last reference to its shard.
    drop(previous);
    handle
}

/// Returns what [`handle`] does, but makes no driver: `None` if this thread has made no timer in
/// the runtime.
pub(crate) fn known_handle() -> Option<Handle> {
    let id = runtime::Handle::try_current().ok()?.id();
    let known = |cached: &RefCell<Option<(Id, Option<Handle>)>>| match &*cached.borrow() {
        Some((known, handle)) if *known == id => handle.clone(),
        _ => None,
    };
    CACHED.try_with(known).ok().flatten()
}

fn drivers() -> MutexGuard<'static, Vec<Arc<TokioDriver>>> {
    lock_std(&DRIVERS)
}

impl TokioDriver {
    /// Returns the driver of a runtime, which is created if there is none. Returns `None` if
    /// nothing in the runtime can wake one.
    fn get_or_create(runtime: &runtime::Handle) -> Option<Arc<Self>> {
        if let Some(driver) = Self::find(runtime.id()) {
            return Some(driver);
        }
        Self::end_unwatched();
        // Outside of the lock, because it calls into tokio. If another thread was faster, its
        // driver is kept, and this one is dropped.
        let created = Self::new(runtime)?;
        let mut drivers = drivers();
        if let Some(driver) = drivers.iter().find(|it| it.runtime == created.runtime) {
            let driver = driver.clone();
            drop(drivers);
            created.sharded_driver.close();
            return Some(driver);
        }
        drivers.push(created.clone());
        drop(drivers);
        // Has tokio wait for the wake sources, so that it wakes this driver when it shuts down. If
        // it has shut down before that, the sources report it.
        if created.sharded_driver.start(|| created.watch_descriptor()) == Liveness::Gone {
            created.end_elsewhere();
        }
        Some(created)
    }

    fn find(runtime: Id) -> Option<Arc<Self>> {
        drivers().iter().find(|it| it.runtime == runtime).cloned()
    }

    fn new(runtime: &runtime::Handle) -> Option<Arc<Self>> {
        let sources = WakeSources::new(runtime)?;
        let workers = runtime.metrics().num_workers();
        let count = if workers > 1 { workers + 1 } else { 1 };
        let clock = sources.clock().clone();
        let can_pause = sources.can_pause();
        let (slack, most) = if can_pause {
            (SharedSlack::none(), usize::MAX)
        } else {
            (SharedSlack::adaptive(), MOST_TIMERS)
        };
        Some(Arc::new_cyclic(|driver: &Weak<Self>| {
            let notifier = || Box::new(TokioShardNotifier(driver.clone()));
            let shard = || Shared::new(clock.clone(), notifier(), can_pause, slack.clone());
            let shards = (0..count).map(|_| shard()).collect();
            Self {
                runtime: runtime.id(),
                descriptor: sources.descriptor(),
                calls: sources.calls(),
                most,
                relay: Relay::new(workers, &clock, slack.clone()),
                unwatched: (!sources.wake_on_shutdown()).then(|| Probe::new(runtime)),
                sharded_driver: ShardedDriver::new(
                    sources.waking(driver.clone()),
                    clock.clone(),
                    slack.clone(),
                    shards,
                ),
            }
        }))
    }

    /// Returns the shard of this thread: a worker's own, or the last one, which all other threads
    /// share.
    fn shard(&self) -> Handle {
        let shards = self.sharded_driver.shards();
        let last = shards.len() - 1;
        let index = worker_index().map_or(last, |worker| worker.min(last));
        Handle::new(shards[index].clone())
    }

    /// Fires what is due and sets the wake sources again. For threads that hold no lock of their
    /// callers.
    fn expire(self: &Arc<Self>) {
        // The descriptor is watched first: what expires after that is another change, and tokio
        // calls again.
        let mut liveness = self.watch_descriptor();
        if liveness == Liveness::Alive {
            self.relay
                .before_firing(self.runtime, self.sharded_driver.shards());
            wake_cost::end_sample(self.runtime, &self.sharded_driver);
            self.sharded_driver.fire_expired(self.most);
            wake_cost::begin_sample(self.runtime, &self.sharded_driver);
            liveness = self.sharded_driver.replan();
        }
        if liveness == Liveness::Gone {
            self.end();
        }
    }

    /// Has tokio call this driver's waker when the timerfd next becomes readable, and when the
    /// runtime shuts down. Returns [`Liveness::Gone`] if the runtime has shut down.
    ///
    /// If the timerfd has become readable before, this takes the change, so that
    /// [`ShardedDriver::note_expired`] has to follow.
    fn watch_descriptor(self: &Arc<Self>) -> Liveness {
        // The sources are dropped with the driver's end.
        let descriptor = self.descriptor.as_ref().and_then(Weak::upgrade);
        descriptor.map_or(Liveness::Alive, |it| it.watch(&Waker::from(self.clone())))
    }

    /// Closes the shards and removes this driver from the registry, because its runtime has ended.
    /// Runs foreign code.
    fn end(&self) {
        self.sharded_driver.close();
        let mut drivers = drivers();
        let at = drivers.iter().position(|it| ptr::eq(&**it, self));
        let driver = at.map(|at| drivers.swap_remove(at));
        drop(drivers);
        drop(driver);
    }

    /// Does what [`end`](Self::end) does, on another thread: this one may hold a lock that foreign
    /// code takes.
    fn end_elsewhere(self: &Arc<Self>) {
        let driver = self.clone();
        if !run_elsewhere(move || driver.end()) {
            // Otherwise the tasks would never be woken.
            self.end();
        }
    }

    /// Ends the drivers of runtimes that have ended without waking them.
    fn end_unwatched() {
        let unwatched: Vec<Arc<Self>> = {
            let drivers = drivers();
            let unwatched = drivers.iter().filter(|it| it.unwatched.is_some());
            unwatched.cloned().collect()
        };
        for driver in unwatched {
            if driver.unwatched.as_ref().is_some_and(Probe::has_ended) {
                driver.end_elsewhere();
            }
            driver.release();
        }
    }

    /// Drops a reference on a thread that may hold a lock of its caller. If it is the last one, and
    /// the driver itself refers to the runtime, through its [`Probe`], the driver is dropped on
    /// another thread.
    fn release(self: Arc<Self>) {
        if let Some(driver) = Arc::into_inner(self)
            && driver.unwatched.is_some()
        {
            run_elsewhere(move || drop(driver));
        }
    }
}

/// Runs foreign code on a thread of its own, which ends with it. Returns `false`, and drops `code`,
/// if the system refuses to start one.
fn run_elsewhere(code: impl FnOnce() + Send + 'static) -> bool {
    let thread = thread::Builder::new().name("reveille-end".into());
    thread.spawn(code).is_ok()
}

/// The waker that tokio calls when a wake source expires.
impl Wake for TokioDriver {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.calls.note();
        if !wake_sources::note_if_setting() {
            self.expire();
        }
    }
}

/// Sets the wake sources for a timer that was armed on a shard and is earlier than they are set
/// for.
struct TokioShardNotifier(Weak<TokioDriver>);

impl TokioShardNotifier {
    fn call(&self, replan: impl FnOnce(&ShardedDriver<WakeSources<TokioDriver>>) -> Liveness) {
        let Some(driver) = self.0.upgrade() else {
            return;
        };
        if replan(&driver.sharded_driver) == Liveness::Gone {
            driver.end_elsewhere();
        }
        driver.release();
    }
}

impl Notifier for TokioShardNotifier {
    fn interrupt(&self) {
        self.call(ShardedDriver::replan);
    }

    fn look_again(&self) {
        self.call(ShardedDriver::replan_from_scratch);
    }

    fn origin(&self) -> Origin {
        let mut shards = Box::default();
        if let Some(driver) = self.0.upgrade() {
            shards = driver.sharded_driver.shards().into();
            driver.release();
        }
        Origin {
            name: "tokio",
            shards,
        }
    }
}

#[cfg(all(test, not(loom), feature = "test-util"))]
mod tests;

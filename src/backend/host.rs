//! Which driver serves a thread inside a tokio runtime?
//!
//! One of that runtime's own: a [`Host`] is made when a runtime is first asked for a timer, and is
//! gone with the runtime. It has a shard for each worker and one for all other threads, and an
//! [`Alarm`] that tokio's loop rings. A thread remembers its shard.
//!
//! Who owns whom: the registry owns the hosts, a host its shards, and a shard refers back weakly. A
//! bell is always set or listened to, so tokio calls when it shuts down: then the host leaves the
//! registry, the shards close, and their timers move to another driver (see `time::Sleep`).
//!
//! The story goes on in `host/sources.rs` (what tokio rings) and `host/time.rs` (whose time it is).

mod descriptor;
#[cfg(feature = "test-util")]
mod test_clock;
mod time;
mod wake_sources;

use std::cell::RefCell;
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::Wake;

use tokio::runtime::{self, Id, worker_index};

use self::wake_sources::WakeSources;
use crate::driver::Builder;
use crate::driver::Handle;
use crate::driver::sharded::ShardedDriver;
use crate::driver::shared::{Notifier, Shared};
use crate::driver::slack::Limit;
use crate::instant::nanos;

#[cfg(feature = "test-util")]
pub(crate) use self::test_clock::{advance, check_advance, pause, resume};
pub(crate) use self::time::now;

/// What to do inside a tokio runtime where a driver is missed: nothing, it has one.
pub(super) const WITHOUT: &str = "";

/// A runtime's own drivers.
struct Host {
    runtime: Id,
    drivers: ShardedDriver<WakeSources<Self>>,
    /// The runtime, if it may end without telling: then it is asked.
    mute: Option<runtime::Handle>,
}

/// The hosts of all runtimes that were asked for a timer and live.
static HOSTS: Mutex<Vec<Arc<Host>>> = Mutex::new(Vec::new());

thread_local! {
    /// The runtime that this thread was last in, and its driver; `None` if it cannot have one.
    static HERE: RefCell<Option<(Id, Option<Handle>)>> = const { RefCell::new(None) };
}

/// The tokio runtime that a thread was in when it entered a driver, if it was in one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Inside(Option<Id>);

impl Inside {
    pub(super) fn now() -> Self {
        Self(runtime::Handle::try_current().map(|it| it.id()).ok())
    }

    /// Returns whether the thread has entered no other runtime since.
    ///
    /// Outside of tokio that is a load; inside, tokio has to count up a reference and down again.
    #[inline]
    pub(super) fn is_innermost(self) -> bool {
        runtime::Handle::try_current().map_or(true, |it| self.0 == Some(it.id()))
    }
}

/// The driver of the tokio runtime that this thread is in, if it is in one that can ring.
pub(super) fn handle() -> Option<Handle> {
    let runtime = runtime::Handle::try_current().ok()?;
    let id = runtime.id();
    let known = HERE.try_with(|here| {
        let here = here.borrow();
        here.as_ref()
            .filter(|(known, _)| *known == id)
            .map(|(_, handle)| handle.clone())
    });
    match known {
        Ok(Some(Some(handle))) if handle.is_closed() => {
            // The runtime is gone, unless its number is another's by now.
            time::lives(&runtime).then(|| find(&runtime)).flatten()
        }
        Ok(Some(handle)) => handle,
        Ok(None) | Err(_) => find(&runtime),
    }
}

/// The driver of a runtime for this thread, which remembers it.
fn find(runtime: &runtime::Handle) -> Option<Handle> {
    let handle = Host::of(runtime).map(|host| host.shard());
    let previous = HERE.try_with(|here| here.replace(Some((runtime.id(), handle.clone()))));
    // Dropped after the borrow: what it holds may be the last of its kind.
    drop(previous);
    handle
}

impl Host {
    /// The host of a runtime, made now if there is none.
    fn of(runtime: &runtime::Handle) -> Option<Arc<Self>> {
        if let Some(host) = Self::find(runtime.id()) {
            return Some(host);
        }
        Self::forget_those_gone();
        // Outside the lock: tokio's code runs in here. If another thread was faster, its host is
        // kept and this one dropped.
        let made = Self::new(runtime)?;
        let mut hosts = HOSTS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = hosts.iter().find(|host| host.runtime == made.runtime) {
            let host = host.clone();
            drop(hosts);
            made.drivers.close();
            return Some(host);
        }
        hosts.push(made.clone());
        drop(hosts);
        // Listens, so as to be told of the runtime's end. A runtime that ends before we listen says
        // so by its answer.
        made.ring();
        Some(made)
    }

    fn find(runtime: Id) -> Option<Arc<Self>> {
        let hosts = HOSTS.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.iter().find(|host| host.runtime == runtime).cloned()
    }

    fn new(runtime: &runtime::Handle) -> Option<Arc<Self>> {
        let sources = WakeSources::new(runtime)?;
        let workers = runtime.metrics().num_workers();
        let count = if workers > 1 { workers + 1 } else { 1 };
        let clock = sources.clock().clone();
        let can_pause = sources.can_pause();
        let slack = if can_pause {
            Limit::none()
        } else {
            Limit::new(nanos(Builder::DEFAULT_SLACK))
        };
        Some(Arc::new_cyclic(|host: &Weak<Self>| {
            let call = || Box::new(Call(host.clone()));
            let shard = || Shared::new(clock.clone(), call(), can_pause, slack.clone());
            let shards = (0..count).map(|_| shard()).collect();
            Self {
                runtime: runtime.id(),
                mute: (!sources.hears_the_end()).then(|| runtime.clone()),
                drivers: ShardedDriver::new(
                    sources.calling(host.clone()),
                    clock.clone(),
                    slack.clone(),
                    shards,
                ),
            }
        }))
    }

    /// The shard of this thread: a worker's own, or the last, which is for all others.
    fn shard(&self) -> Handle {
        let shards = self.drivers.shards();
        let last = shards.len() - 1;
        let index = worker_index().map_or(last, |worker| worker.min(last));
        Handle {
            shared: shards[index].clone(),
        }
    }

    /// Asks the runtimes that would not tell whether they are gone.
    fn forget_those_gone() {
        let hosts = HOSTS.lock().unwrap_or_else(PoisonError::into_inner);
        let mute = hosts.iter().filter(|host| host.mute.is_some());
        let mute: Vec<Arc<Self>> = mute.cloned().collect();
        drop(hosts);
        for host in mute {
            if host
                .mute
                .as_ref()
                .is_some_and(|runtime| !time::lives(runtime))
            {
                host.drivers.close();
                host.forget();
            }
        }
    }

    fn ring(&self) {
        if self.drivers.expire() {
            self.forget();
        }
    }

    fn attend(&self) {
        if self.drivers.rearm() {
            self.forget();
        }
    }

    fn attend_anew(&self) {
        if self.drivers.rearm_anew() {
            self.forget();
        }
    }

    /// The runtime is gone, and so are the drivers.
    fn forget(&self) {
        let mut hosts = HOSTS.lock().unwrap_or_else(PoisonError::into_inner);
        let at = hosts.iter().position(|host| ptr::eq(&**host, self));
        let host = at.map(|at| hosts.swap_remove(at));
        drop(hosts);
        drop(host);
    }
}

/// What tokio calls when a bell rings.
impl Wake for Host {
    fn wake(self: Arc<Self>) {
        Self::ring(&self);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        Self::ring(self);
    }
}

/// What a shard calls when a timer is armed that the bell is not set for.
struct Call(Weak<Host>);

impl Notifier for Call {
    fn rearm(&self) {
        if let Some(host) = self.0.upgrade() {
            host.attend();
        }
    }

    fn interrupt(&self) {
        if let Some(host) = self.0.upgrade() {
            host.attend_anew();
        }
    }
}

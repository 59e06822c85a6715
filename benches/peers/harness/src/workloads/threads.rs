//! What W10, W12 and W13 share: work that runs on several threads, and its start.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::util::block_on;
use crate::{Args, Contender, sys};

/// Where the threads come from.
#[derive(Clone, Copy, PartialEq)]
pub enum Origin {
    /// They are workers of the runtime.
    Workers,
    /// They are not the runtime's, but have entered it. Its own workers have nothing else to do.
    Threads,
}

impl Origin {
    /// For `tasks` of the workload at once.
    pub fn new<C: Contender>(a: &Args, tasks: usize) -> Self {
        match a.str("from", "workers") {
            "workers" if tasks > 1 && !C::MANY_WORKERS => crate::cannot::<C>("several workers"),
            "workers" => Self::Workers,
            "threads" => Self::Threads,
            other => panic!("from={other}"),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Workers => "workers",
            Self::Threads => "threads",
        }
    }

    /// How many workers the runtime needs for `threads` tasks of the workload.
    pub fn workers<C: Contender>(self, threads: usize) -> usize {
        match self {
            Self::Workers => threads,
            Self::Threads => C::THREADS,
        }
    }

    pub fn start<C: Contender>(self, c: &C, work: impl Future<Output = ()> + Send + 'static) {
        match self {
            Self::Workers => c.spawn(work),
            Self::Threads => drop(std::thread::spawn(c.outside(|| block_on(work)))),
        }
    }
}

/// Makes each of `of` threads wait until all have arrived. They spin, so that tasks that arrive are
/// on threads of their own. Each thread is kept on one CPU (`pin=0`: it is not), because a scheduler
/// puts threads that wake each other on the same CPU, where they do not contend.
pub struct Start {
    of: usize,
    pin: bool,
    arrived: AtomicUsize,
    all: AtomicBool,
    /// CPU time of the process when the last one arrived.
    pub cpu: Mutex<Duration>,
}

impl Start {
    pub fn new(a: &Args, of: usize) -> Arc<Self> {
        Arc::new(Self {
            of,
            pin: a.num("pin", 1) != 0,
            arrived: AtomicUsize::new(0),
            all: AtomicBool::new(false),
            cpu: Mutex::default(),
        })
    }

    /// Waits for the others, as the `k`th.
    pub fn wait(&self, k: usize) {
        if self.pin {
            sys::pin(k);
        }
        if self.arrived.fetch_add(1, SeqCst) + 1 == self.of {
            *self.cpu.lock().unwrap() = sys::cpu();
            self.all.store(true, SeqCst);
        }
        while !self.all.load(SeqCst) {
            std::hint::spin_loop();
        }
    }
}

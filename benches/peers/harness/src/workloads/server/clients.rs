//! The clients of W14: a thread that stands for the network. It has no timer of the contender, and
//! its CPU time and context switches are not counted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use super::Settings;
use crate::sys;
use crate::util::{Flag, Rng};

/// What a task waits for again and again: that its peer has sent something.
#[derive(Default)]
pub struct Inlet {
    arrived: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Inlet {
    pub fn deliver(&self) {
        self.arrived.store(true, SeqCst);
        let waker = self.waker.lock().unwrap().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Returns whether something has arrived since the last call. If not, the task is woken when
    /// it does.
    pub fn poll(&self, cx: &mut Context<'_>) -> bool {
        if self.arrived.swap(false, SeqCst) {
            return true;
        }
        let mut waker = self.waker.lock().unwrap();
        match &mut *waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        drop(waker);
        self.arrived.swap(false, SeqCst)
    }
}

/// What the tasks of the server share with the clients.
pub struct Wires {
    pub connections: Vec<Arc<Inlet>>,
    /// How many requests came that the acceptor has not seen, and the news of it.
    pub requests: AtomicU64,
    pub accept: Inlet,
    /// The requests that wait for an answer and that the clients have not seen.
    pub asked: Mutex<Vec<Arc<Flag>>>,
}

/// What the server used while the clients ran, and what they did.
pub struct Measured {
    pub cpu: Duration,
    pub voluntary: u64,
    pub peak_rss: u64,
    pub put_offs: u64,
    pub silent: u64,
    /// How far the clients fell behind their own plan, at most.
    pub behind: Duration,
}

/// A ring of lists, one for each millisecond.
struct Calendar<T>(Vec<Vec<T>>);

impl<T> Calendar<T> {
    /// For entries that are at most `span` milliseconds ahead.
    fn new(span: u64) -> Self {
        Self((0..=span).map(|_| Vec::new()).collect())
    }

    fn add(&mut self, at: u64, entry: T) {
        let len = self.0.len() as u64;
        self.0[(at % len) as usize].push(entry);
    }

    fn take(&mut self, at: u64) -> Vec<T> {
        let len = self.0.len() as u64;
        std::mem::take(&mut self.0[(at % len) as usize])
    }
}

/// Runs the clients for `set.ms`, and measures the server meanwhile.
pub fn run(set: &Settings, wires: &Wires) -> Measured {
    let mut rng = Rng(14);
    let gap = |rng: &mut Rng| set.gap.0 + rng.below(set.gap.1 - set.gap.0 + 1);
    let mut sends = Calendar::new(set.timeout + 1);
    let mut silent_from = vec![u64::MAX; wires.connections.len()];
    for (i, silent_from) in silent_from.iter_mut().enumerate() {
        sends.add(gap(&mut rng), i as u32);
        if (i as u64).is_multiple_of(set.silent_one_in) {
            *silent_from = rng.below(set.ms - set.timeout - 500);
        }
    }
    let mut answers = Calendar::<Arc<Flag>>::new(set.answer.1);
    let (mut put_offs, mut silent, mut behind) = (0, 0, Duration::ZERO);
    let (me, start) = (sys::tid(), Instant::now());
    let (own0, cpu0, voluntary0) = (sys::thread_cpu(), sys::cpu(), sys::voluntary(me));
    for now in 1..=set.ms {
        let at = start + Duration::from_millis(now);
        match at.checked_duration_since(Instant::now()) {
            Some(left) => std::thread::sleep(left),
            None => behind = behind.max(at.elapsed()),
        }
        for i in sends.take(now) {
            let next = gap(&mut rng);
            if now >= silent_from[i as usize] {
                // Says nothing until it has timed out, and another one is in its place.
                silent_from[i as usize] = u64::MAX;
                silent += 1;
                sends.add(now + set.timeout + 1, i);
                continue;
            }
            wires.connections[i as usize].deliver();
            put_offs += 1;
            sends.add(now + next, i);
        }
        for answer in answers.take(now) {
            answer.set();
        }
        for asked in wires.asked.lock().unwrap().drain(..) {
            let (lo, hi) = set.answer;
            if rng.below(set.unanswered_one_in) != 0 {
                answers.add(now + lo + rng.below(hi - lo + 1), asked);
            }
        }
        let requests = set.requests * now / 1000 - set.requests * (now - 1) / 1000;
        if requests > 0 {
            wires.requests.fetch_add(requests, SeqCst);
            wires.accept.deliver();
        }
    }
    let own = sys::thread_cpu() - own0;
    Measured {
        cpu: (sys::cpu() - cpu0).saturating_sub(own),
        voluntary: sys::voluntary(me) - voluntary0,
        peak_rss: sys::peak_rss(),
        put_offs,
        silent,
        behind,
    }
}

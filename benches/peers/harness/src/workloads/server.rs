//! W14, a day in the life of a server: connections that are put off, tickers, and requests with
//! deadlines, all at once and at the pace of their clients.

mod clients;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::*};
use std::task::Poll;
use std::time::{Duration, Instant};

use self::clients::{Inlet, Measured, Wires};
use crate::stats::{Histogram, emit};
use crate::util::{Flag, Rng, ext_sleep, yield_now};
use crate::{Args, Contender};

/// Durations are in milliseconds.
struct Settings {
    ms: u64,
    connections: u64,
    /// Each connection sends something after each of these.
    gap: (u64, u64),
    /// One that has sent nothing for so long is closed.
    timeout: u64,
    /// One connection in so many falls silent once, and so times out.
    silent_one_in: u64,
    tickers: u64,
    period: u64,
    /// For each second.
    requests: u64,
    /// How long the answer to a request takes.
    answer: (u64, u64),
    deadline: u64,
    /// One request in so many gets no answer, and so its deadline passes.
    unanswered_one_in: u64,
}

impl Settings {
    fn new(a: &Args) -> Self {
        let set = Self {
            ms: a.num("ms", 60_000),
            connections: a.num("conns", 100_000),
            gap: (a.num("gap_lo", 10), a.num("gap_hi", 10_000)),
            timeout: a.num("timeout", 30_000),
            silent_one_in: a.num("silent_one_in", 100),
            tickers: a.num("tickers", 1000),
            period: a.num("period_ms", 10),
            requests: a.num("requests", 10_000),
            answer: (a.num("answer_lo", 1), a.num("answer_hi", 200)),
            deadline: a.num("deadline", 1000),
            unanswered_one_in: a.num("unanswered_one_in", 100),
        };
        assert!(
            set.ms >= set.timeout + 1000,
            "those that fall silent time out within ms"
        );
        assert!(
            set.timeout > set.gap.1 && set.deadline > set.answer.1,
            "those that are punctual do not time out"
        );
        set
    }
}

/// How late timers fired, by their kind.
#[derive(Default)]
struct Late {
    ticks: Histogram,
    timeouts: Histogram,
    deadlines: Histogram,
    answered: AtomicU64,
}

/// Closes after `timeout` without anything from its client. Then another one takes its place.
async fn connection<C: Contender>(
    c: C,
    inlet: Arc<Inlet>,
    timeout: Duration,
    open: Arc<AtomicUsize>,
    late: Arc<Late>,
) {
    let mut due = Instant::now() + timeout;
    let mut timer = pin!(c.sleep(timeout));
    open.fetch_add(1, SeqCst);
    poll_fn(|cx| {
        loop {
            while inlet.poll(cx) {
                due = Instant::now() + timeout;
                c.reset(timer.as_mut(), timeout);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::<()>::Pending;
            }
            late.timeouts.record(due);
            due = Instant::now() + timeout;
            timer.set(c.sleep(timeout));
        }
    })
    .await
}

async fn ticker<C: Contender>(c: C, start: Instant, period: Duration, late: Arc<Late>) {
    let mut ticker = c.ticker(start, period);
    let mut due = start;
    loop {
        C::tick(&mut ticker).await;
        late.ticks.record(due);
        due += period;
    }
}

/// Spawns a task for each request. It waits for the answer until the deadline, on whatever worker,
/// and drops its timer there.
async fn acceptor<C: Contender>(c: C, wires: Arc<Wires>, deadline: Duration, late: Arc<Late>) {
    loop {
        poll_fn(|cx| match wires.accept.poll(cx) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
        for _ in 0..wires.requests.swap(0, SeqCst) {
            let answer = Flag::new();
            let (c2, late, asked) = (c.clone(), late.clone(), answer.clone());
            c.spawn(async move {
                let due = Instant::now() + deadline;
                let answer = async move { answer.wait().await };
                match c2.timeout(deadline, answer).await {
                    Some(()) => drop(late.answered.fetch_add(1, Relaxed)),
                    None => late.deadlines.record(due),
                }
            });
            wires.asked.lock().unwrap().push(asked);
        }
    }
}

/// Runs the server for `ms` and prints what it used and how late its timers fired.
///
/// The clients are a thread without timers of the contender. They have each connection send
/// something at random every `gap_lo` to `gap_hi` ms, which puts its `timeout` off. They answer
/// requests after `answer_lo` to `answer_hi` ms, except one in `unanswered_one_in`, whose
/// `deadline` passes. One connection in `silent_one_in` falls silent once, and times out.
pub fn w14<C: Contender>(a: Args) {
    let set = Settings::new(&a);
    C::run(C::THREADS, move |c: C| async move {
        let late = Arc::<Late>::default();
        let wires = Arc::new(Wires {
            connections: (0..set.connections).map(|_| Arc::default()).collect(),
            requests: AtomicU64::new(0),
            accept: Inlet::default(),
            asked: Default::default(),
        });
        let open = Arc::new(AtomicUsize::new(0));
        let timeout = Duration::from_millis(set.timeout);
        for (i, inlet) in wires.connections.iter().enumerate() {
            let (inlet, open, late) = (inlet.clone(), open.clone(), late.clone());
            c.spawn(connection(c.clone(), inlet, timeout, open, late));
            if i % 256 == 255 {
                yield_now().await;
            }
        }
        while open.load(SeqCst) < wires.connections.len() {
            yield_now().await;
        }
        let deadline = Duration::from_millis(set.deadline);
        c.spawn(acceptor(c.clone(), wires.clone(), deadline, late.clone()));
        let mut rng = Rng(8);
        let base = Instant::now() + Duration::from_millis(50);
        let period = Duration::from_millis(set.period);
        for _ in 0..set.tickers {
            let start = base + rng.dur(Duration::ZERO, period);
            c.spawn(ticker(c.clone(), start, period, late.clone()));
        }
        ext_sleep(Duration::from_millis(200)).await;
        let (over, measured) = (Flag::new(), Arc::new(std::sync::Mutex::new(None)));
        let (over2, measured2, late2) = (over.clone(), measured.clone(), late.clone());
        let params = format!(
            "{} connections, {} tickers, {} requests/s, {} s",
            set.connections,
            set.tickers,
            set.requests,
            set.ms / 1000
        );
        let seconds = set.ms as f64 / 1000.0;
        let clients = move || {
            late2.ticks.clear();
            *measured2.lock().unwrap() = Some(clients::run(&set, &wires));
            over2.set();
        };
        std::thread::spawn(clients);
        over.wait().await;
        report::<C>(
            &params,
            seconds,
            measured.lock().unwrap().take().unwrap(),
            &late,
        );
        // Skip the (long) teardown.
        std::process::exit(0);
    })
}

fn report<C: Contender>(params: &str, seconds: f64, m: Measured, late: &Late) {
    let emit = |metric: &str, value, unit| emit(C::NAME, "w14", params, metric, value, unit);
    let per_second = |n: u64| n as f64 / seconds;
    emit("cpu_percent", 100.0 * m.cpu.as_secs_f64() / seconds, "%");
    emit("wakeups_per_s", per_second(m.voluntary), "1/s");
    emit("peak_rss", m.peak_rss as f64 / 1e6, "MB");
    for (kind, h) in [
        ("tick", &late.ticks),
        ("timeout", &late.timeouts),
        ("deadline", &late.deadlines),
    ] {
        for (name, q) in [("p50", 0.5), ("p99", 0.99), ("p999", 0.999)] {
            emit(&format!("{kind}_late_{name}"), h.quantile(q) / 1e3, "us");
        }
        emit(&format!("{kind}_early"), h.early() as f64, "count");
    }
    // What says that the load was the same.
    emit("ticks_per_s", per_second(late.ticks.count()), "1/s");
    emit("put_offs_per_s", per_second(m.put_offs), "1/s");
    emit("silent", m.silent as f64, "count");
    emit("timed_out", late.timeouts.count() as f64, "count");
    emit(
        "answered_per_s",
        per_second(late.answered.load(SeqCst)),
        "1/s",
    );
    emit("deadlines_per_s", per_second(late.deadlines.count()), "1/s");
    emit("clients_behind", m.behind.as_secs_f64() * 1e3, "ms");
}

//! The physical floor: no timer crate at all. `mode=` picks how to wait:
//!   nanosleep  clock_nanosleep(TIMER_ABSTIME)      (kernel timer slack 50 us)
//!   slack1     the same with PR_SET_TIMERSLACK 1 ns
//!   epoll      epoll_pwait2, ns timeout
//!   park       std::thread::park_timeout
//!   timerfd    timerfd_settime + read (timerfds have no timer slack)
//!   tick1ms    clock_nanosleep to the next 1 ms boundary (coalescing, as a
//!              1 ms wheel would)
//! With many timers (w4, w6m, w8) one thread keeps a sorted array / binary
//! heap and does nothing else: no tasks, no wakers, no locks.

mod prim;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use harness::stats::{emit, emit_lateness, emit_switches, ns};
use harness::util::Rng;
use harness::{Args, UNSUPPORTED, sys};

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Nanosleep,
    Slack1,
    Epoll,
    Park,
    Timerfd,
    Tick1ms,
}

struct Wait {
    mode: Mode,
    name: String,
    epfd: i32,
    tfd: i32,
    /// CLOCK_MONOTONIC ns of `epoch` (Instant is the same clock).
    epoch: Instant,
    epoch_ns: u64,
}

impl Wait {
    fn new(mode: &str) -> Self {
        let m = match mode {
            "nanosleep" => Mode::Nanosleep,
            "slack1" => Mode::Slack1,
            "epoll" => Mode::Epoll,
            "park" => Mode::Park,
            "timerfd" => Mode::Timerfd,
            "tick1ms" => Mode::Tick1ms,
            _ => panic!("mode={mode}"),
        };
        if m == Mode::Slack1 {
            unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
        }
        // Pair up the two views of the clock, to well below a microsecond.
        let mono = || {
            let mut ts = libc::timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut ts) };
            ts.tv_sec as u64 * 1_000_000_000 + ts.tv_nsec as u64
        };
        let (epoch, epoch_ns) = loop {
            let (a, i, b) = (mono(), Instant::now(), mono());
            if b - a < 500 {
                break (i, b);
            }
        };
        Self {
            mode: m,
            name: format!("raw_{mode}"),
            epfd: unsafe { libc::epoll_create1(0) },
            tfd: unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, 0) },
            epoch,
            epoch_ns,
        }
    }

    fn nanosleep(&self, ns: u64) {
        let ts = libc::timespec {
            tv_sec: (ns / 1_000_000_000) as i64,
            tv_nsec: (ns % 1_000_000_000) as i64,
        };
        unsafe {
            libc::clock_nanosleep(
                libc::CLOCK_MONOTONIC,
                libc::TIMER_ABSTIME,
                &ts,
                std::ptr::null_mut(),
            )
        };
    }

    /// Blocks until `at` has passed.
    fn until(&self, at: Instant) {
        loop {
            let now = Instant::now();
            if now >= at {
                return;
            }
            match self.mode {
                Mode::Nanosleep | Mode::Slack1 => {
                    self.nanosleep(self.epoch_ns + (at - self.epoch).as_nanos() as u64)
                }
                Mode::Tick1ms => {
                    let t = self.epoch_ns + (at - self.epoch).as_nanos() as u64;
                    self.nanosleep(t.next_multiple_of(1_000_000))
                }
                Mode::Timerfd => unsafe {
                    let t = self.epoch_ns + (at - self.epoch).as_nanos() as u64;
                    let mut spec: libc::itimerspec = std::mem::zeroed();
                    spec.it_value.tv_sec = (t / 1_000_000_000) as i64;
                    spec.it_value.tv_nsec = (t % 1_000_000_000) as i64;
                    let flag = libc::TFD_TIMER_ABSTIME;
                    libc::timerfd_settime(self.tfd, flag, &spec, std::ptr::null_mut());
                    let mut n = 0u64;
                    libc::read(self.tfd, (&raw mut n).cast(), 8);
                },
                Mode::Park => std::thread::park_timeout(at - now),
                Mode::Epoll => {
                    let d = at - now;
                    let ts = libc::timespec {
                        tv_sec: d.as_secs() as i64,
                        tv_nsec: d.subsec_nanos() as i64,
                    };
                    let mut ev = libc::epoll_event { events: 0, u64: 0 };
                    let events = unsafe {
                        libc::syscall(
                            libc::SYS_epoll_pwait2,
                            self.epfd,
                            &mut ev as *mut _,
                            1,
                            &ts as *const _,
                            std::ptr::null::<libc::sigset_t>(),
                            8usize,
                        )
                    };
                    // Otherwise this loop would spin.
                    if events < 0 {
                        let error = std::io::Error::last_os_error();
                        if error.raw_os_error() == Some(libc::ENOSYS) {
                            eprintln!("epoll_pwait2 needs Linux 5.11: {error}");
                            std::process::exit(UNSUPPORTED);
                        }
                    }
                }
            }
        }
    }
}

fn late(now: Instant, due: Instant) -> i64 {
    match now.checked_duration_since(due) {
        Some(d) => d.as_nanos() as i64,
        None => -((due - now).as_nanos() as i64),
    }
}

fn w6(w: &Wait, a: &Args) {
    let total = a.ms("ms", 300);
    let min = a.num("min", 20) as u32;
    for us in a.list("us", "50,100,500,1000,5000,10000") {
        let d = Duration::from_micros(us);
        let total = total.max(d * min);
        let mut v = Vec::with_capacity(1 << 16);
        w.until(Instant::now() + d);
        let (cpu0, start) = (sys::cpu(), Instant::now());
        while start.elapsed() < total && v.len() < v.capacity() {
            let due = Instant::now() + d;
            w.until(due);
            v.push(late(Instant::now(), due));
        }
        let cpu = sys::cpu() - cpu0;
        let params = format!("1 task {us}us");
        emit(
            &w.name,
            "w6",
            &params,
            "cpu_us_per_sleep",
            ns(cpu) / 1e3 / v.len() as f64,
            "us",
        );
        emit_lateness(&w.name, "w6", &params, &mut v);
    }
}

fn w6m(w: &Wait, a: &Args) {
    let total = a.ms("ms", 5000);
    let tasks = a.num("tasks", 1000);
    let mut v = Vec::with_capacity(1 << 21);
    let mut heap = BinaryHeap::new();
    let end = Instant::now() + total;
    let (cpu0, sw0) = (sys::cpu(), sys::switches(0));
    let mut rngs: Vec<Rng> = (0..tasks).map(|k| Rng(1000 + k)).collect();
    let next = |rngs: &mut Vec<Rng>, k: usize| {
        Instant::now() + rngs[k].dur(Duration::from_millis(1), Duration::from_millis(9))
    };
    for k in 0..tasks as usize {
        heap.push(Reverse((next(&mut rngs, k), k)));
    }
    while let Some(&Reverse((due, _))) = heap.peek() {
        w.until(due);
        while let Some(&Reverse((due, k))) = heap.peek() {
            let now = Instant::now();
            if due > now {
                break;
            }
            heap.pop();
            v.push(late(now, due));
            if now < end {
                heap.push(Reverse((next(&mut rngs, k), k)));
            }
        }
    }
    let cpu = sys::cpu() - cpu0;
    let params = format!("{tasks} tasks 1..10ms");
    emit_switches(&w.name, "w6m", &params, sw0, total);
    emit(
        &w.name,
        "w6m",
        &params,
        "cpu_percent",
        100.0 * ns(cpu) / ns(total),
        "%",
    );
    emit(
        &w.name,
        "w6m",
        &params,
        "cpu_ns_per_sleep",
        ns(cpu) / v.len() as f64,
        "ns",
    );
    emit_lateness(&w.name, "w6m", &params, &mut v);
}

fn w8(w: &Wait, a: &Args) {
    let total = a.ms("ms", 5000);
    let n = a.num("tickers", 1000);
    let period = a.ms("period_ms", 10);
    let base = Instant::now() + Duration::from_millis(50);
    let mut rng = Rng(8);
    let (cpu0, sw0) = (sys::cpu(), sys::switches(0));
    let mut starts: Vec<Instant> = (0..n)
        .map(|_| base + rng.dur(Duration::ZERO, period))
        .collect();
    // All periods are equal: the firing order never changes.
    starts.sort();
    let mut v = Vec::with_capacity(1 << 21);
    let (mut head, mut tail) = (Vec::new(), Vec::new());
    let rounds = (total.as_nanos() / period.as_nanos()) as u32;
    for k in 0..rounds {
        for s in &starts {
            let due = *s + period * k;
            w.until(due);
            let l = late(Instant::now(), due);
            v.push(l);
            if k < rounds / 4 { &mut head } else { &mut tail }.push(l);
        }
    }
    let cpu = sys::cpu() - cpu0;
    let params = format!("{n} x {}ms", period.as_millis());
    emit_switches(&w.name, "w8", &params, sw0, total);
    let mean = |v: &[i64]| v.iter().sum::<i64>() as f64 / v.len() as f64 / 1000.0;
    emit(
        &w.name,
        "w8",
        &params,
        "cpu_percent",
        100.0 * ns(cpu) / ns(total),
        "%",
    );
    emit(
        &w.name,
        "w8",
        &params,
        "cpu_ns_per_tick",
        ns(cpu) / v.len() as f64,
        "ns",
    );
    emit(&w.name, "w8", &params, "ticks_percent", 100.0, "%");
    emit(
        &w.name,
        "w8",
        &params,
        "drift",
        mean(&tail) - mean(&head),
        "us",
    );
    emit_lateness(&w.name, "w8", &params, &mut v);
}

fn w4(w: &Wait, a: &Args) {
    let win = a.ms("win", 1000);
    for n in a.list("n", "10000,100000") {
        let mut rng = Rng(4);
        let base = Instant::now() + Duration::from_millis(200) + Duration::from_nanos(n * 100);
        let mut at: Vec<Instant> = (0..n)
            .map(|_| {
                if win.is_zero() {
                    base
                } else {
                    base + rng.dur(Duration::ZERO, win)
                }
            })
            .collect();
        at.sort_unstable();
        w.until(base - Duration::from_millis(25));
        let cpu0 = sys::cpu();
        let mut fired = 0u64;
        for due in at {
            w.until(due);
            fired = std::hint::black_box(fired + 1);
        }
        let last = Instant::now();
        let cpu = sys::cpu() - cpu0;
        let params = format!(
            "wake N={n}{}",
            if win.is_zero() {
                " same deadline".into()
            } else {
                format!(" win={}ms", win.as_millis())
            }
        );
        let over = last.saturating_duration_since(base + win);
        emit(
            &w.name,
            "w4",
            &params,
            "cpu_ns_per_fire",
            ns(cpu) / n as f64,
            "ns",
        );
        emit(&w.name, "w4", &params, "overrun", ns(over) / 1000.0, "us");
    }
}

fn main() {
    let mut argv = std::env::args().skip(1);
    let workload = argv
        .next()
        .expect("usage: raw <workload> wait=MODE [key=value ...]");
    let a = Args::parse(argv);
    if workload == "prim" {
        return prim::run(&a);
    }
    let w = Wait::new(a.str("wait", "nanosleep"));
    match workload.as_str() {
        "w6" => w6(&w, &a),
        "w6m" => w6m(&w, &a),
        "w8" => w8(&w, &a),
        "w4" if a.str("mode", "wake").contains("wake") => w4(&w, &a),
        _ => std::process::exit(UNSUPPORTED),
    }
}

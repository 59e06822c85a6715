//! What the building blocks of a timer cost on this machine.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::*};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use harness::Args;
use harness::stats::{emit, median, ns};
use harness::util::Rng;

fn bench(metric: &str, mut f: impl FnMut()) {
    let mut chunks = Vec::new();
    for _ in 0..15 {
        let (t, mut n) = (Instant::now(), 0u64);
        while t.elapsed() < Duration::from_millis(3) {
            for _ in 0..64 {
                f();
            }
            n += 64;
        }
        chunks.push(ns(t.elapsed()) / n as f64);
    }
    emit("prim", "prim", "", metric, median(&mut chunks), "ns");
}

/// `f` on two threads at once.
fn bench2(metric: &str, f: impl Fn() + Sync) {
    let go = AtomicU64::new(0);
    let per: Vec<f64> = std::thread::scope(|s| {
        let h: Vec<_> = (0..2)
            .map(|_| {
                s.spawn(|| {
                    go.fetch_add(1, SeqCst);
                    while go.load(SeqCst) < 2 {
                        std::hint::spin_loop();
                    }
                    let (t, mut n) = (Instant::now(), 0u64);
                    while t.elapsed() < Duration::from_millis(60) {
                        for _ in 0..64 {
                            f();
                        }
                        n += 64;
                    }
                    ns(t.elapsed()) / n as f64
                })
            })
            .collect();
        h.into_iter().map(|h| h.join().unwrap()).collect()
    });
    emit("prim", "prim", "", metric, (per[0] + per[1]) / 2.0, "ns");
}

/// Dependent loads, one per cache line, in random order over `bytes`.
fn chase(metric: &str, bytes: usize) {
    const LINE: usize = 8; // u64s
    let lines = bytes / 64;
    let mut order: Vec<u32> = (0..lines as u32).collect();
    let mut rng = Rng(9);
    for i in (1..lines).rev() {
        order.swap(i, rng.below(i as u64 + 1) as usize);
    }
    let mut mem = vec![0u64; lines * LINE];
    for i in 0..lines {
        mem[order[i] as usize * LINE] = order[(i + 1) % lines] as u64 * LINE as u64;
    }
    let mut p = 0usize;
    for _ in 0..lines.min(1 << 20) {
        p = mem[p] as usize;
    }
    bench(metric, || p = black_box(mem[p] as usize));
    black_box(p);
}

struct Nop;
impl Wake for Nop {
    fn wake(self: Arc<Self>) {}
}

pub fn run(_: &Args) {
    bench("Instant::now", || _ = black_box(Instant::now()));
    bench("CLOCK_MONOTONIC_COARSE", || {
        let mut ts = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &mut ts) };
        black_box(ts.tv_nsec);
    });
    bench("rdtsc", || {
        #[cfg(target_arch = "x86_64")]
        black_box(unsafe { std::arch::x86_64::_rdtsc() });
    });
    let m = Mutex::new(0u64);
    bench("Mutex lock+unlock, uncontended", || {
        *black_box(&m).lock().unwrap() += 1
    });
    bench2("Mutex lock+unlock, 2 threads", || {
        *black_box(&m).lock().unwrap() += 1
    });
    let a = AtomicU64::new(0);
    bench("atomic fetch_add", || {
        _ = black_box(black_box(&a).fetch_add(1, AcqRel))
    });
    bench2("atomic fetch_add, 2 threads", || {
        _ = black_box(black_box(&a).fetch_add(1, AcqRel))
    });
    let w = Waker::from(Arc::new(Nop));
    bench("Waker clone+drop (Arc)", || {
        _ = black_box(black_box(&w).clone())
    });
    bench("Box 64 B alloc+free", || _ = black_box(Box::new([0u64; 8])));
    let mut rng = Rng(1);
    bench("splitmix64", || _ = black_box(rng.draw()));
    for (name, b) in [
        ("dependent load, 16 KiB (L1)", 16 << 10),
        ("dependent load, 512 KiB (L2)", 512 << 10),
        ("dependent load, 8 MiB (L3)", 8 << 20),
        ("dependent load, 64 MiB", 64 << 20),
        ("dependent load, 1 GiB (DRAM+TLB)", 1 << 30),
    ] {
        chase(name, b);
    }
    unsafe {
        let ep = libc::epoll_create1(0);
        let mut ev: libc::epoll_event = std::mem::zeroed();
        bench("getppid (syscall)", || _ = black_box(libc::getppid()));
        bench("epoll_wait(0)", || {
            _ = black_box(libc::epoll_wait(ep, &mut ev, 1, 0))
        });
        let e = libc::eventfd(0, libc::EFD_NONBLOCK);
        let one = 1u64;
        bench("eventfd write", || {
            black_box(libc::write(e, (&raw const one).cast(), 8));
        });
        let mut out = 0u64;
        bench("eventfd write+read", || {
            libc::write(e, (&raw const one).cast(), 8);
            black_box(libc::read(e, (&raw mut out).cast(), 8));
        });
        let word = std::sync::atomic::AtomicU32::new(0);
        bench("futex wake, nobody waiting", || {
            black_box(libc::syscall(
                libc::SYS_futex,
                word.as_ptr(),
                libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
                1,
            ));
        });
        let tfd = libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK);
        let mut spec: libc::itimerspec = std::mem::zeroed();
        spec.it_value.tv_sec = 100;
        bench("timerfd_settime", || {
            black_box(libc::timerfd_settime(tfd, 0, &spec, std::ptr::null_mut()));
        });
    }
    // Two threads handing each other the turn: half a round trip is one
    // cross-thread wake-up.
    let main = std::thread::current();
    let turn = Arc::new(AtomicU64::new(0));
    let t2 = turn.clone();
    const N: u64 = 3000;
    let h = std::thread::spawn(move || {
        for i in 0..N {
            while t2.load(Acquire) != 2 * i + 1 {
                std::thread::park();
            }
            t2.store(2 * i + 2, Release);
            main.unpark();
        }
    });
    let t = Instant::now();
    for i in 0..N {
        turn.store(2 * i + 1, Release);
        h.thread().unpark();
        while turn.load(Acquire) != 2 * i + 2 {
            std::thread::park();
        }
    }
    emit(
        "prim",
        "prim",
        "",
        "unpark -> running, other thread",
        ns(t.elapsed()) / (2 * N) as f64,
        "ns",
    );
    h.join().unwrap();
}

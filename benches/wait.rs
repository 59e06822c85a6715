//! How late a timed wait ends, and how much CPU time it takes.
//!
//! Compares [`ThreadPark`] with the raw ways to wait that a safe program on Linux has, each with
//! the thread's timer slack unchanged (50 µs by default) and, marked `1ns`, with the slack set
//! before the measurement. There is one thread and no other timer. The ways take turns in rounds,
//! so that noise from the neighbours of a virtual machine affects all of them alike.
//!
//! `cargo bench --bench wait`, or with longer rounds `cargo bench --bench wait -- 5`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use reveille::{Park, ThreadPark, Unpark};

/// One way to wait: its name and a closure that waits for at least a duration.
struct Way {
    name: String,
    /// Whether to set the timer slack of the thread to 1 ns before the measurement.
    fine: bool,
    wait: Box<dyn FnMut(Duration)>,
}

impl Way {
    fn new(name: &str, wait: impl FnMut(Duration) + 'static) -> Self {
        Way {
            name: name.into(),
            fine: false,
            wait: Box::new(wait),
        }
    }
}

#[derive(Default)]
struct Sample {
    lateness_nanos: Vec<u64>,
    cpu: Duration,
}

const ROUNDS: usize = 20;

fn main() {
    let scale = std::env::args()
        .find_map(|arg| arg.parse::<usize>().ok())
        .unwrap_or(1);
    let mut ways = ways();
    println!("one thread, no timers; lateness and CPU per wait in µs");
    for (micros, waits) in [(50, 1000), (100, 1000), (1_000, 200), (10_000, 20)] {
        let timeout = Duration::from_micros(micros);
        let mut samples: Vec<Sample> = ways.iter().map(|_| Sample::default()).collect();
        for round in 0..ROUNDS {
            // Each round begins with another way, so that no way always follows the same one.
            for turn in 0..ways.len() {
                let i = (round + turn) % ways.len();
                measure(
                    &mut ways[i],
                    timeout,
                    (waits * scale).div_ceil(ROUNDS),
                    &mut samples[i],
                );
            }
        }
        println!(
            "\n{:<24}{:>9}{:>9}{:>9}{:>9}",
            format!("{timeout:?}"),
            "p50",
            "p90",
            "p99",
            "CPU"
        );
        for (way, mut sample) in ways.iter().zip(samples) {
            sample.lateness_nanos.sort_unstable();
            let late = |percent| percentile(&sample.lateness_nanos, percent) as f64 / 1e3;
            let cpu = sample.cpu.as_secs_f64() * 1e6 / sample.lateness_nanos.len() as f64;
            let (p50, p90, p99) = (late(50), late(90), late(99));
            println!("{:<24}{p50:>9.1}{p90:>9.1}{p99:>9.1}{cpu:>9.2}", way.name);
        }
    }
    println!("\nnanoseconds per call");
    let mut park = ThreadPark::new();
    let unpark = park.unparker();
    per_call("unpark, awake", || unpark.unpark());
    per_call("unpark + park, token", || {
        unpark.unpark();
        park.park(None);
    });
    per_call("park, zero timeout", || park.park(Some(Duration::ZERO)));
    system::per_call_extras();
}

fn measure(way: &mut Way, timeout: Duration, waits: usize, sample: &mut Sample) {
    let slack = way.fine.then(system::set_fine_slack);
    let cpu = system::thread_cpu();
    for _ in 0..waits {
        let start = Instant::now();
        (way.wait)(timeout);
        let late = start
            .elapsed()
            .checked_sub(timeout)
            .expect("a wait ended early");
        sample.lateness_nanos.push(late.as_nanos() as u64);
    }
    sample.cpu += system::thread_cpu() - cpu;
    if let Some(slack) = slack {
        system::set_slack(slack);
    }
}

/// Returns the smallest sample that at least `percent` of all are not above. `sorted` is not empty.
fn percentile(sorted: &[u64], percent: usize) -> u64 {
    sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1]
}

/// Prints the median over chunks of the mean time of one call.
fn per_call(name: &str, mut call: impl FnMut()) {
    let mut chunks: Vec<u64> = (0..51)
        .map(|_| {
            let start = Instant::now();
            (0..2_000).for_each(|_| black_box(&mut call)());
            start.elapsed().as_nanos() as u64 / 2
        })
        .collect();
    chunks.sort_unstable();
    println!("{name:<24}{:>9.1}", percentile(&chunks, 50) as f64 / 1e3);
}

fn ways() -> Vec<Way> {
    let mut park = ThreadPark::new();
    let mut ways = vec![Way::new("ThreadPark", move |d| park.park(Some(d)))];
    ways.extend(system::raw_ways());
    ways.push(Way::new("thread::park_timeout", std::thread::park_timeout));
    ways.push(Way::new("thread::sleep", std::thread::sleep));
    ways
}

#[cfg(target_os = "linux")]
mod system {
    use std::num::{NonZeroU32, NonZeroU64};
    use std::sync::atomic::AtomicU32;
    use std::time::Duration;

    use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, epoll, eventfd, poll};
    use rustix::thread::{self, futex};
    use rustix::time::{
        ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, clock_gettime,
        timerfd_create, timerfd_settime,
    };

    use super::{Way, per_call};

    pub(super) fn thread_cpu() -> Duration {
        clock_gettime(ClockId::ThreadCPUTime)
            .try_into()
            .expect("CPU time is not negative")
    }

    /// Sets the slack and returns the former one.
    pub(super) fn set_fine_slack() -> u64 {
        let slack = thread::current_timer_slack().expect("PR_GET_TIMERSLACK");
        set_slack(1);
        slack
    }

    pub(super) fn set_slack(nanos: u64) {
        thread::set_current_timer_slack(NonZeroU64::new(nanos)).expect("PR_SET_TIMERSLACK");
    }

    pub(super) fn per_call_extras() {
        let word = AtomicU32::new(0);
        let flags = futex::Flags::PRIVATE;
        per_call("futex wake, nobody", || _ = futex::wake(&word, flags, 1));
        per_call("get timer slack", || _ = thread::current_timer_slack());
        let slack = thread::current_timer_slack().expect("PR_GET_TIMERSLACK");
        per_call("set timer slack", || set_slack(1));
        set_slack(slack);
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK);
        let timer = timer.expect("timerfd_create");
        let mut value = Itimerspec {
            it_interval: timespec(Duration::ZERO),
            it_value: deadline(Duration::from_secs(3600)),
        };
        per_call("set timerfd", || {
            value.it_value.tv_sec ^= 1;
            let absolute = TimerfdTimerFlags::ABSTIME;
            timerfd_settime(&timer, absolute, &value).expect("timerfd_settime");
        });
        nested_epoll();
    }

    /// Two ways to check one epoll instance from within another now and then, while a thousand
    /// descriptors are in it.
    fn nested_epoll() {
        let make = || epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll_create1");
        let (outer, inner, data) = (make(), make(), epoll::EventData::new_u64(0));
        let events = [(); 1000].map(|()| eventfd(0, EventfdFlags::CLOEXEC).expect("eventfd"));
        for event in &events {
            epoll::add(&inner, event, data, epoll::EventFlags::ONESHOT).expect("epoll_ctl");
        }
        per_call("epoll nested: add, delete", || {
            epoll::add(&outer, &inner, data, epoll::EventFlags::IN).expect("epoll_ctl");
            epoll::delete(&outer, &inner).expect("epoll_ctl");
        });
        epoll::add(&outer, &inner, data, epoll::EventFlags::empty()).expect("epoll_ctl");
        per_call("epoll nested: on, off", || {
            for flags in [epoll::EventFlags::IN, epoll::EventFlags::empty()] {
                epoll::modify(&outer, &inner, data, flags).expect("epoll_ctl");
            }
        });
        // No thread waits on it, but each event passes through it.
        let once = epoll::EventFlags::IN | epoll::EventFlags::ONESHOT;
        let mut collected = Vec::with_capacity(8);
        let mut event = || {
            epoll::modify(&inner, &events[0], data, once).expect("epoll_ctl");
            let room = rustix::buffer::spare_capacity(&mut collected);
            epoll::wait(&inner, room, Some(&timespec(Duration::ZERO))).expect("epoll_wait");
            collected.clear();
        };
        rustix::io::write(&events[0], &1u64.to_ne_bytes()).expect("write");
        per_call("event, nested once", &mut event);
        let others = [(); 16].map(|()| make());
        for other in &others {
            epoll::add(other, &inner, data, epoll::EventFlags::empty()).expect("epoll_ctl");
        }
        per_call("event, nested 17 times", event);
    }

    type Make = fn() -> Box<dyn FnMut(Duration)>;

    const RAW: [(&str, Make); 6] = [
        ("futex", futex_relative),
        ("futex absolute", futex_absolute),
        ("eventfd + ppoll", eventfd_ppoll),
        ("eventfd + epoll", eventfd_epoll),
        ("timerfd + ppoll", timerfd_ppoll),
        ("nanosleep absolute", nanosleep_absolute),
    ];

    /// Returns every raw way with the finest slack, then all of them with the thread's own.
    pub(super) fn raw_ways() -> Vec<Way> {
        let fine = RAW.map(|(name, make)| Way {
            name: format!("{name} 1ns"),
            fine: true,
            wait: make(),
        });
        let as_is = RAW.map(|(name, make)| Way {
            name: name.into(),
            fine: false,
            wait: make(),
        });
        fine.into_iter().chain(as_is).collect()
    }

    fn timespec(duration: Duration) -> Timespec {
        duration.try_into().expect("a short duration")
    }

    fn deadline(timeout: Duration) -> Timespec {
        let now = clock_gettime(ClockId::Monotonic);
        now.checked_add(timespec(timeout)).expect("a near deadline")
    }

    fn futex_relative() -> Box<dyn FnMut(Duration)> {
        let word = AtomicU32::new(0);
        Box::new(move |timeout| {
            let _ = futex::wait(&word, futex::Flags::PRIVATE, 0, Some(&timespec(timeout)));
        })
    }

    fn futex_absolute() -> Box<dyn FnMut(Duration)> {
        let word = AtomicU32::new(0);
        Box::new(move |timeout| {
            let at = deadline(timeout);
            let any = NonZeroU32::MAX;
            let _ = futex::wait_bitset(&word, futex::Flags::PRIVATE, 0, Some(&at), any);
        })
    }

    fn eventfd_ppoll() -> Box<dyn FnMut(Duration)> {
        let event = eventfd(0, EventfdFlags::NONBLOCK).expect("eventfd");
        Box::new(move |timeout| {
            let mut fds = [PollFd::new(&event, PollFlags::IN)];
            poll(&mut fds, Some(&timespec(timeout))).expect("ppoll");
        })
    }

    fn eventfd_epoll() -> Box<dyn FnMut(Duration)> {
        let event = eventfd(0, EventfdFlags::NONBLOCK).expect("eventfd");
        let poller = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll_create1");
        let data = epoll::EventData::new_u64(0);
        epoll::add(&poller, &event, data, epoll::EventFlags::IN).expect("epoll_ctl");
        let mut events = Vec::with_capacity(8);
        Box::new(move |timeout| {
            let _keep_open = &event;
            // Whole milliseconds, rounded up, because that is how rustix calls epoll unless its
            // feature `linux_5_11` says that there is an `epoll_pwait2` to call.
            let events = rustix::buffer::spare_capacity(&mut events);
            epoll::wait(&poller, events, Some(&timespec(timeout))).expect("epoll_wait");
        })
    }

    fn timerfd_ppoll() -> Box<dyn FnMut(Duration)> {
        let event = eventfd(0, EventfdFlags::NONBLOCK).expect("eventfd");
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK);
        let timer = timer.expect("timerfd_create");
        let zero = timespec(Duration::ZERO);
        Box::new(move |timeout| {
            let value = Itimerspec {
                it_interval: zero,
                it_value: deadline(timeout),
            };
            let absolute = TimerfdTimerFlags::ABSTIME;
            timerfd_settime(&timer, absolute, &value).expect("timerfd_settime");
            let mut fds = [
                PollFd::new(&event, PollFlags::IN),
                PollFd::new(&timer, PollFlags::IN),
            ];
            poll(&mut fds, None).expect("ppoll");
        })
    }

    fn nanosleep_absolute() -> Box<dyn FnMut(Duration)> {
        Box::new(|timeout| {
            let _ =
                thread::clock_nanosleep_absolute(thread::ClockId::Monotonic, &deadline(timeout));
        })
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::time::Duration;

    use super::Way;

    /// std has no clock of a thread's CPU time, so the column stays empty.
    pub(super) fn thread_cpu() -> Duration {
        Duration::ZERO
    }

    pub(super) fn set_fine_slack() -> u64 {
        0
    }

    pub(super) fn set_slack(_nanos: u64) {}

    pub(super) fn per_call_extras() {}

    pub(super) fn raw_ways() -> Vec<Way> {
        Vec::new()
    }
}

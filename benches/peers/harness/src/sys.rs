//! CPU time, RSS, context switches, valgrind client requests.

use std::sync::OnceLock;
use std::time::Duration;

/// CPU time (user + system) of this process so far.
pub fn cpu() -> Duration {
    let mut ts = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut ts) };
    Duration::new(ts.tv_sec as u64, ts.tv_nsec as u32)
}

/// CPU time of the calling thread.
pub fn thread_cpu() -> Duration {
    let mut ts = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut ts) };
    Duration::new(ts.tv_sec as u64, ts.tv_nsec as u32)
}

/// Resident set size in bytes.
pub fn rss() -> u64 {
    let s = std::fs::read_to_string("/proc/self/statm").unwrap();
    s.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

pub fn tid() -> i32 {
    unsafe { libc::gettid() }
}

/// The most that [`rss`] has been, in bytes.
pub fn peak_rss() -> u64 {
    let s = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = s.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        * 1024
}

/// Voluntary + involuntary context switches of all threads but `except`.
pub fn switches(except: i32) -> u64 {
    status_sum(except, |l| l.contains("ctxt_switches"))
}

/// Voluntary context switches of all threads but `except`: each is a wait, and ends in a wake-up.
pub fn voluntary(except: i32) -> u64 {
    status_sum(except, |l| l.starts_with("voluntary_ctxt_switches"))
}

/// Adds up lines of `/proc/self/task/*/status`.
fn status_sum(except: i32, line: impl Fn(&str) -> bool) -> u64 {
    let mut n = 0;
    for t in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        if t.file_name().to_string_lossy() == except.to_string() {
            continue;
        }
        if let Ok(s) = std::fs::read_to_string(t.path().join("status")) {
            n += s
                .lines()
                .filter(|l| line(l))
                .filter_map(|l| l.split_whitespace().nth(1)?.parse::<u64>().ok())
                .sum::<u64>();
        }
    }
    n
}

/// Keeps the calling thread, and those that it starts, on the `k`th CPU that the process may use,
/// counted around.
pub fn pin(k: usize) {
    // As it was before the first thread was pinned.
    static CPUS: OnceLock<Vec<usize>> = OnceLock::new();
    let size = std::mem::size_of::<libc::cpu_set_t>();
    // SAFETY: a set of no CPUs is all zeros, and both calls are given its size.
    unsafe {
        let cpus = CPUS.get_or_init(|| {
            let mut all: libc::cpu_set_t = std::mem::zeroed();
            libc::sched_getaffinity(0, size, &mut all);
            (0..libc::CPU_SETSIZE as usize)
                .filter(|&cpu| libc::CPU_ISSET(cpu, &all))
                .collect()
        });
        let mut one: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpus[k % cpus.len()], &mut one);
        libc::sched_setaffinity(0, size, &one);
    }
}

fn valgrind(request: u64) {
    #[cfg(target_arch = "x86_64")]
    {
        let args: [u64; 6] = [request, 0, 0, 0, 0, 0];
        // The magic no-op sequence valgrind recognises; free outside it.
        unsafe {
            std::arch::asm!(
                "rol rdi, 3", "rol rdi, 13", "rol rdi, 61", "rol rdi, 51",
                "xchg rbx, rbx",
                inout("rdx") 0u64 => _,
                in("rax") args.as_ptr(),
                out("rdi") _,
                options(nostack),
            );
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = request;
}

const CALLGRIND: u64 = ((b'C' as u64) << 24) | ((b'T' as u64) << 16);
/// Starts counting instructions (run with `--instr-atstart=no`).
pub fn icount_start() {
    valgrind(CALLGRIND + 4);
}
pub fn icount_stop() {
    valgrind(CALLGRIND + 5);
}

//! The costs: CPU time, parks and context switches.

use std::fs;
use std::io;
use std::ops::Sub;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::meter::Count;

/// How often workers have parked, counted by a hook of the runtime.
#[derive(Clone, Default)]
pub(crate) struct Parks(Arc<Count>);

impl Parks {
    pub(crate) fn hook(&self) -> impl Fn() + Send + Sync + 'static {
        let parks = self.0.clone();
        move || parks.add(1)
    }
}

/// What was used so far, or between two moments.
#[derive(Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) time: Duration,
    /// The CPU time of all threads of the process, clients included.
    pub(crate) cpu: Duration,
    /// How often a thread gave up its processor because it had nothing to do.
    pub(crate) switches: u64,
    pub(crate) parks: u64,
    /// How many threads there are.
    pub(crate) threads: usize,
}

impl Usage {
    pub(crate) fn now(begin: Instant, parks: &Parks) -> io::Result<Self> {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let mut usage = Self {
            time: begin.elapsed(),
            cpu: Duration::new(cpu.tv_sec as u64, cpu.tv_nsec as u32),
            switches: 0,
            parks: parks.0.get(),
            threads: 0,
        };
        for thread in fs::read_dir("/proc/self/task")? {
            let status = fs::read_to_string(thread?.path().join("status"))?;
            let line = |line: &str| {
                line.strip_prefix("voluntary_ctxt_switches:")?
                    .trim()
                    .parse()
                    .ok()
            };
            usage.switches += status.lines().find_map(line).unwrap_or(0u64);
            usage.threads += 1;
        }
        Ok(usage)
    }
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            time: self.time - before.time,
            cpu: self.cpu - before.cpu,
            switches: self.switches - before.switches,
            parks: self.parks - before.parks,
            threads: self.threads,
        }
    }
}

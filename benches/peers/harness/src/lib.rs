//! Workloads shared by every Rust contender. See ../../README.md.

mod contender;
pub mod stats;
pub mod sys;
pub mod util;
mod verify;
mod workloads;

use std::collections::HashMap;
use std::time::Duration;

pub use contender::{AssertSend, Contender, RearmTicker};

/// `key=value` arguments.
#[derive(Clone)]
pub struct Args(HashMap<String, String>);

impl Args {
    pub fn parse(args: impl Iterator<Item = String>) -> Self {
        Self(
            args.map(|a| {
                let (k, v) = a
                    .split_once('=')
                    .unwrap_or_else(|| panic!("not key=value: {a}"));
                (k.to_owned(), v.to_owned())
            })
            .collect(),
        )
    }
    pub fn str<'a>(&'a self, k: &str, default: &'a str) -> &'a str {
        self.0.get(k).map_or(default, |s| s)
    }
    pub fn num(&self, k: &str, default: u64) -> u64 {
        self.0.get(k).map_or(default, |s| s.parse().unwrap())
    }
    pub fn list(&self, k: &str, default: &str) -> Vec<u64> {
        let s = self.str(k, default);
        s.split(',')
            .filter(|s| !s.is_empty())
            .map(|s| s.parse().unwrap())
            .collect()
    }
    pub fn ms(&self, k: &str, default: u64) -> Duration {
        Duration::from_millis(self.num(k, default))
    }
}

/// Exit code for "this contender cannot do that workload".
pub const UNSUPPORTED: i32 = 3;

/// Says that the contender cannot do the workload, and why, and ends the process.
pub fn cannot<C: Contender>(why: &str) -> ! {
    eprintln!("{} cannot: {why}", C::NAME);
    std::process::exit(UNSUPPORTED)
}

/// `main` of every contender binary.
pub fn main<C: Contender>() {
    let mut argv = std::env::args().skip(1);
    let workload = argv
        .next()
        .expect("usage: <contender> <workload> [key=value ...]");
    let args = Args::parse(argv);
    if C::SKIP.contains(&workload.as_str()) {
        cannot::<C>(&workload);
    }
    match workload.as_str() {
        "verify" => verify::run::<C>(&args),
        "w1" => workloads::w1::<C>(args),
        "w2" => workloads::w2::<C>(args),
        "w3" => workloads::w3::<C>(args),
        "w4" => workloads::w4::<C>(args),
        "w5" => workloads::w5::<C>(args),
        "w6" => workloads::w6::<C>(args),
        "w6c" => workloads::w6c::<C>(args),
        "w6m" => workloads::w6m::<C>(args),
        "w7" => workloads::w7::<C>(args),
        "w8" => workloads::w8::<C>(args),
        "w9" => workloads::w9::<C>(args),
        "w10" => workloads::w10::<C>(args),
        "w11" => workloads::w11::<C>(args),
        "w12" => workloads::w12::<C>(args),
        "w13" => workloads::w13::<C>(args),
        "w14" => workloads::w14::<C>(args),
        other => panic!("unknown workload {other}"),
    }
    // Contenders with a global helper thread are left to die with the process.
    std::process::exit(0);
}

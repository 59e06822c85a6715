//! What Go's `context` package measures, with [`Context`], and the memory of live contexts.
//!
//! The numbers are those of Go 1.27's `context/benchmark_test.go`; `native/beyond_test.go` has the
//! memory. Two differences are not hidden:
//!
//! * Go's `Background()` cannot be cancelled, so a context that is made of it has no parent. Ours
//!   can be, so `WithTimeout` here also enters a child into its parent's list and takes it out,
//!   under a lock. The parent is one for each task: one that all share is measured by
//!   `CommonParentCancel`.
//! * `CommonParentCancel` looks up a value in Go. Here there are none.

use std::hint::black_box;

use reveille::Context;

use crate::measure::{HOUR, each, parallel, parallel_among, report, run, serial};

/// Makes and cancels ten contexts, while others are live.
pub(crate) fn with_timeout(workers: usize) {
    for alive in [40, 4_000, 400_000] {
        let name = format!("WithTimeout/concurrency={alive}@Context");
        let others = |_| async move { live(alive / workers) };
        parallel_among(&name, workers, others, async |mut turns| {
            let root = Context::background();
            let mut contexts = Vec::with_capacity(10);
            while turns.next() {
                contexts.extend((0..10).map(|_| root.with_timeout(HOUR)));
                for context in &contexts {
                    context.cancel();
                }
                contexts.clear();
            }
        });
    }
}

/// Makes so many contexts that are due in an hour. They come with their parent.
fn live(count: usize) -> (Context, Vec<Context>) {
    let root = Context::background();
    let contexts = (0..count).map(|_| root.with_timeout(HOUR)).collect();
    (root, contexts)
}

/// Each task makes and cancels children of one parent.
pub(crate) fn common_parent_cancel(workers: usize) {
    let shared = Context::background();
    parallel("CommonParentCancel@Context", workers, move |mut turns| {
        let shared = shared.clone();
        async move {
            let mut x = 0_u64;
            while turns.next() {
                let context = shared.child();
                x = work(x);
                context.cancel();
                x = work(x);
            }
        }
    });
}

fn work(mut x: u64) -> u64 {
    for _ in 0..100 {
        x /= black_box(x + 1);
    }
    x
}

pub(crate) fn cancel_tree(workers: usize) {
    fn build(mut root: Context, depth: usize) {
        for _ in 0..depth {
            root = root.child();
        }
    }

    for depth in [1, 10, 100, 1000] {
        let name = |root: &str| format!("CancelTree/depth={depth}/Root={root}@Context");
        serial(&name("Background"), workers, |mut turns| async move {
            let root = Context::background();
            while turns.next() {
                build(root.clone(), depth);
            }
        });
        serial(&name("OpenCanceler"), workers, |mut turns| async move {
            while turns.next() {
                let root = Context::background();
                build(root.clone(), depth);
                root.cancel();
            }
        });
        serial(&name("ClosedCanceler"), workers, |mut turns| async move {
            while turns.next() {
                let root = Context::background();
                root.cancel();
                build(root, depth);
            }
        });
    }
}

pub(crate) fn check_canceled(workers: usize) {
    let context = Context::background();
    context.cancel();
    let checked = context.clone();
    serial("CheckCanceled/Err@Context", workers, move |mut turns| {
        let context = checked.clone();
        async move {
            while turns.next() {
                black_box(black_box(&context).err());
            }
        }
    });
    serial("CheckCanceled/Done@Context", workers, move |mut turns| {
        let context = context.clone();
        async move {
            while turns.next() {
                black_box(black_box(&context).is_done());
            }
        }
    });
}

/// All tasks ask one live context.
pub(crate) fn context_cancel_done(workers: usize) {
    let context = Context::background();
    parallel("ContextCancelDone@Context", workers, move |mut turns| {
        let context = context.clone();
        async move {
            while turns.next() {
                black_box(black_box(&context).is_done());
            }
        }
    });
}

/// How much the process grows for each of 100 000 contexts that are due in an hour. It must run in
/// a process of its own.
pub(crate) fn live_contexts_100000(workers: usize) {
    const LIVE: usize = 100_000;
    run(workers, async move {
        // The first ones start what is started once.
        drop(each(workers, async |_| live(10)).await);
        let before = resident();
        let contexts = each(workers, |_| async move { live(LIVE / workers) }).await;
        let bytes = (resident() - before) / LIVE as f64;
        report(
            "LiveContexts100000@Context",
            workers,
            1,
            &[("B/context", bytes)],
        );
        drop(contexts);
    });
}

/// The memory of this process that is resident, in bytes.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kibibytes: f64 = kibibytes.and_then(|n| n.parse().ok()).expect("a number");
    kibibytes * 1024.0
}

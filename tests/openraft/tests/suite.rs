//! openraft's own conformance suite.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use openraft_rt::AsyncRuntime;
use openraft_rt::testing::Suite;
use reveille::ManualClock;
use reveille::rt::Runtime;
use reveille_openraft::Rt;

/// Panics if `test` does, or if it hangs.
fn watched(test: impl FnOnce() + Send + 'static) {
    let (done, finished) = mpsc::channel();
    let thread = thread::spawn(move || {
        test();
        done.send(())
    });
    let end = finished.recv_timeout(Duration::from_secs(60));
    assert_ne!(end, Err(mpsc::RecvTimeoutError::Timeout), "it hangs");
    thread
        .join()
        .expect("the test has panicked")
        .expect("not late");
}

#[test]
fn a_runtime_of_one_worker_and_of_eight_conforms() {
    watched(Suite::<Rt>::test_all);
}

#[test]
fn a_runtime_of_four_workers_conforms() {
    watched(|| Suite::<Rt>::test_all_on(&mut Rt::new(4)));
}

#[test]
fn a_runtime_on_a_manual_clock_conforms() {
    watched(|| {
        for workers in [1, 4] {
            let clock = ManualClock::new();
            let start = clock.now();
            let runtime = Runtime::builder().worker_threads(workers).clock(&clock);
            Suite::<Rt>::test_all_on(&mut Rt::from(runtime.build().unwrap()));
            // The suite sleeps now and then, so this clock has moved.
            assert!(clock.now() - start >= Duration::from_millis(50));
        }
    });
}

#[test]
fn what_blocks_runs_on_another_thread() {
    watched(|| {
        Rt::new(1).block_on(async {
            let here = thread::current().id();
            let there = Rt::spawn_blocking(|| thread::current().id()).await;
            assert_ne!(there.unwrap(), here);
        });
    });
}

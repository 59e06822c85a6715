//! Threads that call while another one scans, a source or a clock that panics, and the end.

use super::*;

/// The thread that replanned stayed as long as others called, be it for ever.
#[test]
fn a_thread_leaves_although_others_call_during_each_scan() {
    // Each time that the source is set, a thread arms an earlier timer, a thousand times.
    let left = Arc::new(AtomicUsize::new(1000));
    let more = left.clone();
    // Exact, or else a margin would keep most of these timers from calling.
    let runtime = TestRuntime::new(true, 0, |driver| {
        Box::new(move || {
            let n = more.load(Ordering::Relaxed);
            if n > 0 {
                more.store(n - 1, Ordering::Relaxed);
                let shared = driver.upgrade().unwrap().shards()[n % 2].clone();
                std::mem::forget(armed(&Handle::new(shared), n as u64));
            }
        })
    });
    let mut scans = 1000 - left.load(Ordering::Relaxed);
    assert_eq!(
        scans,
        MAX_SCANS + 1,
        "scans, and a source that is set to expire soon"
    );
    while left.load(Ordering::Relaxed) > 0 {
        let before = left.load(Ordering::Relaxed);
        assert_eq!(runtime.set_to().last(), Some(&1), "soon");
        // Any call will do; the source is sure to make one.
        if before.is_multiple_of(2) {
            runtime.driver.replan();
        } else {
            runtime.expire_at(0);
        }
        scans = before - left.load(Ordering::Relaxed);
        assert!((1..=MAX_SCANS + 1).contains(&scans), "{scans}");
    }
    runtime.expire_at(0);
    assert_eq!(runtime.set_to().last(), Some(&1));
    runtime.expire_at(1000);
    assert_eq!(
        (runtime.handle(0).armed(), runtime.handle(1).armed()),
        (0, 0)
    );
    assert_eq!(runtime.set_to().last(), Some(&NEVER));
}

/// The source may own descriptors, and everything that refers to the runtime keeps the driver.
#[test]
fn a_driver_that_is_closed_while_a_thread_scans_drops_its_source() {
    let runtime = TestRuntime::new(false, 0, |driver| {
        let mut sets = 0;
        Box::new(move || {
            sets += 1;
            if sets == 2 {
                driver.upgrade().unwrap().close();
            }
        })
    });
    assert!(runtime.kept.upgrade().is_some());
    let sleep = runtime.armed(0, 10);
    assert!(sleep.is_orphaned());
    assert!(runtime.kept.upgrade().is_none());
    assert_eq!(runtime.driver.replan(), Liveness::Alive, "closed already");
}

/// No thread scanned any more: the timers of threads that waited never fired.
#[test]
fn a_clock_that_panics_in_a_scan_has_the_source_expire_soon() {
    let runtime = TestRuntime::quiet(false, 0);
    let _sleeps = [runtime.armed(0, 10), runtime.armed(1, 20)];
    runtime.set_to();
    runtime.panics.store(true, Ordering::Relaxed);
    // The scan asks when the timer fired.
    runtime.expire_at(10);
    assert_eq!(runtime.set_to(), [1], "soon, whatever the time");
    runtime.panics.store(false, Ordering::Relaxed);
    runtime.expire_at(20);
    assert_eq!(runtime.handle(1).armed(), 0);
    assert_eq!(runtime.set_to(), [NEVER]);
}

/// The panic of the payload left the scanner taken out, and no thread could scan or close it.
#[test]
fn a_source_whose_panic_panics_when_it_is_dropped_counts_as_gone() {
    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }

    let runtime = TestRuntime::new(false, 0, |_| {
        let mut sets = 0;
        Box::new(move || {
            sets += 1;
            if sets == 2 {
                std::panic::panic_any(Bomb);
            }
        })
    });
    let sleep = runtime.armed(0, 10);
    assert!(sleep.is_orphaned());
    assert!(runtime.kept.upgrade().is_none());
}

use std::thread;

use reveille::rt::{self, Runtime};
use reveille::time::{self, Duration, Instant, sleep};
use reveille::{FutureExt, ManualClock};

/// What is tested: three tasks, the last of which ends after three seconds.
async fn sum() -> u64 {
    let tasks = [1, 2, 3].map(|seconds| {
        rt::spawn(async move {
            sleep(Duration::from_secs(seconds)).await;
            seconds
        })
    });
    let mut sum = 0;
    for task in tasks {
        sum += task.await.unwrap();
    }
    sum
}

#[test]
fn tasks_run_on_a_manual_clock() {
    let clock = ManualClock::new();
    let runtime = Runtime::builder().worker_threads(1).clock(&clock);
    let runtime = runtime.build().unwrap();
    let start = clock.now();
    assert_eq!(runtime.block_on(sum()), 6);
    assert_eq!(clock.now() - start, Duration::from_secs(3));
}

/// For code whose clock the test does not choose. Feature `test-util`.
#[test]
fn the_clock_of_a_block_on_is_paused_inside() {
    rt::block_on(async {
        time::pause();
        let start = Instant::now();
        assert_eq!(sum().await, 6);
        assert_eq!(start.elapsed(), Duration::from_secs(3));
    });
}

/// A thread or a socket is no reason for time to stand still, unless the test says so.
#[test]
fn a_thread_that_works_holds_the_time() {
    let clock = ManualClock::new();
    let runtime = Runtime::builder().worker_threads(1).clock(&clock);
    let answer = runtime.build().unwrap().block_on(async {
        let (sender, receiver) = futures::channel::oneshot::channel();
        let hold = rt::hold();
        thread::spawn(move || {
            let _ = sender.send(7);
            drop(hold); // after the answer
        });
        receiver.timeout(Duration::from_secs(1)).await
    });
    assert_eq!(answer, Ok(Ok(7)));
}

//! A program that uses timers in a tokio runtime, and ends the runtime as its first argument says.
//! The second argument names the runtime. A panic calls the hook, and sets the exit status.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use std::{env, panic, thread};

use reveille::time::{DelayQueue, sleep};
use tokio::runtime::{Builder, Runtime};

static CACHE: LazyLock<Mutex<DelayQueue<u32>>> = LazyLock::new(Default::default);

static PANICKED: AtomicBool = AtomicBool::new(false);

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

fn runtime(kind: &str) -> Runtime {
    let mut builder = match kind {
        "one_thread" | "one_thread_time" | "paused" => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    match kind {
        "one_thread" | "workers" => builder.enable_all(),
        "one_thread_time" | "workers_time" => builder.enable_time(),
        #[cfg(feature = "test-util")]
        "paused" => builder.enable_all().start_paused(true),
        _ => panic!("no such runtime: {kind}"),
    };
    builder.build().unwrap()
}

fn main() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        PANICKED.store(true, Ordering::Relaxed);
        report(info);
    }));
    let mut arguments = env::args().skip(1);
    let situation = arguments.next().expect("the situation");
    let kind = arguments.next().expect("the runtime");
    if situation == "sees_panics" {
        // Shows that the test would see a panic.
        let _ = panic::catch_unwind(|| panic!("on purpose"));
    } else {
        run(&situation, &kind);
    }
    if PANICKED.load(Ordering::Relaxed) {
        exit(1);
    }
}

fn run(situation: &str, kind: &str) {
    let runtime = runtime(kind);
    match situation {
        "nothing_armed" => runtime.block_on(sleep(10 * MS)),
        "task_left" => runtime.block_on(async {
            tokio::spawn(sleep(HOUR));
            sleep(10 * MS).await;
        }),
        "static_queue" => runtime.block_on(async {
            tokio::spawn(poll_fn(|cx| {
                let _ = CACHE.lock().unwrap().poll_expired(cx);
                Poll::<()>::Pending
            }));
            CACHE.lock().unwrap().insert(1, HOUR);
            sleep(10 * MS).await;
        }),
        // Nobody runs the runtime when it is due, so it is due when the runtime ends.
        "overdue" => runtime.block_on(async {
            tokio::spawn(sleep(2 * MS));
            sleep(MS).await;
            thread::sleep(5 * MS);
        }),
        "arming_elsewhere" => {
            let handle = runtime.handle().clone();
            let (started, starts) = mpsc::channel();
            let arms = thread::spawn(move || {
                let _entered = handle.enter();
                let mut armed = Vec::new();
                // Each is earlier than all before, so each sets the runtime's wake source.
                for step in 0..5000 {
                    let mut timer = sleep(HOUR - step * MS);
                    let mut cx = Context::from_waker(Waker::noop());
                    assert!(Pin::new(&mut timer).poll(&mut cx).is_pending());
                    armed.push(timer);
                    if step == 100 {
                        started.send(()).unwrap();
                    }
                }
            });
            starts.recv().unwrap();
            drop(runtime);
            arms.join().unwrap();
            return;
        }
        _ => panic!("no such situation: {situation}"),
    }
    drop(runtime);
    if situation == "static_queue" && kind != "paused" {
        // What is in it is not lost, and moves to the runtime that polls it. It stays if the clock
        // was paused.
        assert_eq!(CACHE.lock().unwrap().len(), 1);
        let next = self::runtime(kind);
        next.block_on(async {
            CACHE.lock().unwrap().insert(2, MS);
            let expired = poll_fn(|cx| CACHE.lock().unwrap().poll_expired(cx)).await;
            assert_eq!(expired.unwrap().into_inner(), 2);
        });
    }
}

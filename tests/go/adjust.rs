//! Go's `TestAdjustTimers`: a hundred timers, each at some step of a script of eleven, chosen at
//! random; and `TestTimerModifiedEarlier`.

use std::task::Poll;
use std::time::Duration;

use futures::channel::oneshot;
use reveille::go::{self, Timer};
use reveille::time::{Instant, sleep};

use crate::on::{On, everywhere};
use crate::support::{Random, Task, secs};

/// Does one step with a timer, and returns the next step, `None` after the last.
async fn step(timer: &mut Timer, state: u32) -> Option<u32> {
    let minutes = |minutes: u64| secs(60 * minutes);
    match state {
        0 | 8 => {
            timer.reset(Duration::ZERO);
        }
        1 | 9 => {
            timer.await;
        }
        2 => assert!(!timer.reset(minutes(1))),
        4 => assert!(!timer.reset(minutes(3))),
        6 => assert!(!timer.reset(minutes(2))),
        3 | 5 | 7 => assert!(timer.stop(), "state {state}"),
        _ => return None,
    }
    Some(state + 1)
}

#[test]
fn a_random_interleaving_of_resets_and_stops_fires_what_is_due() {
    everywhere(|on| async move {
        let start = Instant::now();
        let mut random = Random::new(17);
        let mut timers: Vec<(Timer, u32)> = (0..100).map(|_| (Timer::new(secs(60)), 0)).collect();
        let task = Task::new();
        while !timers.is_empty() {
            let at = random.below(timers.len() as u64) as usize;
            let (timer, state) = &mut timers[at];
            // Armed, as by a goroutine that is blocked in a receive.
            if !matches!(*state, 1 | 9) {
                assert_eq!(task.poll(timer), Poll::Pending, "state {state}");
            }
            match step(timer, *state).await {
                Some(next) => *state = next,
                None => drop(timers.swap_remove(at)),
            }
        }
        if on == On::Manual {
            assert_eq!(start.elapsed(), Duration::ZERO);
        }
    });
}

/// A timer that was stopped and moved to the past fires, whatever it was before.
#[test]
fn a_timer_that_is_moved_to_the_past_again_and_again_fires() {
    everywhere(|_| async {
        for _ in 0..1000 {
            let mut timer = Timer::new(secs(3600));
            let task = Task::new();
            assert!(task.poll(&mut timer).is_pending());
            for _ in 0..10 {
                assert!(timer.stop());
                assert!(!timer.reset(Duration::ZERO));
            }
            (&mut timer).await;
            assert!(!timer.stop());
        }
    });
}

/// The same with a function, for which a stop may come too late.
#[test]
fn a_function_that_is_moved_to_the_past_again_and_again_is_called() {
    everywhere(|_| async {
        for _ in 0..1000 {
            let (sender, called) = oneshot::channel();
            let timer = go::after_func(secs(3600), move || sender.send(()).unwrap());
            for _ in 0..10 {
                let stopped = timer.stop();
                // Moved only if it was active; a stop that came first has it start anew.
                assert!(!timer.reset(Duration::ZERO) || !stopped);
            }
            called.await.unwrap();
            assert!(!timer.stop());
        }
    });
}

/// Go's `TestTimerStopStress`: what is stopped in time does not fire.
#[test]
fn many_functions_that_are_stopped_are_not_called() {
    everywhere(|on| async move {
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                on.spawn(async {
                    let timer = go::after_func(secs(2), || panic!("not stopped"));
                    sleep(Duration::from_millis(1)).await;
                    assert!(timer.stop());
                    timer
                })
            })
            .collect();
        let timers = futures::future::join_all(tasks).await;
        if on == On::Manual {
            sleep(secs(3)).await;
        }
        assert!(!timers.iter().any(reveille::FuncTimer::stop));
    });
}

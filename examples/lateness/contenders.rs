//! The ways to sleep that are compared, each with the loop that its users run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_deque::{Injector, Steal};
use reveille::{Driver, ThreadPark};

use crate::load::{Load, Sample};
#[cfg(feature = "peers")]
use crate::peers;

pub(crate) struct Contender {
    pub(crate) name: String,
    pub(crate) run: Box<dyn Fn(Load) -> Sample>,
}

pub(crate) fn contender(name: &str, run: impl Fn(Load) -> Sample + 'static) -> Contender {
    let (name, run) = (name.into(), Box::new(run));
    Contender { name, run }
}

pub(crate) fn all() -> Vec<Contender> {
    let all = vec![
        contender("reveille, your own loop", |load| own_loop(load, None)),
        #[cfg(feature = "rt")]
        contender("reveille::rt", on_rt),
        #[cfg(feature = "tokio")]
        contender("reveille on tokio", |load| on_tokio(load, reveille_until)),
        #[cfg(feature = "tokio")]
        contender("tokio", |load| {
            on_tokio(load, |at| tokio::time::sleep_until(at.into()))
        }),
        #[cfg(feature = "smol")]
        contender("smol (async-io)", on_smol),
    ];
    #[cfg(feature = "peers")]
    let all = all.into_iter().chain(peers::all()).collect();
    all
}

/// The loop of your own with this slack.
pub(crate) fn own_loop_with(slack: Duration) -> Contender {
    contender(&format!("slack {slack:?}"), move |load| {
        own_loop(load, Some(slack))
    })
}

/// A sleep on the driver that is current where it is polled first.
async fn reveille_until(at: Instant) {
    reveille::time::sleep_until(at.into()).await;
}

/// Runs the tasks in a loop that has nothing but a queue, and parks in a driver.
fn own_loop(load: Load, slack: Option<Duration>) -> Sample {
    let mut driver = Driver::new(ThreadPark::new());
    if let Some(slack) = slack {
        driver.handle().set_slack(slack);
    }
    let entered = driver.handle().enter();
    let queue = Arc::new(Injector::new());
    let spawn = |future| {
        let queue = queue.clone();
        let (runnable, task) = async_task::spawn(future, move |ready| queue.push(ready));
        runnable.schedule();
        task
    };
    let tasks: Vec<_> = load.tasks(reveille_until).map(spawn).collect();
    loop {
        // All that is ready runs before the next park, in the order in which it was woken.
        while let Steal::Success(runnable) = queue.steal() {
            runnable.run();
        }
        if tasks.iter().all(|task| task.is_finished()) {
            break;
        }
        driver.park();
    }
    drop(entered);
    load.into_sample()
}

#[cfg(feature = "rt")]
fn on_rt(load: Load) -> Sample {
    reveille::rt::block_on(async {
        let tasks: Vec<_> = load
            .tasks(reveille_until)
            .map(reveille::rt::spawn)
            .collect();
        for task in tasks {
            task.await.expect("no task panics");
        }
    });
    load.into_sample()
}

#[cfg(feature = "tokio")]
fn on_tokio<S>(load: Load, sleep_until: impl Fn(Instant) -> S + Clone + Send + 'static) -> Sample
where
    S: Future<Output = ()> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the system has a descriptor for the runtime");
    runtime.block_on(async {
        let tasks: Vec<_> = load.tasks(sleep_until).map(tokio::spawn).collect();
        for task in tasks {
            task.await.expect("no task panics");
        }
    });
    load.into_sample()
}

#[cfg(feature = "smol")]
fn on_smol(load: Load) -> Sample {
    let executor = smol::LocalExecutor::new();
    let until = |at| async move {
        smol::Timer::at(at).await;
    };
    let tasks: Vec<_> = load.tasks(until).map(|task| executor.spawn(task)).collect();
    smol::block_on(executor.run(async {
        for task in tasks {
            task.await;
        }
    }));
    load.into_sample()
}

//! Timers of crates that take long to build, for the package `lateness_peers`.

use std::time::Instant;

use futures_timer::Delay;

use crate::contenders::{Contender, contender};
use crate::load::{Load, Sample};

pub(crate) fn all() -> Vec<Contender> {
    vec![
        contender("futures-timer", on_futures_timer),
        contender("compio", on_compio),
        #[cfg(target_os = "linux")]
        contender("monoio", on_monoio),
        #[cfg(target_os = "linux")]
        contender("glommio", on_glommio),
    ]
}

/// On an executor without timers. futures-timer fires its own on a thread, whatever the executor.
fn on_futures_timer(load: Load) -> Sample {
    let executor = smol::LocalExecutor::new();
    let until = |at: Instant| Delay::new(at.saturating_duration_since(Instant::now()));
    let tasks: Vec<_> = load.tasks(until).map(|task| executor.spawn(task)).collect();
    pollster::block_on(executor.run(async {
        for task in tasks {
            task.await;
        }
    }));
    load.into_sample()
}

fn on_compio(load: Load) -> Sample {
    let runtime = compio::runtime::Runtime::new().expect("the system has a descriptor for it");
    runtime.block_on(async {
        let tasks: Vec<_> = load
            .tasks(compio::time::sleep_until)
            .map(compio::runtime::spawn)
            .collect();
        for task in tasks {
            task.await.expect("no task panics");
        }
    });
    load.into_sample()
}

/// On io_uring if the system has it, else on epoll.
#[cfg(target_os = "linux")]
fn on_monoio(load: Load) -> Sample {
    let mut runtime = monoio::RuntimeBuilder::<monoio::FusionDriver>::new()
        .enable_timer()
        .build()
        .expect("the system has a descriptor for it");
    runtime.block_on(async {
        let until = |at: Instant| monoio::time::sleep_until(at.into());
        let tasks: Vec<_> = load.tasks(until).map(monoio::spawn).collect();
        for task in tasks {
            task.await;
        }
    });
    load.into_sample()
}

/// On io_uring only. Where that is missing there is nothing to show.
#[cfg(target_os = "linux")]
fn on_glommio(load: Load) -> Sample {
    use glommio::{LocalExecutorBuilder, Placement, timer::Timer};

    let executor = match LocalExecutorBuilder::new(Placement::Unbound).make() {
        Ok(executor) => executor,
        Err(error) => {
            println!("glommio does not run here: {error}");
            return Sample::default();
        }
    };
    executor.run(async {
        let until = |at: Instant| Timer::new(at.saturating_duration_since(Instant::now()));
        let tasks: Vec<_> = load.tasks(until).map(glommio::spawn_local).collect();
        for task in tasks {
            task.await;
        }
    });
    load.into_sample()
}

//! Tests of executors that the process-wide thread works with, without any setup.

use futures::task::SpawnExt;
use reveille_executors_wide::{scenario, watched};

#[test]
fn timers_work_on_pollster() {
    watched(|| pollster::block_on(scenario()));
}

#[test]
fn timers_work_on_smol() {
    watched(|| smol::block_on(async { smol::spawn(scenario()).await }));
}

#[test]
fn timers_work_on_async_global_executor() {
    watched(|| {
        async_global_executor::block_on(async {
            let local = async_global_executor::spawn_local(scenario());
            async_global_executor::spawn(scenario()).await;
            local.await;
        });
    });
}

#[test]
fn timers_work_on_pools_of_futures() {
    watched(|| {
        let mut local = futures::executor::LocalPool::new();
        local.run_until(scenario());

        let pool = futures::executor::ThreadPool::builder()
            .pool_size(2)
            .create()
            .unwrap();
        let tasks: Vec<_> = (0..4)
            .map(|_| pool.spawn_with_handle(scenario()).unwrap())
            .collect();
        futures::executor::block_on(futures::future::join_all(tasks));
    });
}

#[test]
fn timers_work_on_compio() {
    watched(|| {
        let runtime = compio::runtime::Runtime::new().unwrap();
        println!("compio on {:?}", runtime.driver_type());
        runtime.block_on(async {
            let task = compio::runtime::spawn(scenario());
            scenario().await;
            task.await.unwrap();
        });
    });
}

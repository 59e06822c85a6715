//! Test of the process-wide thread with glommio, where the system has the io_uring that it needs.

#![cfg(target_os = "linux")]

use glommio::{LocalExecutorBuilder, Placement};
use reveille_executors_wide::{scenario, watched};

#[test]
fn timers_work_on_glommio() {
    watched(|| {
        let builder = LocalExecutorBuilder::new(Placement::Unbound);
        match builder.make() {
            Ok(executor) => executor.run(async {
                let task = glommio::spawn_local(scenario());
                scenario().await;
                task.await;
            }),
            Err(error) => println!("not tried: {error}"),
        }
    });
}

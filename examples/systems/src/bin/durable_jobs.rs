//! Delayed jobs that outlive a process: two workers share them, and one is killed.
//!
//! ```sh
//! examples/systems/with-postgres.sh cargo run --release \
//!     --manifest-path examples/systems/Cargo.toml --target-dir target/systems --bin durable_jobs
//! ```
//!
//! The program starts itself twice, as workers. When one of them has begun a job that takes long,
//! it is killed with `kill -9`, in the middle of it.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use futures_util::future::try_join_all;
use reveille::Context;
use reveille::time::{Duration, Instant, sleep, timeout};
use reveille_systems::jobs::{Job, Jobs, Run};
use tokio_postgres::{NoTls, Transaction};

const JOBS: u64 = 20;
/// How many jobs a worker runs at a time.
const LANES: usize = 3;
/// How long to wait for what the workers do.
const PATIENCE: Duration = Duration::from_secs(60);
const MS: Duration = Duration::from_millis(1);

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let url = std::env::var("DATABASE_URL")
        .map_err(|_| "no DATABASE_URL: run this with examples/systems/with-postgres.sh")?;
    let mut arguments = std::env::args().skip(1);
    match (arguments.next(), arguments.next()) {
        (Some(worker), Some(schema)) => work(&url, &worker, &schema).await,
        _ => direct(&url).await,
    }
}

/// A worker: runs jobs until it is killed, some at a time, each over a connection of its own.
async fn work(url: &str, worker: &str, schema: &str) -> Result<ExitCode, Box<dyn Error>> {
    let context = Context::background();
    let mut lanes = Vec::new();
    for _ in 0..LANES {
        lanes.push(Jobs::connect(url, schema).await?);
    }
    println!("ready");
    try_join_all(
        lanes
            .iter_mut()
            .map(|jobs| jobs.work(worker, &context, Print)),
    )
    .await?;
    Ok(ExitCode::SUCCESS)
}

/// Prints each job, and takes some time for one of them.
struct Print;

impl Run for Print {
    async fn run(&mut self, _: &Transaction<'_>, job: &Job) -> Result<(), tokio_postgres::Error> {
        println!("begins {}", job.payload);
        if job.payload == "long" {
            sleep(1000 * MS).await;
        }
        Ok(())
    }
}

/// Makes a schema, plays in it, and drops it, also if that has failed.
async fn direct(url: &str) -> Result<ExitCode, Box<dyn Error>> {
    let schema = format!("durable_{}", std::process::id());
    let played = play(url, &schema).await;
    let dropped = async {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        tokio::spawn(connection);
        let drop = format!("drop schema if exists {schema} cascade");
        client.batch_execute(&drop).await
    };
    let dropped = dropped.await;
    let played = played?;
    dropped?;
    Ok(played)
}

/// Schedules jobs, kills a worker, and looks at what has become of the jobs.
async fn play(url: &str, schema: &str) -> Result<ExitCode, Box<dyn Error>> {
    let jobs = Jobs::connect(url, schema).await?;
    let mut workers = Vec::new();
    for name in ["one", "two"] {
        workers.push(Worker::start(name, schema)?);
    }
    for worker in &workers {
        worker.wait_for("ready")?;
    }

    // The workers wait for this one. Each of the others is earlier, so they have to be notified.
    let cancelled = jobs.schedule("never", 3600 * 1000 * MS).await?;
    for number in 0..JOBS {
        let delay = Duration::from_millis(100 + (number * 37) % 300);
        jobs.schedule(&format!("job {number}"), delay).await?;
    }
    jobs.schedule("long", 150 * MS).await?;
    println!("{JOBS} jobs due within 400 ms, and one that takes 1 s");

    let begun = async {
        loop {
            let begun = workers.iter().position(|worker| worker.has_begun("long"));
            if let Some(victim) = begun {
                break victim;
            }
            sleep(MS).await;
        }
    };
    let victim = timeout(PATIENCE, begun)
        .await
        .map_err(|_| "no worker has begun the long job")?;
    sleep(20 * MS).await;
    workers[victim].process.kill()?;
    println!("worker {} has begun it: kill -9", workers[victim].name);
    let was_cancelled = jobs.cancel(cancelled).await?;

    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    let open = format!("select count(*) from {schema}.jobs where done is null");
    let all_done = async {
        while client.query_one(&open, &[]).await?.get::<_, i64>(0) > 0 {
            sleep(5 * MS).await;
        }
        Ok::<_, tokio_postgres::Error>(())
    };
    timeout(PATIENCE, all_done)
        .await
        .map_err(|_| "a job was lost")??;

    let results = format!(
        "select payload, worker, extract(epoch from started - due)::float8 * 1000 \
         from {schema}.jobs order by due"
    );
    let rows = client.query(&results, &[]).await?;
    let mut late: Vec<f64> = Vec::new();
    let mut by = [0, 0];
    let mut long_by = String::new();
    for row in &rows {
        let (payload, worker, millis): (&str, String, f64) = (row.get(0), row.get(1), row.get(2));
        by[usize::from(worker == workers[1].name)] += 1;
        match payload {
            "long" => {
                println!("the long job was run again by {worker}, {millis:.0} ms after it was due");
                long_by = worker;
            }
            _ => late.push(millis),
        }
    }
    late.sort_by(f64::total_cmp);
    println!("jobs done by each worker: {by:?}");
    println!(
        "late: {:.2} ms in the middle, {:.2} ms at most",
        late[late.len() / 2],
        late[late.len() - 1],
    );
    let good = rows.len() as u64 == JOBS + 1
        && late[0] >= 0.0
        && was_cancelled
        && long_by != workers[victim].name;
    match good {
        true => println!("OK: none was lost, none was early, and the cancelled one was not run."),
        false => println!("FAILED"),
    }
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A worker's process, which is killed at the end.
struct Worker {
    name: &'static str,
    process: Child,
    lines: Receiver<String>,
}

impl Worker {
    fn start(name: &'static str, schema: &str) -> Result<Self, Box<dyn Error>> {
        let mut process = Command::new(std::env::current_exe()?)
            .args([name, schema])
            .stdout(Stdio::piped())
            .spawn()?;
        let output = process.stdout.take().ok_or("no output")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            name,
            process,
            lines,
        })
    }

    fn wait_for(&self, line: &str) -> Result<(), Box<dyn Error>> {
        let start = Instant::now();
        while self.lines.recv_timeout(Duration::from_secs(30))? != line {
            if start.elapsed() > Duration::from_secs(30) {
                return Err(format!("worker {} is not {line}", self.name).into());
            }
        }
        Ok(())
    }

    /// Returns whether the worker has begun this job since the last call.
    fn has_begun(&self, payload: &str) -> bool {
        self.lines
            .try_iter()
            .any(|line| line == format!("begins {payload}"))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

//! A query's deadline and delayed jobs, on a real PostgreSQL.
//!
//! `examples/systems/with-postgres.sh cargo test …` starts one. Without it the tests say so, and
//! test nothing.

use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use reveille::time::{Duration, Instant, sleep, timeout};
use reveille::{Context, ContextError};
use reveille_systems::jobs::{Job, Jobs, Run};
use reveille_systems::query_deadline::{Database, QueryError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_postgres::{Error, Transaction};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// How long a test waits before it fails.
const PATIENCE: Duration = Duration::from_secs(60);

fn url() -> Option<String> {
    let url = std::env::var("DATABASE_URL").ok();
    if url.is_none() {
        println!("not run: there is no DATABASE_URL");
    }
    url
}

/// Waits until no query that contains `marker` is running in the database.
async fn until_none_runs(url: &str, marker: &str) {
    let other = Database::connect(url).await.unwrap();
    let count = format!(
        "select count(*) from pg_stat_activity where state = 'active' \
         and query like '%{marker}%' and pid <> pg_backend_pid()"
    );
    let gone = async {
        loop {
            let rows = other.query(&Context::background(), &count).await.unwrap();
            if rows[0].get::<_, i64>(0) == 0 {
                return;
            }
            sleep(ms(5)).await;
        }
    };
    timeout(PATIENCE, gone)
        .await
        .expect("it runs on in the database");
}

#[tokio::test]
async fn a_query_ends_at_its_deadline_here_and_in_the_database() {
    let Some(url) = url() else { return };
    let database = Database::connect(&url).await.unwrap();
    let context = Context::background();
    let start = Instant::now();
    let limited = context.with_timeout(ms(50));
    let slow = database.query(&limited, "select pg_sleep(3601)").await;
    assert!(matches!(
        slow,
        Err(QueryError::Ended(ContextError::DeadlineExceeded))
    ));
    assert!(start.elapsed() >= ms(50));
    until_none_runs(&url, "pg_sleep(3601)").await;
    // The connection is good, and the next query is not the one that is cancelled.
    for number in 0..20 {
        let limited = context.with_timeout(ms(2));
        let slow = database.query(&limited, "select pg_sleep(3601)").await;
        assert!(matches!(slow, Err(QueryError::Ended(_))), "{slow:?}");
        let next = database.query(&context, &format!("select {number}")).await;
        assert_eq!(next.unwrap()[0].get::<_, i32>(0), number);
    }
}

#[tokio::test]
async fn a_query_that_is_dropped_is_cancelled_in_the_database() {
    let Some(url) = url() else { return };
    let database = Database::connect(&url).await.unwrap();
    let context = Context::background();
    let slow = database.query(&context, "select pg_sleep(3602)");
    assert!(timeout(ms(50), slow).await.is_err());
    until_none_runs(&url, "pg_sleep(3602)").await;
    let next = timeout(PATIENCE, database.query(&context, "select 7")).await;
    assert_eq!(next.unwrap().unwrap()[0].get::<_, i32>(0), 7);
}

/// Forwards connections to the database, but swallows requests to cancel: nothing answers them, and
/// their connection stays open. Returns its address.
async fn swallow_cancellations(url: &str) -> String {
    let config: tokio_postgres::Config = url.parse().unwrap();
    let port = config.get_ports()[0];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let its = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut first = [0; 8]; // the length, and the number of the protocol or the request
                near.read_exact(&mut first).await.unwrap();
                if first[4..] == 80_877_102_u32.to_be_bytes() {
                    return std::future::pending().await;
                }
                let mut far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                far.write_all(&first).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    url.replace(&format!("port={port}"), &format!("port={its}"))
}

#[tokio::test]
async fn a_query_whose_cancellation_is_lost_does_not_lock_the_database_for_ever() {
    let Some(url) = url() else { return };
    let url = swallow_cancellations(&url).await;
    let database = Database::connect(&url).await.unwrap();
    let context = Context::background();
    // One that ends meanwhile, and one that does not.
    for slow in ["select pg_sleep(0.2)", "select pg_sleep(50)"] {
        let limited = context.with_timeout(ms(50));
        let slow = database.query(&limited, slow).await;
        assert!(matches!(slow, Err(QueryError::Ended(_))), "{slow:?}");
        let next = timeout(PATIENCE / 2, database.query(&context, "select 7")).await;
        let next = next.expect("the database is locked").unwrap();
        assert_eq!(next[0].get::<_, i32>(0), 7);
    }
}

/// A request to cancel a query goes to a server that the program has to know.
#[tokio::test]
async fn an_address_with_several_hosts_or_a_socket_is_refused() {
    for url in ["host=a,b user=x", "host=/tmp user=x", "user=x"] {
        let refused = Database::connect(url).await.err();
        assert!(matches!(refused, Some(QueryError::NotOneHost)), "{url}");
    }
}

#[tokio::test]
async fn an_error_of_the_database_is_passed_on() {
    let Some(url) = url() else { return };
    let database = Database::connect(&url).await.unwrap();
    let wrong = database.query(&Context::background(), "select 1 / 0").await;
    assert!(matches!(wrong, Err(QueryError::Database(_))));
}

/// What ran: the worker, the payload, and when it was due and begun.
type Ran = Arc<Mutex<Vec<(&'static str, String, SystemTime, SystemTime)>>>;

/// A schema of its own for each test.
fn schema(test: &str) -> String {
    format!("{test}_{}", std::process::id())
}

/// How many jobs the two workers share.
const SHARED: usize = 31;

/// Notes what runs.
struct Note {
    worker: &'static str,
    ran: Ran,
}

impl Run for Note {
    async fn run(&mut self, transaction: &Transaction<'_>, job: &Job) -> Result<(), Error> {
        let note = (self.worker, job.payload.clone(), job.due, job.started);
        self.ran.lock().unwrap().push(note);
        match job.payload.as_str() {
            "long" => sleep(ms(100)).await,
            "waits for all" => until(&self.ran, SHARED).await,
            "hangs" if self.worker == "dies" => sleep(PATIENCE * 2).await,
            "fails once" if payloads(&self.ran).len() == 1 => {
                transaction.execute("select 1 / 0", &[]).await?;
            }
            "hides an error" => drop(transaction.execute("select 1 / 0", &[]).await),
            "defers an error" => {
                let twice = "create table twice (n int unique deferrable initially deferred); \
                    insert into twice values (1), (1)";
                transaction.batch_execute(twice).await?;
            }
            "panics" => panic!("a job that panics"),
            "commits" => transaction.batch_execute("commit; select 1 / 0").await?,
            _ => {}
        }
        Ok(())
    }
}

/// Starts a worker as a task.
async fn worker(
    url: &str,
    schema: &str,
    worker: &'static str,
    stop: &Context,
    ran: &Ran,
) -> JoinHandle<()> {
    let mut jobs = Jobs::connect(url, schema).await.unwrap();
    let (stop, ran) = (stop.clone(), ran.clone());
    tokio::spawn(async move {
        jobs.work(worker, &stop, Note { worker, ran })
            .await
            .unwrap()
    })
}

async fn until(ran: &Ran, count: usize) {
    let enough = async {
        while ran.lock().unwrap().len() < count {
            sleep(ms(1)).await;
        }
    };
    timeout(PATIENCE, enough).await.expect("a job was lost");
}

/// The payloads that ran, sorted. None was early.
fn payloads(ran: &Ran) -> Vec<String> {
    let ran = ran.lock().unwrap();
    let mut payloads: Vec<_> = ran.iter().map(|job| job.1.clone()).collect();
    assert!(ran.iter().all(|(_, _, due, started)| started >= due));
    payloads.sort();
    payloads
}

#[tokio::test]
async fn two_workers_run_each_job_once_and_none_early() {
    let Some(url) = url() else { return };
    let (schema, stop, ran) = (schema("share"), Context::background(), Ran::default());
    let jobs = Jobs::connect(&url, &schema).await.unwrap();
    let one = worker(&url, &schema, "one", &stop, &ran).await;
    let two = worker(&url, &schema, "two", &stop, &ran).await;
    // They wait for this one, and have to be notified of the others.
    jobs.schedule("never", ms(3_600_000)).await.unwrap();
    let mut expected = Vec::new();
    for number in 10..10 + SHARED - 1 {
        jobs.schedule(&number.to_string(), ms(30 + number as u64 * 31 % 50))
            .await
            .unwrap();
        expected.push(number.to_string());
    }
    // The worker that takes this one waits until the other one has taken all others.
    jobs.schedule("waits for all", ms(30)).await.unwrap();
    expected.push("waits for all".to_owned());
    until(&ran, expected.len()).await;
    stop.cancel();
    one.await.unwrap();
    two.await.unwrap();
    assert_eq!(payloads(&ran), expected);
    assert!(ran.lock().unwrap().iter().any(|job| job.0 == "one"));
    assert!(ran.lock().unwrap().iter().any(|job| job.0 == "two"));
}

/// An aborted task closes its connection, as a killed process does. `durable_jobs` kills one.
#[tokio::test]
async fn the_job_of_a_worker_that_dies_is_run_by_another_one() {
    let Some(url) = url() else { return };
    let (schema, stop, ran) = (schema("dies"), Context::background(), Ran::default());
    let jobs = Jobs::connect(&url, &schema).await.unwrap();
    let dies = worker(&url, &schema, "dies", &stop, &ran).await;
    let id = jobs.schedule("hangs", ms(1)).await.unwrap();
    until(&ran, 1).await;
    let lives = worker(&url, &schema, "lives", &stop, &ran).await;
    // It is running, so it can neither be cancelled nor run by another one.
    assert!(!jobs.cancel(id).await.unwrap());
    assert_eq!(ran.lock().unwrap().len(), 1);
    dies.abort();
    until(&ran, 2).await;
    stop.cancel();
    lives.await.unwrap();
    let workers: Vec<_> = ran.lock().unwrap().iter().map(|job| job.0).collect();
    assert_eq!(workers, ["dies", "lives"]);
}

#[tokio::test]
async fn a_cancelled_job_is_not_run_and_a_failed_one_is_tried_again() {
    let Some(url) = url() else { return };
    let (schema, stop, ran) = (schema("cancel"), Context::background(), Ran::default());
    let jobs = Jobs::connect(&url, &schema).await.unwrap();
    // Before there is a worker, so that it cannot come too late. It would run first.
    let cancelled = jobs.schedule("cancelled", ms(1)).await.unwrap();
    assert!(jobs.cancel(cancelled).await.unwrap());
    assert!(!jobs.cancel(cancelled).await.unwrap());
    let worker = worker(&url, &schema, "one", &stop, &ran).await;
    let done = jobs.schedule("fails once", ms(2)).await.unwrap();
    let start = Instant::now();
    until(&ran, 2).await; // the second time after a second
    assert!(start.elapsed() >= ms(1000));
    stop.cancel();
    worker.await.unwrap();
    assert!(!jobs.cancel(done).await.unwrap());
    assert_eq!(payloads(&ran), ["fails once", "fails once"]);
}

#[tokio::test]
async fn a_worker_finishes_its_job_before_it_stops() {
    let Some(url) = url() else { return };
    let (schema, stop, ran) = (schema("stop"), Context::background(), Ran::default());
    let jobs = Jobs::connect(&url, &schema).await.unwrap();
    let worker = worker(&url, &schema, "one", &stop, &ran).await;
    let long = jobs.schedule("long", ms(1)).await.unwrap();
    until(&ran, 1).await;
    stop.cancel();
    worker.await.unwrap();
    // It is done, so there is nothing to cancel, and no other worker finds it.
    assert!(!jobs.cancel(long).await.unwrap());
}

/// A job that fails at its end is put off as one that returns an error, and the worker goes on.
#[tokio::test]
async fn a_job_that_fails_at_its_end_or_panics_is_put_off_and_ends_no_worker() {
    let Some(url) = url() else { return };
    for poison in ["hides an error", "defers an error", "panics", "commits"] {
        let schema = schema("poison") + &poison.replace(' ', "_");
        let (stop, ran) = (Context::background(), Ran::default());
        let jobs = Jobs::connect(&url, &schema).await.unwrap();
        let bad = jobs.schedule(poison, ms(0)).await.unwrap();
        jobs.schedule("good", ms(0)).await.unwrap();
        let worker = worker(&url, &schema, "one", &stop, &ran).await;
        until(&ran, 2).await; // in this order, also if the first is due again by then
        stop.cancel();
        worker.await.expect(poison);
        assert!(payloads(&ran).contains(&"good".to_owned()), "{poison}");
        let other = Database::connect(&url).await.unwrap();
        let attempts = format!("select attempts from \"{schema}\".jobs where id = {bad}");
        let rows = other.query(&Context::background(), &attempts).await;
        assert!(rows.unwrap()[0].get::<_, i32>(0) >= 1, "{poison}");
        assert!(jobs.cancel(bad).await.unwrap(), "{poison} is done");
    }
}

/// A trigger makes it slow to put the job off, so that the other worker looks meanwhile.
#[tokio::test]
async fn no_other_worker_takes_a_failed_job_before_it_is_put_off() {
    let Some(url) = url() else { return };
    let (schema, stop, ran) = (schema("gap"), Context::background(), Ran::default());
    let jobs = Jobs::connect(&url, &schema).await.unwrap();
    let other = Database::connect(&url).await.unwrap();
    for sql in [
        format!(
            "create function {schema}.slow() returns trigger language plpgsql \
             as 'begin perform pg_sleep(0.5); return null; end'"
        ),
        format!(
            "create trigger slow before update of attempts on {schema}.jobs \
             for each statement execute function {schema}.slow()"
        ),
    ] {
        other.query(&Context::background(), &sql).await.unwrap();
    }
    jobs.schedule("fails once", ms(0)).await.unwrap();
    let one = worker(&url, &schema, "one", &stop, &ran).await;
    let two = worker(&url, &schema, "two", &stop, &ran).await;
    until(&ran, 2).await;
    stop.cancel();
    one.await.unwrap();
    two.await.unwrap();
    let started: Vec<_> = ran.lock().unwrap().iter().map(|job| job.3).collect();
    assert!(started[1].duration_since(started[0]).unwrap() >= ms(1000));
}

/// The name of the schema is no SQL, and the worker recognises the notifications of it.
#[tokio::test]
async fn a_schema_with_any_name_is_notified_of_its_jobs() {
    let Some(url) = url() else { return };
    let names = [
        schema("Mixed"),
        schema(&"long".repeat(20)),
        schema("a\"; create schema injected; --"),
    ];
    for schema in names {
        let (stop, ran) = (Context::background(), Ran::default());
        let jobs = Jobs::connect(&url, &schema).await.unwrap();
        jobs.schedule("never", ms(3_600_000)).await.unwrap();
        let worker = worker(&url, &schema, "one", &stop, &ran).await;
        sleep(ms(50)).await; // it has looked most probably, and waits
        jobs.schedule("now", ms(0)).await.unwrap();
        let soon = timeout(PATIENCE / 2, until(&ran, 1)).await;
        assert!(soon.is_ok(), "the worker of {schema} was not notified");
        stop.cancel();
        worker.await.unwrap();
    }
    let other = Database::connect(&url).await.unwrap();
    let injected = "select from pg_namespace where nspname = 'injected'";
    let rows = other.query(&Context::background(), injected).await;
    assert!(rows.unwrap().is_empty());
}

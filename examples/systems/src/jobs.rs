//! Delayed jobs in PostgreSQL: they outlive every process, and each runs at its time.
//!
//! The table is the truth. A timer in each worker only says when to look at it next: when the next
//! job is due, not every second. The database notifies the workers of a job that is added
//! (`NOTIFY`), and they look at once.
//!
//! A worker takes a job by locking its row (`FOR UPDATE SKIP LOCKED`: rows that another worker has
//! locked are left out), and runs it in the same transaction. If the worker dies, its connection is
//! closed, the transaction is rolled back, and the row is free for another worker.

use std::sync::Arc;
use std::time::SystemTime;

use futures_util::future::poll_fn;
use reveille::Context;
use reveille::time::{Duration, Instant, timeout_at};
use tokio::sync::Notify;
use tokio_postgres::{AsyncMessage, Client, Error, NoTls, Statement, Transaction};

/// When to look again after a job that another worker runs. No notification comes if it dies.
const RECHECK: Duration = Duration::from_millis(200);

/// The table of jobs, over one connection.
pub struct Jobs {
    client: Client,
    changed: Arc<Notify>,
    take: Statement,
    next: Statement,
}

/// Takes the job that is due first.
const TAKE: &str = "select id, payload, due, clock_timestamp() from jobs \
    where done is null and due <= now() order by due limit 1 for update skip locked";

/// In how many seconds the next job is due, and whether one is that another worker runs.
const NEXT: &str = "select extract(epoch from \
        (select due from jobs where done is null and due > now() order by due limit 1) \
        - clock_timestamp())::float8, \
    exists (select from jobs where done is null and due <= now())";

/// A job that is due.
#[derive(Debug)]
pub struct Job {
    /// Its number.
    pub id: i64,
    /// What is to be done.
    pub payload: String,
    /// When it was due, on the database's clock.
    pub due: SystemTime,
    /// When it was taken, on the same clock.
    pub started: SystemTime,
}

/// What is to be done for a job.
pub trait Run: Send {
    /// Does it. The job is done if this returns `Ok` and the transaction is committed.
    fn run(
        &mut self,
        transaction: &Transaction<'_>,
        job: &Job,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// What a worker finds when it looks.
enum Next {
    /// A job was done, or has failed and was put off.
    Ran,
    /// There is nothing to do before this instant. `None` if there is no job at all.
    Wait(Option<Instant>),
}

impl Jobs {
    /// Connects, and makes the table in `schema` unless it is there.
    ///
    /// # Errors
    ///
    /// If the database refuses.
    pub async fn connect(url: &str, schema: &str) -> Result<Self, Error> {
        let (client, mut connection) = tokio_postgres::connect(url, NoTls).await?;
        let changed = Arc::new(Notify::new());
        let (notify, its_schema) = (changed.clone(), schema.to_owned());
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                if matches!(message, AsyncMessage::Notification(n) if n.payload() == its_schema) {
                    notify.notify_one();
                }
            }
            // The connection has ended: the worker finds that out if it looks.
            notify.notify_one();
        });
        // One after the other, because two workers that make the same table at once collide.
        let made = include_str!("jobs.sql");
        client
            .batch_execute(&format!(
                "begin; select pg_advisory_xact_lock(4711); \
                 create schema if not exists {schema}; set search_path to {schema}; {made} commit; \
                 listen jobs;"
            ))
            .await?;
        // Prepared once: each use takes one round trip instead of two.
        let take = client.prepare(TAKE).await?;
        let next = client.prepare(NEXT).await?;
        Ok(Self {
            client,
            changed,
            take,
            next,
        })
    }

    /// Adds a job that is due when `delay` has passed. Returns its number.
    ///
    /// # Errors
    ///
    /// If the database refuses.
    pub async fn schedule(&self, payload: &str, delay: Duration) -> Result<i64, Error> {
        let insert = "insert into jobs (payload, due) \
            values ($1, clock_timestamp() + make_interval(secs => $2)) returning id";
        let row = self
            .client
            .query_one(insert, &[&payload, &delay.as_secs_f64()])
            .await?;
        Ok(row.get(0))
    }

    /// Cancels a job. Returns false if it is done, runs just now, or was cancelled.
    ///
    /// # Errors
    ///
    /// If the database refuses.
    pub async fn cancel(&self, id: i64) -> Result<bool, Error> {
        let delete = "delete from jobs where id = \
            (select id from jobs where id = $1 and done is null for update skip locked)";
        Ok(self.client.execute(delete, &[&id]).await? == 1)
    }

    /// Runs jobs when they are due, until `stop` ends. A job that has begun is finished.
    ///
    /// What `run` does in the transaction happens exactly once. What it does elsewhere happens at
    /// least once: the worker may die between that and the commit. If it returns an error, the job
    /// is tried again after 1 s, then 2 s, 4 s and so on.
    ///
    /// # Errors
    ///
    /// If the connection to the database breaks.
    pub async fn work(
        &mut self,
        worker: &str,
        stop: &Context,
        mut run: impl Run,
    ) -> Result<(), Error> {
        while !stop.is_done() {
            let Next::Wait(until) = self.look(worker, &mut run).await? else {
                continue;
            };
            // A change since this worker has looked is noted, and ends the wait at once.
            let changed = self.changed.notified();
            let wait = async {
                match until {
                    Some(until) => drop(timeout_at(until, changed).await),
                    None => changed.await,
                }
            };
            let _ = stop.run(wait).await;
        }
        Ok(())
    }

    /// Takes a job that is due, and runs it. If there is none, returns until when to wait.
    async fn look(&mut self, worker: &str, run: &mut impl Run) -> Result<Next, Error> {
        let transaction = self.client.transaction().await?;
        let Some(row) = transaction.query_opt(&self.take, &[]).await? else {
            return next_due(&transaction, &self.next).await;
        };
        let job = Job {
            id: row.get(0),
            payload: row.get(1),
            due: row.get(2),
            started: row.get(3),
        };
        if run.run(&transaction, &job).await.is_ok() {
            let done = "update jobs set done = clock_timestamp(), attempts = attempts + 1, \
                started = $2, worker = $3 where id = $1";
            transaction
                .execute(done, &[&job.id, &job.started, &worker])
                .await?;
            transaction.commit().await?;
        } else {
            transaction.rollback().await?;
            // At most an hour. Another worker may have it by now, and have failed, too.
            let put_off = "update jobs set attempts = attempts + 1, due = clock_timestamp() \
                + make_interval(secs => least(2.0 ^ least(attempts, 12), 3600)) \
                where id = $1 and done is null";
            self.client.execute(put_off, &[&job.id]).await?;
        }
        Ok(Next::Ran)
    }
}

/// Returns when the next job is due, on this process's clock.
async fn next_due(transaction: &Transaction<'_>, next: &Statement) -> Result<Next, Error> {
    // Read before the database's clock is, so that the result is too early by the time of an answer
    // at most, and never late. If the job is not due then, the worker looks again.
    let now = Instant::now();
    let row = transaction.query_one(next, &[]).await?;
    let (seconds, another_runs): (Option<f64>, bool) = (row.get(0), row.get(1));
    let due = seconds.map(|seconds| now + Duration::from_secs_f64(seconds.clamp(0.0, 1e9)));
    let recheck = another_runs.then(|| now + RECHECK);
    Ok(Next::Wait(due.into_iter().chain(recheck).min()))
}

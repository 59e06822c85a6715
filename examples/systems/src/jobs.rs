//! Delayed jobs in PostgreSQL: they outlive every process, and each runs at its time.
//!
//! The table is the truth. A timer in each worker only says when to look at it next: when the next
//! job is due, not every second. The database notifies the workers of a job that is added
//! (`NOTIFY`), and they look at once.
//!
//! A worker takes a job by locking its row (`FOR UPDATE SKIP LOCKED`: rows that another worker has
//! locked are left out), and runs it in the same transaction. If the worker dies, its connection is
//! closed, the transaction is rolled back, and the row is free for another worker. If the job fails,
//! what it did is rolled back to a savepoint, and the same transaction puts it off.

use std::error;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use futures_util::FutureExt;
use futures_util::future::poll_fn;
use reveille::Context;
use reveille::time::{Duration, Instant, timeout, timeout_at};
use tokio::sync::Notify;
use tokio_postgres::{AsyncMessage, Client, Error, NoTls, Row, Statement, Transaction};

/// When to look again after a job that another worker runs. No notification comes if it dies.
const RECHECK: Duration = Duration::from_millis(200);

/// How long a worker waits at most before it looks again: the database's clock may be set forward
/// or run faster, and a connection that is dead shows it only when it is used.
const WAIT: Duration = Duration::from_secs(60);

/// How long the database may take to say which job is next.
const ANSWER: Duration = Duration::from_secs(60);

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

/// Notes that a job has worked.
const DONE: &str = "update jobs set done = clock_timestamp(), attempts = attempts + 1, \
    started = $2, worker = $3 where id = $1";

/// Puts a job off that has failed, by an hour at most.
const PUT_OFF: &str = "update jobs set attempts = attempts + 1, due = clock_timestamp() \
    + make_interval(secs => least(2.0 ^ least(attempts, 12), 3600)) \
    where id = $1 and done is null";

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
    /// Does it. The job is done if this returns `Ok` and the transaction is committed. It has
    /// failed if this returns an error or panics, if a statement in the transaction has failed even
    /// if this returns `Ok`, and if a deferred constraint does not hold at its end.
    ///
    /// This must not end the transaction by SQL (`commit`, `rollback`).
    fn run(
        &mut self,
        transaction: &Transaction<'_>,
        job: &Job,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Why a worker has ended.
#[derive(Debug)]
pub enum WorkError {
    /// The connection to the database has broken, or the database has refused to look for a job.
    Database(Error),
    /// The database has not answered for a minute.
    NoAnswer,
}

/// What a worker finds when it looks.
enum Next<'a> {
    /// A job that is due, and the transaction in which it is locked.
    Due(Transaction<'a>, Job),
    /// There is nothing to do before this instant.
    Wait(Instant),
}

impl Jobs {
    /// Connects, and makes the table in `schema` unless it is there. The name is taken as it is, in
    /// upper and lower case; PostgreSQL cuts it off after 63 bytes.
    ///
    /// # Errors
    ///
    /// If the database refuses.
    pub async fn connect(url: &str, schema: &str) -> Result<Self, Error> {
        let (client, mut connection) = tokio_postgres::connect(url, NoTls).await?;
        let changed = Arc::new(Notify::new());
        // As the database spells it, which is known after the connection is in use.
        let spelled = Arc::new(OnceLock::<String>::new());
        let (notify, its_schema) = (changed.clone(), spelled.clone());
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notification(n) = message
                    && its_schema.get().is_none_or(|its| n.payload() == its)
                {
                    notify.notify_one();
                }
            }
            // The connection has ended: the worker finds that out if it looks.
            notify.notify_one();
        });
        // Quoted, so that no name is taken for SQL.
        let quoted = format!("\"{}\"", schema.replace('"', "\"\""));
        // One after the other, because two workers that make the same table at once collide.
        let made = include_str!("jobs.sql");
        client
            .batch_execute(&format!(
                "begin; select pg_advisory_xact_lock(4711); \
                 create schema if not exists {quoted}; set search_path to {quoted}; {made} commit; \
                 listen jobs;"
            ))
            .await?;
        let row = client
            .query_one("select current_schema()::text", &[])
            .await?;
        spelled.get_or_init(|| row.get(0));
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
    /// least once: the worker may die between that and the commit. If the job fails (see
    /// [`Run::run`]), it is tried again after 1 s, then 2 s, 4 s and so on, at most an hour. A job
    /// that breaks the connection cannot be put off: the next worker tries it at once.
    ///
    /// # Errors
    ///
    /// If the connection to the database breaks, or the database does not say for a minute which
    /// job is next. A job has no such limit.
    pub async fn work(
        &mut self,
        worker: &str,
        stop: &Context,
        mut run: impl Run,
    ) -> Result<(), WorkError> {
        while !stop.is_done() {
            let (until, broken) = {
                let look = look(&mut self.client, &self.take, &self.next);
                let next = timeout(ANSWER, look).await;
                match next.map_err(|_| WorkError::NoAnswer)?? {
                    Next::Wait(until) => (Some(until), None),
                    Next::Due(transaction, job) => {
                        let ended = attempt(transaction, &job, worker, &mut run).await;
                        (None, ended.err().map(|_| job.id))
                    }
                }
            };
            if let Some(id) = broken {
                // Its transaction could not be ended as it should. If that is because the
                // connection has broken, this fails, too.
                self.client.execute(PUT_OFF, &[&id]).await?;
            }
            let Some(until) = until else { continue };
            // A change since this worker has looked is noted, and ends the wait at once.
            let wait = timeout_at(until, self.changed.notified());
            let _ = stop.run(wait).await;
        }
        Ok(())
    }
}

/// Takes a job that is due. If there is none, returns until when to wait.
async fn look<'a>(
    client: &'a mut Client,
    take: &Statement,
    next: &Statement,
) -> Result<Next<'a>, Error> {
    let transaction = client.transaction().await?;
    let Some(row) = transaction.query_opt(take, &[]).await? else {
        // Read before the database's clock is, so that the result is too early by the time of an
        // answer at most, and never late. If the job is not due then, the worker looks again.
        let now = Instant::now();
        let row = transaction.query_one(next, &[]).await?;
        return Ok(Next::Wait(next_look(now, &row)));
    };
    let job = Job {
        id: row.get(0),
        payload: row.get(1),
        due: row.get(2),
        started: row.get(3),
    };
    Ok(Next::Due(transaction, job))
}

/// Returns when to look again, on this process's clock.
fn next_look(now: Instant, row: &Row) -> Instant {
    let (seconds, another_runs): (Option<f64>, bool) = (row.get(0), row.get(1));
    let due = seconds.map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, 1e9)));
    let recheck = another_runs.then_some(RECHECK);
    now + due.into_iter().chain(recheck).fold(WAIT, Duration::min)
}

/// Runs a job. If it fails, puts it off in the transaction that has locked it: no other worker can
/// take it in between.
async fn attempt(
    mut transaction: Transaction<'_>,
    job: &Job,
    worker: &str,
    run: &mut impl Run,
) -> Result<(), Error> {
    let savepoint = transaction.transaction().await?;
    let ran = AssertUnwindSafe(run.run(&savepoint, job)).catch_unwind();
    let worked = match ran.await {
        Ok(Ok(())) => finish(&savepoint, job, worker).await.is_ok(),
        // The panic hook has reported a panic.
        Ok(Err(_)) | Err(_) => false,
    };
    if worked {
        savepoint.commit().await?;
    } else {
        savepoint.rollback().await?;
        transaction.execute(PUT_OFF, &[&job.id]).await?;
    }
    transaction.commit().await
}

/// Notes that a job has worked. Fails if a statement in its transaction has failed.
async fn finish(savepoint: &Transaction<'_>, job: &Job, worker: &str) -> Result<(), Error> {
    savepoint
        .execute(DONE, &[&job.id, &job.started, &worker])
        .await?;
    // Checks deferred constraints here, where the savepoint is still there, and not at the commit.
    savepoint
        .batch_execute("set constraints all immediate")
        .await
}

impl From<Error> for WorkError {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

impl fmt::Display for WorkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(_) => f.write_str("the database has failed"),
            Self::NoAnswer => f.write_str("the database does not answer"),
        }
    }
}

impl error::Error for WorkError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Database(error) => Some(error),
            Self::NoAnswer => None,
        }
    }
}

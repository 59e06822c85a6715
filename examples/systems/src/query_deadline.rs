//! A database query with a deadline, which is cancelled in the database, too.
//!
//! To stop waiting for a query is not enough: the server computes on, and the connection cannot be
//! used until it has ended. PostgreSQL cancels a query when it is asked to, over a second
//! connection. If even that does not work, the connection is given up, and the next query makes
//! another one.

use std::error::Error;
use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;

use reveille::time::{Duration, timeout};
use reveille::{Context, ContextError};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::select;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_postgres::config::{Config, Host};
use tokio_postgres::error::SqlState;
use tokio_postgres::{CancelToken, Client, NoTls, Row};

/// After which time the server is asked once more to cancel a query.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// How long it may take to cancel a query, before its connection is given up.
const GIVE_UP: Duration = Duration::from_secs(5);

/// A connection to a database.
#[derive(Clone)]
pub struct Database {
    connection: Arc<Mutex<Connection>>,
    config: Arc<Config>,
    /// Where to cancel.
    address: (String, u16),
}

/// What a query uses alone.
struct Connection {
    client: Client,
    /// The task that reads and writes.
    task: JoinHandle<Result<(), tokio_postgres::Error>>,
}

/// What the database answers to a query.
type Answer = Result<Vec<Row>, tokio_postgres::Error>;

/// Why there is no result.
#[derive(Debug)]
pub enum QueryError {
    /// The context has ended, and the query was cancelled.
    Ended(ContextError),
    /// The database has refused it, or cannot be reached.
    Database(tokio_postgres::Error),
    /// The address is not one host, over TCP: a request to cancel a query could reach another
    /// server than the one that runs it.
    NotOneHost,
}

impl Database {
    /// Connects, over TCP, to one host.
    ///
    /// # Errors
    ///
    /// If there is no such database, or the address has several hosts or a Unix socket.
    pub async fn connect(url: &str) -> Result<Self, QueryError> {
        let config: Config = url.parse().map_err(QueryError::Database)?;
        let host = match (config.get_hosts(), config.get_hostaddrs()) {
            // The address decides where it connects, if there are both.
            ([_] | [], [address]) => address.to_string(),
            ([Host::Tcp(host)], []) => host.clone(),
            _ => return Err(QueryError::NotOneHost),
        };
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let connection = open(&config).await.map_err(QueryError::Database)?;
        Ok(Self {
            connection: Arc::new(Mutex::new(connection)),
            config: Arc::new(config),
            address: (host, port),
        })
    }

    /// Runs a query until `context` ends. It is cancelled in the database then, and also if this
    /// future is dropped.
    ///
    /// It returns when the context ends. Another query waits until the database has confirmed the
    /// end of this one. If it does not within 5 s, the connection is closed, and the next query
    /// makes a new one: the server ends the query of the old one when it notices that.
    ///
    /// # Errors
    ///
    /// If the context ends first, or the database refuses the query.
    pub async fn query(&self, context: &Context, query: &str) -> Result<Vec<Row>, QueryError> {
        // Ends when this future does.
        let context = context.child();
        let _end = context.clone().drop_guard();
        let connection = self.connection.clone().lock_owned();
        let connection = context.run(connection).await;
        let mut connection = connection.map_err(QueryError::Ended)?;
        if connection.client.is_closed() {
            let opened = context.run(open(&self.config)).await;
            let opened = opened.map_err(QueryError::Ended)?;
            *connection = opened.map_err(QueryError::Database)?;
        }
        let (query, its) = (query.to_owned(), context.clone());
        let address = self.address.clone();
        // A task, since it may have to go on after this future: the client stays locked until the
        // query has ended in the database.
        let task = tokio::spawn(async move {
            let Connection { client, task } = &mut *connection;
            let mut answer = pin!(client.query(&query, &[]));
            select! {
                rows = &mut answer => return rows,
                _ = its.done() => {}
            }
            end(client, task, &address, answer).await
        });
        let rows = match context.run(task).await {
            Ok(joined) => joined.expect("the task does not panic, and nobody aborts it"),
            Err(ended) => return Err(QueryError::Ended(ended)),
        };
        rows.map_err(|error| match context.err() {
            // Both may be known before this future is polled.
            Some(ended) if error.code() == Some(&SqlState::QUERY_CANCELED) => {
                QueryError::Ended(ended)
            }
            _ => QueryError::Database(error),
        })
    }
}

/// Connects.
async fn open(config: &Config) -> Result<Connection, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    let task = tokio::spawn(connection);
    Ok(Connection { client, task })
}

/// Cancels a query, and returns what is its answer then. If this takes too long, closes the
/// connection.
async fn end(
    client: &Client,
    task: &mut JoinHandle<Result<(), tokio_postgres::Error>>,
    address: &(String, u16),
    mut answer: Pin<&mut impl Future<Output = Answer>>,
) -> Answer {
    let mut rows = None;
    let both = async {
        while rows.is_none() {
            let mut asked = pin!(cancel(address, client.cancel_token()));
            // The answer may come while the server does not say that it was asked.
            loop {
                select! {
                    answered = &mut answer, if rows.is_none() => rows = Some(answered),
                    _ = &mut asked => break,
                }
            }
            if rows.is_none() {
                rows = timeout(ASK_AGAIN, &mut answer).await.ok();
            }
        }
    };
    // The client stays locked until the server has done both, so a cancellation that comes late
    // finds no query, and not the next one. If one may still be on its way, the connection is
    // given up for the same reason.
    if timeout(GIVE_UP, both).await.is_err() {
        task.abort();
        // The next query must find it closed.
        let _ = task.await;
    }
    match rows {
        Some(rows) => rows,
        None => answer.await, // an error, or what came just before the connection was closed
    }
}

/// Asks the server to cancel what runs on a connection, and waits until it has.
///
/// The server closes the connection over which it is asked when it has signalled the other one. As
/// libpq does, this waits for that; [`CancelToken::cancel_query`] does not.
async fn cancel(
    address: &(String, u16),
    token: CancelToken,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut stream = TcpStream::connect((address.0.as_str(), address.1)).await?;
    token.cancel_query_raw(&mut stream, NoTls).await?;
    stream.read_to_end(&mut Vec::new()).await?;
    Ok(())
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(_) => f.write_str("the query was cancelled"),
            Self::Database(_) => f.write_str("the database has refused the query"),
            Self::NotOneHost => f.write_str("the address is not one host, over TCP"),
        }
    }
}

impl Error for QueryError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Ended(ended) => Some(ended),
            Self::Database(error) => Some(error),
            Self::NotOneHost => None,
        }
    }
}

//! A database query with a deadline, which is cancelled in the database, too.
//!
//! To stop waiting for a query is not enough: the server computes on, and the connection cannot be
//! used until it has ended. PostgreSQL cancels a query when it is asked to, over a second
//! connection.

use std::error::Error;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;

use reveille::time::{Duration, timeout};
use reveille::{Context, ContextError};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::select;
use tokio::sync::Mutex;
use tokio_postgres::config::{Config, Host};
use tokio_postgres::error::SqlState;
use tokio_postgres::{CancelToken, Client, NoTls, Row};

/// After which time the server is asked once more to cancel a query.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// A connection to a database.
#[derive(Clone)]
pub struct Database {
    client: Arc<Mutex<Client>>,
    /// Where to cancel.
    address: (String, u16),
}

/// Why there is no result.
#[derive(Debug)]
pub enum QueryError {
    /// The context has ended, and the query was cancelled.
    Ended(ContextError),
    /// The database has refused it.
    Database(tokio_postgres::Error),
}

impl Database {
    /// Connects, over TCP.
    ///
    /// # Errors
    ///
    /// If there is no such database.
    pub async fn connect(url: &str) -> Result<Self, tokio_postgres::Error> {
        let config: Config = url.parse()?;
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            _ => "localhost".to_owned(),
        };
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(Self {
            client: Arc::new(Mutex::new(client)),
            address: (host, port),
        })
    }

    /// Runs a query until `context` ends. It is cancelled in the database then, and also if this
    /// future is dropped.
    ///
    /// It returns when the context ends. Another query waits until the database has confirmed the
    /// end of this one.
    ///
    /// # Errors
    ///
    /// If the context ends first, or the database refuses the query.
    pub async fn query(&self, context: &Context, query: &str) -> Result<Vec<Row>, QueryError> {
        // Ends when this future does.
        let context = context.child();
        let _end = context.clone().drop_guard();
        let client = self.client.clone().lock_owned();
        let client = context.run(client).await.map_err(QueryError::Ended)?;
        let (query, its) = (query.to_owned(), context.clone());
        let address = self.address.clone();
        // A task, since it may have to go on after this future: the client stays locked until the
        // query has ended in the database.
        let task = tokio::spawn(async move {
            let mut answer = pin!(client.query(&query, &[]));
            select! {
                rows = &mut answer => return rows,
                _ = its.done() => {}
            }
            loop {
                // The client stays locked until the server has done both, so a cancellation that
                // comes late finds no query, and not the next one.
                let _ = cancel(&address, client.cancel_token()).await;
                if let Ok(rows) = timeout(ASK_AGAIN, &mut answer).await {
                    return rows;
                }
            }
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
        }
    }
}

impl Error for QueryError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Ended(ended) => Some(ended),
            Self::Database(error) => Some(error),
        }
    }
}

//! The first transaction of a connection. diesel-async sends statements as soon as it has a connection, and ours follow; behind a pooler
//! all of them must reach the server on which they were prepared: so a transaction is open before the first.

use diesel::ConnectionError;
use diesel::result::{ConnectionResult, DatabaseErrorKind, Error as Driver};
use diesel_async::AsyncPgConnection;
use tokio_postgres::tls::TlsStream;
use tokio_postgres::{Client, Connection, NoTls, Socket};

/// Connects, and leaves the transaction that `begin` opens to the caller.
pub(super) async fn connect(url: &str, begin: &str) -> ConnectionResult<AsyncPgConnection> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.map_err(|error| failed(&error))?;
    in_transaction(client, connection, begin).await
}

/// Hands a new connection to diesel-async inside of the transaction that `begin` opens.
async fn in_transaction<S: TlsStream + Unpin + Send + 'static>(
    client: Client,
    mut connection: Connection<Socket, S>,
    begin: &str,
) -> ConnectionResult<AsyncPgConnection> {
    let begun = tokio::select! {
        begun = client.batch_execute(begin) => begun,
        // Nothing is answered on a connection that has ended.
        ended = &mut connection => ended,
    };
    begun.map_err(|error| failed(&error))?;
    AsyncPgConnection::try_from_client_and_connection(client, connection).await
}

/// The error as diesel-async would give it.
fn failed(error: &tokio_postgres::Error) -> ConnectionError {
    let (kind, message) = match error.as_db_error() {
        Some(said) => (DatabaseErrorKind::Unknown, said.message().to_owned()),
        None => (DatabaseErrorKind::UnableToSendCommand, error.to_string()),
    };
    ConnectionError::CouldntSetupConfiguration(Driver::DatabaseError(kind, Box::new(message)))
}

//! One host of the database: a connection to one of its addresses, and what its server says of itself.

use std::net::IpAddr;
use std::time::Duration;

use diesel_async::AsyncPgConnection;
use tokio::time::timeout;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::TlsStream;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::link::trust::{self, Check, Encrypted};
use crate::store::address::{Address, Mode};
use crate::time::duration;

/// How many addresses of one name are tried.
const ADDRESSES_MAX: usize = 4;

/// What a server says of itself.
pub(super) struct Known {
    /// Tells one start of one server from every other.
    pub(super) server: String,
    /// The time limit of a statement; zero if there is none.
    pub(super) statement_timeout: Duration,
}

pub(super) struct Reached {
    pub(super) inner: AsyncPgConnection,
    pub(super) known: Known,
    /// Its address; none for a socket of this machine.
    pub(super) ip: Option<IpAddr>,
    pub(super) check: Option<Check>,
}

/// A connection, what its server says of itself, and how far its certificate was checked.
type Opened = (AsyncPgConnection, Known, Option<Check>);

/// What a server answers to a look at it.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store) enum Look {
    /// It is alive; its identity, if it let us ask for it.
    Alive(Option<String>),
    /// It does not answer.
    Silent,
}

/// Begins the transaction of a look, which ends with its connection.
const LOOK: &str = "BEGIN";

/// Where a connection leads.
pub(in crate::store) struct Origin {
    pub(in crate::store) url: String,
    /// The number of the host.
    pub(in crate::store) host: usize,
    /// One of its addresses, behind each of which may be another server.
    pub(in crate::store) ip: Option<IpAddr>,
}

/// Asks, over a connection of its own, whether the server is alive.
pub(in crate::store) async fn look(at: &Origin, limit: Duration) -> Look {
    let address = Address::read(&at.url).map(Address::without_options);
    let config = address.and_then(|address| Ok((address.of_host(at.host)?, address)));
    let Ok((mut config, address)) = config else { return Look::Alive(None) };
    at.ip.map(|ip| config.hostaddr(ip));
    match timeout(limit, open(&address, &config, LOOK)).await {
        Ok(Ok((_, known, _))) => Look::Alive(Some(known.server)),
        // It has refused us, and so it lives: it has too many connections, or does not know us any longer.
        Ok(Err(Problem { is_answer: true, .. })) => Look::Alive(None),
        Ok(Err(_)) | Err(_) => Look::Silent,
    }
}

/// Why there is no connection to a host.
pub(super) struct Problem {
    text: String,
    /// Whether the server itself has said it.
    is_answer: bool,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.text)
    }
}

impl Problem {
    fn of_ours(text: String) -> Self {
        Self { text, is_answer: false }
    }
}

/// Connects to one host; each of its addresses gets its share.
pub(super) async fn reach(address: &Address, number: usize, share: Duration, begin: &str) -> Result<Reached, Problem> {
    let config = address.of_host(number).map_err(Problem::of_ours)?;
    let found = addresses(address, number).await.map_err(Problem::of_ours)?;
    let tried = &found[..found.len().min(ADDRESSES_MAX)];
    let each = share / u32::try_from(tried.len().max(1)).unwrap_or(1);
    let mut last = Problem::of_ours("the name has no address".into());
    for one in tried {
        let mut config = config.clone();
        one.map(|ip| config.hostaddr(ip));
        match timeout(each, open(address, &config, begin)).await {
            Ok(Ok((inner, known, check))) => return Ok(Reached { inner, known, ip: *one, check }),
            Ok(Err(problem)) => last = problem,
            Err(_) => last = Problem::of_ours(format!("no answer within {}", duration::format(each))),
        }
    }
    Err(last)
}

/// The addresses of a host; none for a socket of this machine.
async fn addresses(address: &Address, number: usize) -> Result<Vec<Option<IpAddr>>, String> {
    if let Some(given) = address.given_address(number) {
        return Ok(vec![Some(given)]);
    }
    let Some(Host::Tcp(name)) = address.host(number) else { return Ok(vec![None]) };
    let found = tokio::net::lookup_host((name.as_str(), address.port(number))).await;
    let found = found.map_err(|error| format!("the name is not known: {error}"))?;
    Ok(found.map(|socket| Some(socket.ip())).collect())
}

/// Connects as `sslmode` says.
async fn open(address: &Address, config: &Config, begin: &str) -> Result<Opened, Problem> {
    if config.get_ssl_mode() == SslMode::Disable {
        return plain(config, begin).await;
    }
    let encrypted = Encrypted::default();
    let tls = address.trust.client_config(&encrypted).map_err(Problem::of_ours)?;
    let error = match config.connect(MakeRustlsConnect::new(tls)).await {
        Ok((client, connection)) => {
            let check = encrypted.is_noted().then_some(address.trust.check);
            return introduced(client, connection, check, begin).await;
        }
        Err(error) => error,
    };
    // As in libpq, `prefer` is content without encryption where that is what works.
    let is_about_tls = trust::explain(&error, "database").is_some();
    let is_refused = error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION);
    if address.mode == Mode::Prefer && (is_about_tls || is_refused) {
        return plain(config.clone().ssl_mode(SslMode::Disable), begin).await;
    }
    Err(explain(&error))
}

async fn plain(config: &Config, begin: &str) -> Result<Opened, Problem> {
    let (client, connection) = config.connect(NoTls).await.map_err(|error| explain(&error))?;
    introduced(client, connection, None, begin).await
}

/// A connection, once the server has said who it is. Without prepared statements, which a pooler may not have.
async fn introduced<S>(
    client: Client,
    mut connection: tokio_postgres::Connection<Socket, S>,
    check: Option<Check>,
    begin: &str,
) -> Result<Opened, Problem>
where
    S: TlsStream + Unpin + Send + 'static,
{
    const WHO: &str = "SELECT extract(epoch FROM pg_postmaster_start_time()) AS server,
        (extract(epoch FROM current_setting('statement_timeout')::interval) * 1000)::bigint AS statement_timeout";
    let who = format!("{begin}; {WHO}");
    let said = tokio::select! {
        said = client.simple_query(&who) => said.map_err(|error| explain(&error))?,
        ended = &mut connection => {
            return Err(ended.map_or_else(|error| explain(&error), |()| Problem::of_ours("it closed the connection".into())));
        }
    };
    let row = said.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let text = |name: &str| row.and_then(|row| row.get(name)).unwrap_or_default();
    let statement_timeout = Duration::from_millis(text("statement_timeout").parse().unwrap_or(0));
    let known = Known { server: text("server").to_owned(), statement_timeout };
    let inner = AsyncPgConnection::try_from_client_and_connection(client, connection).await;
    let inner = inner.map_err(|error| Problem::of_ours(error.to_string()))?;
    Ok((inner, known, check))
}

/// The sentence about a failed connection, with the next step where it is known.
fn explain(error: &tokio_postgres::Error) -> Problem {
    if let Some(text) = trust::explain(error, "database") {
        return Problem::of_ours(text);
    }
    let Some(said) = error.as_db_error() else {
        let why = std::error::Error::source(error).map(|why| format!(": {why}")).unwrap_or_default();
        return Problem::of_ours(format!("{error}{why}{}", hint(&why)));
    };
    let text = format!("{}: {}{}", said.severity(), said.message(), hint(said.message()));
    Problem { text, is_answer: true }
}

/// What to do about a failed connection, by the words of PostgreSQL or of the client library.
fn hint(words: &str) -> &'static str {
    const HINTS: [(&str, &str); 5] = [
        ("no encryption", ". It may accept encrypted connections only: set sslmode=verify-full, or at least require"),
        ("valid client certificate", ". Set `database.cert_file` and `database.key_file`"),
        (
            "certificate authentication failed",
            ". The common name of the client certificate must be the name of the user",
        ),
        (
            "does not support TLS",
            ". Switch `ssl` on in its postgresql.conf, or set sslmode=disable on a trusted network",
        ),
        ("does not allow writes", ": it is a standby, or read-only for this user"),
    ];
    HINTS.iter().find(|(known, _)| words.contains(known)).map_or("", |(_, hint)| hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_refusals_have_a_next_step() {
        assert!(hint("no pg_hba.conf entry for host \"::1\", no encryption").contains("sslmode=verify-full"));
        assert!(hint("connection requires a valid client certificate").contains("database.cert_file"));
        assert_eq!(hint("password authentication failed"), "");
    }
}

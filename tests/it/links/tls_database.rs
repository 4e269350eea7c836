//! TLS to PostgreSQL, and its password from a file.

use diesel::sql_types::{Bool, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection};
use leveret::config::Database;
use leveret::store::{Connection, Store};

use super::certificates::{Authority, Certified, Valid};
use super::{Twin, finding};
use crate::support::CommandLine;

/// Who may connect how: `twin` by password over TLS, `certified` by certificate, `open` without TLS.
const ACCESS: &str = "
hostssl all twin 127.0.0.1/32 scram-sha-256
hostssl all certified 127.0.0.1/32 cert
host all leveret 127.0.0.1/32 password
hostnossl all open 127.0.0.1/32 trust
";
const TLS: &str = "ssl = on\nssl_ca_file = 'root.crt'\n";

/// A PostgreSQL that speaks TLS.
struct Secured {
    twin: Twin,
    authority: Authority,
}

impl Secured {
    async fn start() -> Self {
        let (twin, authority) = (Twin::start().await, Authority::new());
        let mut conn = Connection::establish(&twin.sandbox.database_url).await.unwrap();
        conn.batch_execute("CREATE ROLE certified LOGIN; CREATE ROLE open LOGIN").await.unwrap();
        drop(conn);
        let this = Self { twin, authority };
        this.write("pg_hba.conf", ACCESS);
        this.write("postgresql.auto.conf", TLS);
        this.write("root.crt", &this.authority.certificate);
        this.shows(&this.authority.server("127.0.0.1", Valid::Today));
        this
    }

    fn write(&self, name: &str, text: &str) {
        self.twin.sandbox.postgres().unwrap().write(name, text).unwrap();
    }

    /// Starts it again with this certificate.
    fn shows(&self, server: &Certified) {
        self.write("server.crt", &server.certificate);
        self.write("server.key", &server.key);
        let postgres = self.twin.sandbox.postgres().unwrap();
        postgres.stop_immediate().unwrap();
        postgres.start().unwrap();
    }

    fn url(&self, user: &str, query: &str) -> String {
        format!("postgres://{user}@{}/twin?{query}", self.twin.place())
    }

    /// The parameters that name the authority.
    fn verified(&self) -> String {
        format!("sslmode=verify-full&sslrootcert={}", self.authority.own_file())
    }

    /// The parameters that name a client certificate.
    fn certified(&self, client: &Certified) -> String {
        let certificate = self.authority.file("client.crt", &client.certificate);
        let key = self.authority.file("client.key", &client.key);
        format!("{}&sslcert={certificate}&sslkey={key}", self.verified())
    }
}

/// What the server says of a connection: the user, and whether it is encrypted.
async fn connect(url: &str) -> Result<(String, bool), String> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        name: String,
        #[diesel(sql_type = Bool)]
        ssl: bool,
    }
    let store = Store::connect(&Database { url: url.into(), ..Database::default() }, "links");
    let mut lease = store.map_err(|error| error.to_string())?.steps().await.map_err(|error| error.to_string())?;
    let look = "SELECT current_user::text AS name, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let row: Row = sql_query(look).get_result(&mut *lease).await.unwrap();
    Ok((row.name, row.ssl))
}

fn assert_says(refused: Result<(String, bool), String>, parts: &[&str]) {
    let why = refused.expect_err("it connected");
    for part in parts {
        assert!(why.contains(part), "`{part}` is not in: {why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_is_reached_over_tls_and_nothing_else_is_taken_for_it() {
    let secured = Secured::start().await;
    let verified = secured.verified();
    let twin = Ok(("twin".to_owned(), true));

    // The right ones. With channel binding, nobody can stand between even if he has a certificate.
    for query in ["", "sslmode=prefer", "sslmode=require", &verified, &format!("{verified}&channel_binding=require")] {
        assert_eq!(connect(&secured.url("twin:twin", query)).await, twin, "{query}");
    }
    let certified = secured.certified(&secured.authority.client("certified"));
    assert_eq!(connect(&secured.url("certified", &certified)).await, Ok(("certified".into(), true)));
    // `prefer` is content with a user who may not use TLS, as libpq is.
    assert_eq!(connect(&secured.url("open", "sslmode=prefer")).await, Ok(("open".into(), false)));

    // The wrong ones.
    let by_name = secured.url("twin:twin", &verified).replacen("127.0.0.1", "localhost", 1);
    assert_says(connect(&by_name).await, &["localhost:", "not for `localhost` but for", "127.0.0.1", "name the host"]);
    let any_name = by_name.replacen("verify-full", "verify-ca", 1);
    assert_eq!(connect(&any_name).await, twin, "verify-ca does not look at the name");
    let stranger = Authority::new();
    let unknown = format!("sslmode=verify-ca&sslrootcert={}", stranger.own_file());
    assert_says(connect(&secured.url("twin:twin", &unknown)).await, &["not trusted", "`database.ca_file`"]);
    let plain = connect(&secured.url("twin:twin", "sslmode=disable")).await;
    assert_says(plain, &["no encryption", "set sslmode=verify-full"]);
    assert_says(connect(&secured.url("certified", &verified)).await, &["certificate", "`database.cert_file`"]);
    let other = secured.certified(&secured.authority.client("somebody"));
    assert_says(
        connect(&secured.url("certified", &other)).await,
        &["certificate authentication failed", "common name"],
    );
    let foreign = secured.certified(&stranger.client("certified"));
    assert_says(connect(&secured.url("certified", &foreign)).await, &["refuses our certificate"]);

    secured.shows(&secured.authority.server("127.0.0.1", Valid::UntilLastYear));
    assert_says(connect(&secured.url("twin:twin", &verified)).await, &["has expired: renew it"]);
    assert_eq!(connect(&secured.url("twin:twin", "sslmode=require")).await, twin, "it is not checked");

    secured.write("postgresql.auto.conf", "ssl = off\n");
    secured.shows(&secured.authority.server("127.0.0.1", Valid::Today));
    let refused = connect(&secured.url("leveret", "sslmode=require")).await;
    assert_says(refused, &["does not support TLS", "Switch `ssl` on"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_name_files_and_a_changed_password_is_read() {
    let secured = Secured::start().await;
    let password = secured.authority.file("password", "twin\n");
    let command = CommandLine::nowhere()
        .with("DATABASE_URL", &secured.url("twin", ""))
        .with("DATABASE_PASSWORD_FILE", &password)
        .with("LEVERET_DATABASE__SSLMODE", "verify-full")
        .with("LEVERET_DATABASE__CA_FILE", &secured.authority.own_file());
    command.say("migrate").await.good();
    let ran = command.with("AMQP_URL", "amqp://127.0.0.1:1").say("doctor -o json").await;
    let said = finding(&ran, "database link");
    assert_eq!(said, format!("{}, encrypted, certificate and host name verified", secured.twin.place()));

    let database = Database { url: secured.url("twin", ""), password_file: password, ..Database::default() };
    let store = Store::connect(&database, "links").unwrap();
    let first = store.steps().await.unwrap();
    let mut conn = Connection::establish(&secured.twin.sandbox.database_url).await.unwrap();
    conn.batch_execute("ALTER ROLE twin PASSWORD 'rotated'").await.unwrap();
    let refused = store.background().await.map(drop).unwrap_err().to_string();
    assert!(refused.contains("password authentication failed"), "{refused}");
    secured.authority.file("password", "rotated");
    store.background().await.unwrap();
    drop(first);
    std::fs::remove_file(&database.password_file).unwrap();
    let other = Store::connect(&database, "links").unwrap();
    let refused = other.steps().await.map(drop).unwrap_err().to_string();
    assert!(refused.contains("the password file") && refused.contains("cannot be read"), "{refused}");
}

//! Sessions: their settings hold whatever the defaults of the database and behind a pooler, and none is lent while it is busy.

mod abandoned;
mod defaults;
mod doctor;
mod pgbouncer;
mod pooler;

use diesel::QueryableByName;
use diesel::sql_query;
use diesel::sql_types::Text;
use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::{StreamExt, stream};
use leveret::config::Config;
use leveret::handlers::Handlers;
use leveret::roles::Role;
use leveret::store::{Connection, Store};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Fresh, InProcess};

/// Sets and waits for a message; the key of the message comes from the start.
const MEETS: &str = "
name: meets
input: { type: object, required: [k], properties: { k: { type: string } } }
variables: { n: 0 }
activities:
  - { id: set, set: { n: n + 1 } }
  - { id: wait, receive: { name: hello, key: '${ k }' } }
";
/// Pairs of a start and a message that are under way at once.
const AT_ONCE: usize = 8;

/// Changes a default of a test's own database.
async fn set_default(fresh: &Fresh, setting: &str) {
    alter(fresh, &format!("ALTER DATABASE \"{}\" SET {setting}", fresh.prefix)).await;
}

/// Changes a default of the role in a test's own database.
async fn set_default_of_role(fresh: &Fresh, setting: &str) {
    alter(fresh, &format!("ALTER ROLE CURRENT_USER IN DATABASE \"{}\" SET {setting}", fresh.prefix)).await;
}

async fn alter(fresh: &Fresh, statement: &str) {
    let mut conn = Connection::establish(&fresh.direct_url).await.unwrap();
    conn.batch_execute("SET default_transaction_read_only = off").await.unwrap();
    conn.batch_execute(statement).await.unwrap();
}

/// Every role on this database, with these settings.
async fn serve(fresh: Fresh, change: impl FnOnce(&mut Config)) -> InProcess {
    let mut config = InProcess::config(&fresh);
    change(&mut config);
    InProcess::on(fresh, config, Handlers::new(), Role::ALL).await
}

/// Starts instances and sends their messages at the same moment. Neither may miss the other.
async fn meet(leveret: &InProcess, pairs: usize) {
    leveret.apply(MEETS).await;
    let pair = async |number: usize| {
        let key = format!("k{number}");
        let start = json!({ "definition": "meets", "key": key, "input": { "k": key } });
        let message = json!({ "name": "hello", "key": key });
        let send = async {
            tokio::time::sleep(std::time::Duration::from_millis(number as u64 % 12)).await;
            insist(leveret, "/messages", &message).await;
        };
        tokio::join!(insist(leveret, "/instances", &start), send);
    };
    stream::iter(0..pairs).for_each_concurrent(AT_ONCE, pair).await;
    leveret.count_becomes(0, "leveret.instances WHERE status <> 'completed'").await;
    assert_eq!(leveret.count("leveret.instances").await, pairs as i64);
    assert_eq!(leveret.count("leveret.messages").await, 0);
}

/// A busy database may be asked again.
async fn insist(leveret: &InProcess, path: &str, body: &Value) {
    for _ in 0..100 {
        let reply = leveret.post(path, body).await;
        if reply.status != StatusCode::SERVICE_UNAVAILABLE {
            assert!(reply.status.is_success(), "{reply:?}");
            return;
        }
    }
    panic!("{path} stays unavailable");
}

/// A setting as both pools see it.
async fn settings(store: &Store, name: &str) -> [String; 2] {
    [
        setting(&mut store.steps().await.unwrap(), name).await,
        setting(&mut store.background().await.unwrap(), name).await,
    ]
}

async fn setting(conn: &mut Connection, name: &str) -> String {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        value: String,
    }
    let row: Row =
        sql_query("SELECT current_setting($1) AS value").bind::<Text, _>(name).get_result(conn).await.unwrap();
    row.value
}

/// What every session needs, as PostgreSQL shows it.
const NEEDED: [(&str, &str); 8] = [
    ("transaction_isolation", "read committed"),
    ("synchronous_commit", "on"),
    ("statement_timeout", "15s"),
    ("lock_timeout", "2s"),
    ("idle_in_transaction_session_timeout", "1min"),
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO, MDY"),
    ("standard_conforming_strings", "on"),
];

/// Defaults that are wrong for each of them.
const WRONG: [&str; 9] = [
    "default_transaction_isolation = 'serializable'",
    "synchronous_commit = off",
    "statement_timeout = '1h'",
    "lock_timeout = '1h'",
    "idle_in_transaction_session_timeout = '1h'",
    "timezone = 'Asia/Kolkata'",
    "datestyle = 'German, DMY'",
    "standard_conforming_strings = off",
    "search_path = 'nowhere'",
];

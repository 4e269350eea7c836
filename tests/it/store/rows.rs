//! Rows as a step would write them, for tests of the store.

use std::collections::BTreeMap;
use std::time::Duration;

use diesel_async::{AsyncConnection, RunQueryDsl};
use jiff::Timestamp;
use leveret::contract::Exchange;
use leveret::engine::{
    Bookmark, BookmarkKind, Branch, Effect, Entry, EntryKind, Instance, InstanceId, Phase, ROOT, State, Status, Step,
};
use leveret::store::Connection;
use leveret::store::commit::{self, Asked, Started};
use leveret::store::inbox::{InboxRow, Outcome};
use leveret::store::outbox::{Claimable, OutboxRow};
use leveret::store::write::Write;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::support::Fresh;

/// `timers.broker_horizon`, and any other time that only has to be long.
pub(super) const HORIZON: Duration = Duration::from_secs(900);

/// Byte limit of a claim: more than any test has.
pub(super) const BYTES_MAX: i64 = 1 << 30;

/// A connection without a pool.
pub(super) async fn connect(fresh: &Fresh) -> Connection {
    Connection::establish(&fresh.database_url).await.unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a test may read the clock")]
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}

pub(super) fn ready_branch() -> Branch {
    Branch {
        id: ROOT,
        sequence: 1,
        activity: "first".into(),
        phase: Phase::Ready,
        attempt: 1,
        steps: 0,
        crashes: 0,
        failures: BTreeMap::new(),
        tried_at: None,
    }
}

pub(super) fn instance(key: Option<&str>) -> Instance {
    Instance {
        id: InstanceId(Uuid::now_v7()),
        definition: "order".into(),
        version: 1,
        status: Status::Running,
        revision: 0,
        key: key.map(str::to_owned),
        queue: "default".into(),
        priority: 0,
        input: Map::new(),
        variables: json!({"total": 1}).as_object().cloned().unwrap(),
        output: None,
        error: None,
        state: State { branches: vec![ready_branch()], ..State::default() },
        history_count: 0,
        history_hash: [0; 32],
        started_at: "2026-11-24T10:00:00.123456Z".parse().unwrap(),
        started_by: Some("test".into()),
        ended_at: None,
        user_id: None,
        trace: None,
    }
}

pub(super) fn record(details: Value) -> Effect {
    Effect::Record(Entry {
        kind: EntryKind::ActivityCompleted,
        activity: Some("first".into()),
        branch: Some(ROOT),
        details,
    })
}

pub(super) fn step(instance: &Instance, effects: Vec<Effect>) -> Step {
    Step { instance: instance.clone(), effects, kind: "set" }
}

pub(super) fn timer(number: i64, due_at: Timestamp) -> Effect {
    Effect::Open(Bookmark {
        number,
        branch: Some(ROOT),
        activity: Some("first".into()),
        kind: BookmarkKind::Timer,
        due_at: Some(due_at),
        message: None,
        details: Value::Null,
        fingerprint: None,
    })
}

pub(super) fn message_wait(number: i64) -> Effect {
    Effect::Open(Bookmark {
        number,
        branch: Some(ROOT),
        activity: Some("first".into()),
        kind: BookmarkKind::Message,
        due_at: None,
        message: Some(("paid".into(), "K".into())),
        details: Value::Null,
        fingerprint: None,
    })
}

pub(super) fn asked(write: &Write, message_id: &str) -> InboxRow {
    InboxRow {
        app_id: "shop".into(),
        message_id: message_id.into(),
        command: "start".into(),
        body_hash: [7; 32],
        instance_id: Some(write.instance.id),
        outcome: Outcome::Accepted,
        answer: json!({"instance": write.instance.id}),
    }
}

pub(super) fn row(claimable: Claimable) -> OutboxRow {
    OutboxRow::new(Uuid::now_v7(), Exchange::Steps, "default", "continue", b"{}".to_vec())
        .with_header("schema", "1")
        .with_due_at("2026-11-24T10:00:00.5Z".parse().unwrap())
        .with_claimable(claimable)
}

/// A started instance: ready, with one history row.
pub(super) async fn started(conn: &mut Connection, effects: Vec<Effect>) -> Instance {
    let born = instance(None);
    let write = written(None, &born, effects);
    let row = asked(&write, &Uuid::now_v7().to_string());
    let done = commit::start(conn, &write, &row, Asked::Named).await.unwrap();
    assert!(matches!(done, Started::Committed(_)), "{done:?}");
    write.instance
}

pub(super) async fn number(conn: &mut Connection, sql: &str) -> i64 {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        number: i64,
    }
    let row: Row = diesel::sql_query(format!("SELECT ({sql})::bigint AS number")).get_result(conn).await.unwrap();
    row.number
}

/// The write of a step from one state of an instance to the next.
pub(super) fn written(before: Option<&Instance>, after: &Instance, effects: Vec<Effect>) -> Write {
    Write::from_step(before, step(after, effects), now(), HORIZON).unwrap()
}

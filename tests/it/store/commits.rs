//! Commits: each takes effect once, completely or not at all.

use std::time::Duration;

use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection};
use jiff::Timestamp;
use leveret::engine::{BookmarkKind, Effect, Failure, Phase, Status, Wait, WaitOn};
use leveret::store::bookmarks;
use leveret::store::commit::{self, Asked, Guarded, Started, Undone};
use leveret::store::inbox::{self};
use leveret::store::outbox::{self, Claimable};
use leveret::store::stuck::{self};
use leveret::store::write::Write;
use leveret::store::{Error, history, instances, messages};
use serde_json::{Value, json};

use super::rows::{
    BYTES_MAX, HORIZON, asked, connect, instance, message_wait, now, number, record, row, started, step, timer, written,
};
use crate::support::{Fault, Fresh};

#[tokio::test]
async fn a_start_takes_effect_once() {
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    let write = written(None, &instance(Some("K")), vec![record(json!(1))]);
    let row = asked(&write, "m1");
    assert!(matches!(commit::start(conn, &write, &row, Asked::Named).await.unwrap(), Started::Committed(_)));
    let again = written(None, &instance(Some("L")), vec![record(json!(1))]);
    assert_eq!(commit::start(conn, &again, &asked(&again, "m1"), Asked::Named).await.unwrap(), Started::Duplicate(row));
    assert_eq!(number(conn, "SELECT count(*) FROM leveret.instances").await, 1);
    assert_eq!(number(conn, "SELECT count(*) FROM leveret.history").await, 1);
}

#[tokio::test]
async fn an_instance_reads_back_as_written() {
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    let mut born = instance(Some("K"));
    born.input = json!({"a": [1, 2.5, "\u{1F407}", null]}).as_object().cloned().unwrap();
    born.output = Some(Value::Null);
    born.error = Some(leveret::engine::Failure::new("timeout", "too late"));
    born.trace = Some("00-x".into());
    let write = written(None, &born, vec![record(json!(1))]);
    commit::start(conn, &write, &asked(&write, "m1"), Asked::Named).await.unwrap();
    let loaded = instances::find(conn, born.id).await.unwrap().unwrap();
    assert_eq!(loaded.instance, write.instance);
    assert_eq!(instances::lock(conn, born.id).await.unwrap().unwrap().instance, write.instance);
    assert_eq!(instances::find_by_key(conn, "order", "K").await.unwrap(), Some(born.id));
    assert_eq!(instances::find_by_key(conn, "order", "L").await.unwrap(), None);
    assert!((loaded.now.as_second() - now().as_second()).abs() < 5);
}

#[tokio::test]
async fn a_start_with_a_taken_key_writes_nothing() {
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    let first = written(None, &instance(Some("K")), vec![record(json!(1))]);
    commit::start(conn, &first, &asked(&first, "m1"), Asked::Named).await.unwrap();
    let second = written(None, &instance(Some("K")), vec![record(json!(1))]);
    assert_eq!(commit::start(conn, &second, &asked(&second, "m2"), Asked::Named).await.unwrap(), Started::KeyTaken);
    assert_eq!(inbox::find(conn, "shop", "m2").await.unwrap(), None);
    assert_eq!(number(conn, "SELECT count(*) FROM leveret.history").await, 1);
    let mut ended = first.instance.clone();
    ended.status = Status::Completed;
    ended.state.branches.clear();
    let end = Write::from_step(Some(&first.instance), step(&ended, vec![]), now(), HORIZON).unwrap();
    commit::plain(conn, &end).await.unwrap().unwrap();
    assert!(matches!(
        commit::start(conn, &second, &asked(&second, "m2"), Asked::Named).await.unwrap(),
        Started::Committed(_)
    ));
}

#[tokio::test]
async fn a_repeated_start_with_waits_is_a_duplicate_and_not_a_taken_key() {
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    let mut born = instance(Some("K"));
    born.state.branches[0].phase =
        Phase::Waiting(vec![Wait { bookmark: 1, due_at: None, on: WaitOn::Message { index: 0 } }]);
    let effects = vec![record(json!(1)), message_wait(1), timer(2, now() + Duration::from_secs(3600))];
    let mut write = written(None, &born, effects);
    write.outbox.push(row(Claimable::Now));
    let asked = asked(&write, "m1");
    assert!(matches!(commit::start(conn, &write, &asked, Asked::Named).await, Err(Error::Bug(_))));
    assert!(matches!(commit::whole(conn, &write, Some(&asked)).await.unwrap(), Guarded::Committed(_)));
    assert_eq!(commit::whole(conn, &write, Some(&asked)).await.unwrap(), Guarded::Duplicate(asked));
    let open = bookmarks::list_open(conn, born.id).await.unwrap();
    assert_eq!(open.iter().map(|one| one.kind).collect::<Vec<_>>(), [BookmarkKind::Message, BookmarkKind::Timer]);
    assert_eq!(open[1].next_check_at, open[1].due_at);
    assert_eq!(first_waiting(conn, "paid", "K").await, [(born.id, 1)]);
    assert_eq!(stuck::list(conn, 10).await.unwrap(), []);
}

#[tokio::test]
async fn a_start_of_a_version_that_is_not_the_newest_writes_nothing() {
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    let versions = |status: &str| {
        format!(
            "INSERT INTO leveret.definitions (name, version, status, content, content_hash) \
             SELECT 'order', coalesce(max(version), 0) + 1, '{status}', '{{}}', sha256('x') FROM leveret.definitions"
        )
    };
    let first = written(None, &instance(None), vec![record(json!(1))]);
    let row = asked(&first, "m1");
    assert_eq!(commit::start(conn, &first, &row, Asked::Newest).await.unwrap(), Started::Outdated, "no version exists");
    conn.batch_execute(&versions("active")).await.unwrap();
    conn.batch_execute(&versions("retired")).await.unwrap();
    assert!(matches!(commit::start(conn, &first, &row, Asked::Newest).await.unwrap(), Started::Committed(_)));
    conn.batch_execute(&versions("active")).await.unwrap();
    let second = written(None, &instance(None), vec![record(json!(1))]);
    let other = asked(&second, "m2");
    assert_eq!(commit::start(conn, &second, &other, Asked::Newest).await.unwrap(), Started::Outdated);
    assert_eq!(inbox::find(conn, "shop", "m2").await.unwrap(), None);
    assert_eq!(number(conn, "SELECT count(*) FROM leveret.history").await, 1);
    assert_eq!(commit::start(conn, &second, &row, Asked::Newest).await.unwrap(), Started::Duplicate(row));
    assert!(matches!(commit::start(conn, &second, &other, Asked::Named).await.unwrap(), Started::Committed(_)));
}

#[tokio::test]
async fn a_lost_race_writes_nothing() {
    let mut fault = Fault::new("two workers commit from the same revision", "F10 F12", "I1 I4 I10");
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    let before = started(conn, vec![record(json!(1))]).await;
    let mut mine = written(Some(&before), &before, vec![record(json!(2))]);
    mine.outbox.push(row(Claimable::Now));
    let mut theirs = mine.clone();
    theirs.outbox = vec![row(Claimable::Now)];
    assert!(commit::plain(conn, &mine).await.unwrap().is_some());
    fault.fired_times(2, 1);
    let lost = commit::plain(conn, &theirs).await;
    assert!(matches!(lost, Ok(None)), "the second commit from one revision: {lost:?}");
    assert_eq!(commit::whole(conn, &theirs, None).await.unwrap(), Guarded::Conflict);
    assert_eq!(number(conn, "SELECT count(*) FROM leveret.history").await, 2);
    assert_eq!(number(conn, "SELECT count(*) FROM leveret.outbox").await, 1);
    history::verify(conn, before.id).await.unwrap();
    fault.held();
}

#[tokio::test]
async fn plain_steps_update_in_place() {
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    let mut before = started(conn, vec![record(json!(1))]).await;
    for turn in 0..200 {
        let mut after = before.clone();
        after.state.branches[0].sequence += 1;
        after.variables.insert("total".into(), json!(turn));
        let write = written(Some(&before), &after, vec![record(json!(turn))]);
        commit::plain(conn, &write).await.unwrap().unwrap();
        before = write.instance;
    }
    conn.batch_execute("SELECT pg_stat_force_next_flush()").await.unwrap();
    let updates = "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'instances'";
    assert_eq!(number(conn, updates).await, 200);
    let hot = number(conn, &updates.replace("n_tup_upd", "n_tup_hot_upd")).await;
    // If a step changed an indexed column, none would be. A few are not while another transaction may still read old rows.
    assert!(hot >= 150, "{hot} of 200");
    history::verify(conn, before.id).await.unwrap();
}

#[tokio::test]
async fn hot_statements_are_prepared_once() {
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    let mut before = started(conn, vec![record(json!(1))]).await;
    let mut seen = 0;
    for turn in 0..10 {
        let mut after = before.clone();
        if turn % 2 == 0 {
            after.variables.insert("total".into(), json!(turn));
        }
        let mut write = written(Some(&before), &after, vec![record(json!(turn))]);
        commit::plain(conn, &write).await.unwrap().unwrap();
        before = write.instance.clone();
        write = written(Some(&before), &before, vec![timer(turn + 1, now())]);
        write.outbox.push(row(Claimable::Now));
        write.outbox.push(row(Claimable::After(HORIZON)));
        commit::plain(conn, &write).await.unwrap().unwrap();
        before = write.instance.clone();
        write = written(Some(&before), &before, vec![Effect::Consume(turn + 1)]);
        let done = commit::whole(conn, &write, Some(&asked(&write, &turn.to_string()))).await.unwrap();
        assert!(matches!(done, Guarded::Committed(_)));
        before = write.instance;
        for row in outbox::claim_unsent(conn, 500, BYTES_MAX, HORIZON).await.unwrap() {
            outbox::delete(conn, &[row.id]).await.unwrap();
        }
        outbox::push(conn, &[row(Claimable::Now)]).await.unwrap();
        bookmarks::claim_due(conn, 10, &[]).await.unwrap();
        instances::claim_silent(conn, HORIZON, HORIZON, &[], 10).await.unwrap();
        instances::find(conn, before.id).await.unwrap();
        inbox::find(conn, "a", "b").await.unwrap();
        messages::kept(conn, &[("a".into(), "b".into())], 0, 5).await.unwrap();
        first_waiting(conn, "a", "b").await;
        // The statement of the count itself is never cached.
        let prepared =
            number(conn, "SELECT count(*) FROM pg_prepared_statements WHERE statement !~ 'AS number$'").await;
        assert!(turn == 0 || prepared == seen, "turn {turn}: {prepared} after {seen}");
        seen = prepared;
    }
    let left = number(conn, "SELECT min(generic_plans) FROM pg_prepared_statements WHERE statement ~ '^WITH (moved|due|unsent|silent)' AND generic_plans + custom_plans > 5").await;
    assert!(left > 0, "a statement is planned for every execution");
}

#[tokio::test]
async fn a_bookmark_is_consumed_once() {
    let mut fault = Fault::new("a bookmark is finished twice", "F33 F40", "I4 I8");
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    let before = started(conn, vec![timer(1, now()), timer(2, now())]).await;
    let effects = vec![Effect::Consume(1), Effect::Close(2), record(json!(1))];
    let write = written(Some(&before), &before, effects);
    assert!(!write.is_plain());
    assert!(matches!(commit::plain(conn, &write).await, Err(Error::Bug(_))));
    assert!(matches!(commit::whole(conn, &write, None).await.unwrap(), Guarded::Committed(_)));
    let after = write.instance;
    let again = written(Some(&after), &after, vec![Effect::Consume(1), record(json!(2))]);
    assert_eq!(commit::whole(conn, &again, None).await.unwrap(), Guarded::Conflict);
    fault.fired_times(1, 1);
    assert_eq!(instances::find(conn, before.id).await.unwrap().unwrap().instance, after);
    assert_eq!(bookmarks::list_open(conn, before.id).await.unwrap(), []);
    history::verify(conn, before.id).await.unwrap();
    fault.held();
}

#[tokio::test]
async fn a_repetition_is_recognised_inside_a_transaction() {
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    let before = started(conn, vec![]).await;
    let write = written(Some(&before), &before, vec![record(json!(1))]);
    let row = asked(&write, "m1");
    assert!(matches!(commit::whole(conn, &write, Some(&row)).await.unwrap(), Guarded::Committed(_)));
    let after = write.instance;
    let again = written(Some(&after), &after, vec![record(json!(1))]);
    assert_eq!(commit::whole(conn, &again, Some(&row)).await.unwrap(), Guarded::Duplicate(row.clone()));
    assert_eq!(instances::find(conn, before.id).await.unwrap().unwrap().instance, after);
    assert!(!inbox::insert(conn, &row).await.unwrap());
    let undone = conn.transaction::<(), Undone, _>(async |conn| {
        commit::guarded(conn, &again, Some(&row)).await?.or_undo()?;
        Ok(())
    });
    assert!(matches!(undone.await, Err(Undone::Duplicate(_))));
}

#[tokio::test]
async fn an_ignored_error_cannot_be_committed() {
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    let before = started(conn, vec![]).await;
    let write = written(Some(&before), &before, vec![record(json!(1))]);
    let done = conn.transaction::<Timestamp, Undone, _>(async |conn| {
        let _ = diesel::sql_query("SELECT 1/0").execute(conn).await;
        commit::guarded(conn, &write, None).await?.or_undo()
    });
    assert!(matches!(done.await, Err(Undone::Failed(Error::Bug(_)))));
    assert_eq!(instances::find(conn, before.id).await.unwrap().unwrap().instance, before);
}

#[tokio::test]
async fn a_value_that_postgresql_cannot_store_is_refused_before_the_commit() {
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    let before = started(conn, vec![]).await;
    let bad = Write::from_step(Some(&before), step(&before, vec![record(json!("\0"))]), now(), HORIZON);
    assert!(matches!(bad, Err(Error::Bug(_))));
    let deep = (0..101).fold(json!(null), |inner, _| json!([inner]));
    let failure = Failure { data: deep.clone(), ..Failure::new("a", "b") };
    let incident = WaitOn::Intervention { failure, result: None };
    let mut waiting = before.clone();
    waiting.state.branches[0].phase = Phase::Waiting(vec![Wait { bookmark: 1, due_at: None, on: incident }]);
    let mut valued = before.clone();
    valued.variables.insert("total".into(), deep.clone());
    for (after, effects) in [(&before, vec![record(deep)]), (&waiting, vec![]), (&valued, vec![])] {
        let bad = Write::from_step(Some(&before), step(after, effects), now(), HORIZON).unwrap_err();
        assert!(bad.to_string().contains("deeper than 100 levels"), "{bad}");
    }
}

#[tokio::test]
async fn a_double_reads_back_as_a_double_and_its_history_is_valid() {
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    let before = started(conn, vec![]).await;
    let doubles = json!([1e16, -1e16, 1.2345678901234567e18, 9_007_199_254_740_994.0, 1e300, 0.5, 3.0]);
    let mut after = before.clone();
    after.variables.insert("total".into(), doubles.clone());
    let write = written(Some(&before), &after, vec![record(doubles.clone())]);
    assert!(matches!(commit::whole(conn, &write, None).await.unwrap(), Guarded::Committed(_)));
    let found = instances::find(conn, before.id).await.unwrap().unwrap().instance;
    assert_eq!(found.variables["total"], doubles);
    assert!(found.variables["total"].as_array().unwrap().iter().all(Value::is_f64));
    history::verify(conn, before.id).await.unwrap();
    // Written without fractions they are integers, which is a change.
    diesel::sql_query("SET session_replication_role = replica").execute(conn).await.unwrap();
    let changed = "UPDATE leveret.history SET details = '[1e16, -1e16, 1.2345678901234567e18, 9007199254740994, 1e300, 0.5, 3.0]' \
        WHERE instance_id = $1 AND jsonb_typeof(details) = 'array'";
    let changed =
        diesel::sql_query(changed).bind::<diesel::sql_types::Uuid, _>(before.id.0).execute(conn).await.unwrap();
    assert_eq!(changed, 1);
    assert!(matches!(history::verify(conn, before.id).await, Err(history::Broken::Details(1))));
}

/// The instances that wait, oldest wait first, with their bookmarks.
async fn first_waiting(
    conn: &mut leveret::store::Connection,
    name: &str,
    key: &str,
) -> Vec<(leveret::engine::InstanceId, i64)> {
    let waiting = bookmarks::waiting(conn, name, key, bookmarks::Waiting::NOBODY, 10).await.unwrap();
    waiting.into_iter().map(|one| (one.instance, one.number)).collect()
}

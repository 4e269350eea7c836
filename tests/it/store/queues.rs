//! Tables that are used like queues: each row is claimed by one consumer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use diesel_async::{AsyncConnection, SimpleAsyncConnection};
use leveret::contract::Exchange;
use leveret::engine::{Effect, Phase, ROOT, Status};
use leveret::store::bookmarks;
use leveret::store::commit::{self, Guarded};
use leveret::store::outbox::{self, Claimable, OutboxRow};
use leveret::store::stuck::{self, Why};
use leveret::store::{Error, dead_letters, instances, messages};
use serde_json::json;
use uuid::Uuid;

use super::rows::{BYTES_MAX, HORIZON, connect, now, number, row, started, timer, written};
use crate::support::Fresh;

#[tokio::test]
async fn a_kept_message_is_consumed_once() {
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    let message = messages::NewMessage {
        name: "paid".into(),
        key: "K".into(),
        data: json!({"amount": 1}),
        app_id: None,
        message_id: None,
        user_id: None,
        only: None,
    };
    let pairs = [("paid".to_owned(), "K".to_owned()), ("other".to_owned(), "K".to_owned())];
    messages::keep(conn, &message, Duration::ZERO, 3).await.unwrap().unwrap();
    let first = messages::keep(conn, &message, HORIZON, 3).await.unwrap().unwrap();
    let second = messages::keep(conn, &message, HORIZON, 3).await.unwrap().unwrap();
    assert_eq!(messages::keep(conn, &message, HORIZON, 3).await.unwrap(), None, "three are kept");
    conn.transaction::<(), Error, _>(async |conn| bookmarks::lock_correlation(conn, &pairs).await).await.unwrap();
    let kept = messages::kept(conn, &pairs, 0, 5).await.unwrap();
    assert_eq!(kept.iter().map(|message| message.kept).collect::<Vec<_>>(), [Some(first), Some(second)]);
    assert_eq!(kept[0].data, json!({"amount": 1}));
    let before = started(conn, vec![]).await;
    let write = written(Some(&before), &before, vec![Effect::TakeMessage(first)]);
    assert!(matches!(commit::whole(conn, &write, None).await.unwrap(), Guarded::Committed(_)));
    let after = write.instance;
    let again = written(Some(&after), &after, vec![Effect::TakeMessage(first)]);
    assert_eq!(commit::whole(conn, &again, None).await.unwrap(), Guarded::Conflict);
    assert_eq!(messages::delete_expired_before(conn, now() + Duration::from_secs(1), 100).await.unwrap(), 1);
    assert_eq!(messages::kept(conn, &pairs, 0, 5).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_claim_keeps_to_its_byte_limit_but_takes_at_least_one_row() {
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    for bytes in [10, 10, 100, 10, 10] {
        outbox::push(conn, &[OutboxRow { body: vec![0; bytes], ..row(Claimable::Now) }]).await.unwrap();
    }
    let mut claims = Vec::new();
    for _ in 0..4 {
        let mine = outbox::claim_unsent(conn, 500, 15, HORIZON).await.unwrap();
        claims.push(mine.iter().map(|row| row.body.len()).sum::<usize>());
    }
    assert_eq!(claims, [20, 100, 20, 0]);
}

#[tokio::test]
async fn an_outbox_row_is_claimed_once() {
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    let rows = [row(Claimable::Now), row(Claimable::After(HORIZON)), row(Claimable::Now)];
    outbox::push(conn, &rows).await.unwrap();
    let mine = outbox::claim_unsent(conn, 500, BYTES_MAX, HORIZON).await.unwrap();
    let mut ids: Vec<_> = mine.iter().map(|row| row.id).collect();
    ids.sort();
    assert_eq!(ids, [rows[0].id, rows[2].id]);
    assert_eq!(outbox::claim_unsent(conn, 500, BYTES_MAX, HORIZON).await.unwrap(), []);
    let mut expected = rows[0].clone();
    expected.claimable = Claimable::After(HORIZON);
    assert!(mine.contains(&expected));
    assert_eq!(outbox::find_backlog(conn).await.unwrap().unsent, 3);
    assert_eq!(outbox::delete(conn, &[rows[0].id, rows[1].id]).await.unwrap(), 2);
    assert_eq!(outbox::mark_returned(conn, &[rows[2].id], 2).await.unwrap(), Vec::<Uuid>::new());
    assert_eq!(outbox::mark_returned(conn, &[rows[2].id], 2).await.unwrap(), [rows[2].id]);
    let backlog = outbox::find_backlog(conn).await.unwrap();
    assert_eq!((backlog.unsent, backlog.dead, backlog.oldest_age), (0, 1, None));
}

#[tokio::test]
async fn due_timers_are_claimed_except_those_of_suspended_instances() {
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    let past = now() - Duration::from_secs(60);
    let before = started(conn, vec![timer(1, past), timer(2, now() + HORIZON)]).await;
    let mut other = started(conn, vec![timer(1, past)]).await;
    let running = other.clone();
    other.status = Status::Suspended;
    let write = written(Some(&running), &other, vec![]);
    commit::plain(conn, &write).await.unwrap().unwrap();
    let (next, db_now) = bookmarks::next_check_at(conn).await.unwrap().unwrap();
    assert!(next < db_now);
    let due = bookmarks::claim_due(conn, 10, &[]).await.unwrap();
    assert_eq!(due.iter().map(|timer| (timer.instance, timer.number)).collect::<Vec<_>>(), [(before.id, 1)]);
    assert_eq!(due[0].step_queue, "default");
    assert_eq!(bookmarks::claim_due(conn, 10, &[]).await.unwrap(), []);
    let (next, db_now) = bookmarks::next_check_at(conn).await.unwrap().unwrap();
    assert!(next > db_now);
}

#[tokio::test]
async fn a_timer_in_a_busy_queue_is_left_to_its_command_for_two_minutes() {
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    let ago = |seconds| now() - Duration::from_secs(seconds);
    let with_wake_ups = started(conn, vec![timer(1, ago(60))]).await;
    conn.batch_execute("UPDATE leveret.bookmarks SET next_check_at = due_at + interval '5 s'").await.unwrap();
    // A far timer never had a wake-up: its first check is when it is due.
    let far = started(conn, vec![timer(1, ago(50))]).await;
    let as_far = format!("UPDATE leveret.bookmarks SET next_check_at = due_at WHERE instance_id = '{}'", far.id);
    conn.batch_execute(&as_far).await.unwrap();
    let forgotten = started(conn, vec![timer(1, ago(600))]).await;
    let busy = ["default".to_owned(), "other".to_owned()];
    let claimed = async |conn: &mut _, busy: &[String]| -> BTreeSet<_> {
        bookmarks::claim_due(conn, 10, busy).await.unwrap().into_iter().map(|due| due.instance).collect()
    };
    assert_eq!(claimed(conn, &busy).await, BTreeSet::from([far.id, forgotten.id]));
    assert_eq!(claimed(conn, &busy[1..]).await, BTreeSet::from([with_wake_ups.id]));
    let urgent = started(conn, vec![timer(1, ago(60))]).await;
    let had_a_wake_up = format!(
        "UPDATE leveret.bookmarks SET next_check_at = due_at + interval '5 s' WHERE instance_id = '{id}';
         UPDATE leveret.instances SET priority = 1 WHERE id = '{id}'",
        id = urgent.id
    );
    conn.batch_execute(&had_a_wake_up).await.unwrap();
    assert_eq!(claimed(conn, &["default.urgent".into()]).await, BTreeSet::new());
    let due = bookmarks::claim_due(conn, 10, &busy).await.unwrap();
    assert_eq!(due.into_iter().map(|due| due.step_queue).collect::<Vec<_>>(), ["default.urgent"]);
}

#[tokio::test]
async fn silent_instances_are_claimed_less_and_less_often() {
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    let before = started(conn, vec![]).await;
    let (after, most) = (Duration::from_secs(30), Duration::from_secs(100));
    assert_eq!(instances::claim_silent(conn, after, most, &[], 10).await.unwrap(), []);
    let mut waits = Vec::new();
    for _ in 0..3 {
        conn.batch_execute("UPDATE leveret.instances SET moved_at = moved_at - interval '1 hour', rechecked_at = rechecked_at - interval '1 hour'").await.unwrap();
        assert_eq!(instances::claim_silent(conn, after, most, &["default".into()], 10).await.unwrap(), []);
        let silent = instances::claim_silent(conn, after, most, &["other".into()], 10).await.unwrap();
        assert_eq!(silent, [(before.id, vec![(ROOT, 1)], "default".to_owned())]);
        assert_eq!(instances::claim_silent(conn, after, most, &[], 10).await.unwrap(), []);
        waits.push(number(conn, "SELECT recheck_for FROM leveret.instances").await);
    }
    assert_eq!(waits, [60_000, 100_000, 100_000]);
    assert_eq!(instances::ready_step_queues(conn).await.unwrap(), ["default"]);
    // An urgent instance waits in another queue, and is recovered although the one of all others is busy.
    conn.batch_execute(
        "UPDATE leveret.instances SET priority = 1, moved_at = moved_at - interval '1 hour', rechecked_at = NULL",
    )
    .await
    .unwrap();
    assert_eq!(instances::ready_step_queues(conn).await.unwrap(), ["default.urgent"]);
    assert_eq!(instances::claim_silent(conn, after, most, &["default.urgent".into()], 10).await.unwrap(), []);
    let silent = instances::claim_silent(conn, after, most, &["default".into()], 10).await.unwrap();
    assert_eq!(silent, [(before.id, vec![(ROOT, 1)], "default.urgent".to_owned())]);
    let write = written(Some(&before), &before, vec![]);
    commit::plain(conn, &write).await.unwrap().unwrap();
    assert_eq!(number(conn, "SELECT recheck_for FROM leveret.instances WHERE rechecked_at IS NULL").await, 0);
}

#[tokio::test]
async fn every_kind_of_stuck_instance_is_listed() {
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    let healthy = started(conn, vec![]).await;
    assert_eq!(stuck::list(conn, 10).await.unwrap(), []);
    let mut waiting = healthy.clone();
    waiting.state.branches[0].phase = Phase::Waiting(vec![]);
    let write = written(Some(&healthy), &waiting, vec![]);
    commit::plain(conn, &write).await.unwrap().unwrap();
    let silent = started(conn, vec![]).await;
    conn.batch_execute(&format!(
        "UPDATE leveret.instances SET moved_at = now() - interval '2 minutes' WHERE id = '{silent}'",
        silent = silent.id
    ))
    .await
    .unwrap();
    let overdue = started(conn, vec![timer(1, now() - Duration::from_secs(90))]).await;
    let unclosed = started(conn, vec![timer(1, now() + HORIZON)]).await;
    let mut ended = unclosed.clone();
    ended.status = Status::Completed;
    ended.state.branches.clear();
    let write = written(Some(&unclosed), &ended, vec![]);
    commit::plain(conn, &write).await.unwrap().unwrap();
    let seen: Vec<_> = stuck::list(conn, 10).await.unwrap().into_iter().map(|one| (one.instance, one.why)).collect();
    assert_eq!(
        seen,
        [
            (healthy.id, Why::Forgotten),
            (silent.id, Why::Silent),
            (overdue.id, Why::Overdue),
            (unclosed.id, Why::Unclosed)
        ]
    );
    assert_eq!(stuck::count(conn, Duration::from_secs(30)).await.unwrap(), 2);
    let mut owner = row(Claimable::Now);
    owner.instance_id = Some(healthy.id);
    outbox::push(conn, &[owner]).await.unwrap();
    assert!(stuck::list(conn, 10).await.unwrap().iter().all(|one| one.why != Why::Forgotten));
}

#[tokio::test]
async fn a_sql_function_writes_one_command() {
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    conn.batch_execute(
        "SELECT leveret.start('order', '{\"a\": null}', key => 'PO-17', on_conflict => 'return', message_id => 'm1'); \
         SELECT leveret.message('paid', 'PO-17', '{\"amount\": 1}')",
    )
    .await
    .unwrap();
    let rows = outbox::claim_unsent(conn, 10, BYTES_MAX, HORIZON).await.unwrap();
    let start = rows.iter().find(|row| row.kind == "start").unwrap();
    assert_eq!((start.routing_key.as_str(), start.exchange), ("start.order", Exchange::Forwarded));
    let sender = format!("leveret.sql/{}", fresh.role());
    assert_eq!((start.app_id.as_deref(), start.message_id.as_deref()), (Some(sender.as_str()), Some("m1")));
    let body: leveret::contract::Start = serde_json::from_slice(&start.body).unwrap();
    assert_eq!(
        (body.definition.as_str(), body.key.as_deref(), body.input),
        ("order", Some("PO-17"), json!({"a": null}))
    );
    let message = rows.iter().find(|row| row.kind == "message").unwrap();
    let body: leveret::contract::Message = serde_json::from_slice(&message.body).unwrap();
    assert_eq!((body.name.as_str(), body.key.as_str(), body.data), ("paid", "PO-17", json!({"amount": 1})));
    assert_eq!(message.id.get_version_num(), 7);
    for wrong in [
        "start('')",
        "start('a', on_conflict => 'x')",
        "start(repeat('a', 250))",
        "message('a', NULL)",
        "start('a', to_jsonb(repeat('a', 262144)))",
    ] {
        assert!(conn.batch_execute(&format!("SELECT leveret.{wrong}")).await.is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn dead_letters_are_stored_with_any_content() {
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    let letter = dead_letters::DeadLetter {
        reason: "not JSON".into(),
        source: "leveret.commands".into(),
        exchange: "leveret.commands".into(),
        routing_key: "start.\0".into(),
        kind: None,
        app_id: Some("a\0".into()),
        message_id: None,
        user_id: None,
        headers: BTreeMap::from([("x".into(), "\0".into())]),
        body: vec![0, 255],
        instance_id: None,
    };
    let id = dead_letters::insert(conn, &letter).await.unwrap();
    let kept = dead_letters::list(conn, None, 10).await.unwrap();
    assert_eq!((kept.len(), kept[0].id, kept[0].body_bytes), (1, id, 2));
    assert!(kept[0].letter.body.is_empty(), "a list leaves the body out");
    assert_eq!(dead_letters::find(conn, id).await.unwrap().unwrap().letter.body, [0, 255]);
    assert!(dead_letters::mark_redriven(conn, id, Uuid::nil()).await.unwrap());
    assert!(dead_letters::find(conn, id).await.unwrap().unwrap().redriven_at.is_some());
    assert_eq!(dead_letters::list(conn, Some(id), 10).await.unwrap(), []);
    let large = dead_letters::DeadLetter { body: vec![1; 3 << 20], ..letter };
    let id = dead_letters::insert(conn, &large).await.unwrap();
    let kept = dead_letters::find(conn, id).await.unwrap().unwrap();
    assert_eq!((kept.letter.body.len(), kept.body_bytes), (1 << 20, 3 << 20));
}

#[tokio::test]
async fn a_row_for_an_unknown_exchange_is_dead_and_holds_up_no_other() {
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    let rows = [row(Claimable::Now), row(Claimable::Now)];
    outbox::push(conn, &rows).await.unwrap();
    let change = format!("UPDATE leveret.outbox SET exchange = 'elsewhere' WHERE id = '{}'", rows[0].id);
    conn.batch_execute(&change).await.unwrap();
    let claimed = outbox::claim_unsent(conn, 500, BYTES_MAX, HORIZON).await.unwrap();
    assert_eq!(claimed.iter().map(|row| row.id).collect::<Vec<_>>(), [rows[1].id]);
    let backlog = outbox::find_backlog(conn).await.unwrap();
    assert_eq!((backlog.unsent, backlog.dead), (1, 1));
}

/// Rows are written as arrays, in one statement for any number.
#[tokio::test]
async fn any_number_of_rows_is_written_completely() {
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    let mut all = Vec::new();
    for count in [1, 3, 4, 5, 40] {
        let mut rows: Vec<OutboxRow> = (0..count).map(|_| row(Claimable::Now)).collect();
        for (number, row) in rows.iter_mut().enumerate() {
            row.message_id = (number % 2 == 0).then(|| format!("m {number}"));
            row.reply_to = (number % 3 == 0).then(|| format!("q {number}"));
            row.correlation_id = (number % 3 == 0).then(|| format!("c {number}"));
            row.body = vec![0, 255, u8::try_from(number).unwrap()];
        }
        outbox::push(conn, &rows).await.unwrap();
        all.extend(rows);
    }
    let mut claimed = outbox::claim_unsent(conn, 100, i64::MAX, Duration::from_secs(30)).await.unwrap();
    claimed.sort_by_key(|row| row.id);
    all.sort_by_key(|row| row.id);
    assert_eq!(claimed.len(), 53);
    for (claimed, written) in claimed.iter().zip(&all) {
        assert_eq!((claimed.id, &claimed.message_id, &claimed.body), (written.id, &written.message_id, &written.body));
        assert_eq!((&claimed.headers, claimed.due_at), (&written.headers, written.due_at));
    }
}

//! Views for people and programs, read from the tables in the form of the API.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::instances::Filter;
use super::page::Fitting;
use super::{
    Connection, Error, audit, bookmarks, dead_letters, definitions, history, instances, messages, search, waits,
};
use crate::contract;
use crate::contract::api::{
    AuditView, DeadLetterView, DefinitionView, HistoryView, InstanceSummary, InstanceView, MessageView, Page, WaitView,
};
use crate::engine::{BookmarkKind, CallId, InstanceId, TaskId};

/// Bytes of the body of a dead letter that are shown.
const BODY_SHOWN_MAX: usize = 4_096;

/// A page of instances, newest first.
pub async fn instances(conn: &mut Connection, filter: &Filter) -> Result<Page<InstanceSummary>, Error> {
    let rows = instances::list(conn, filter).await?;
    Ok(Page::of(rows, filter.limit, |last| last.id.to_string(), summary))
}

/// A page of the instances for which a filter holds, newest first. It may be shorter than `limit` and still have a next one.
pub async fn found(
    conn: &mut Connection,
    filter: &contract::filter::Filter,
    before: Option<InstanceId>,
    limit: i64,
    now: Timestamp,
) -> Result<Page<InstanceSummary>, Error> {
    let found = search::page(conn, filter, before, limit, now).await?;
    let rows = instances::list_these(conn, &found.ids).await?;
    Ok(Page { items: rows.into_iter().map(summary).collect(), next: found.next.map(|id| id.to_string()) })
}

fn summary(row: instances::Summary) -> InstanceSummary {
    InstanceSummary {
        id: row.id.0,
        definition: row.definition,
        version: row.version,
        key: row.key,
        status: row.status.name().to_owned(),
        at: row.activities,
        started_at: row.started_at,
        ended_at: row.ended_at,
    }
}

/// One instance with all details.
pub async fn instance(conn: &mut Connection, id: InstanceId) -> Result<Option<InstanceView>, Error> {
    let Some(loaded) = instances::find(conn, id).await? else { return Ok(None) };
    let open = bookmarks::list_open(conn, id).await?;
    let instance = loaded.instance;
    let is_failure = |row: &bookmarks::BookmarkRow| row.kind == BookmarkKind::Intervention && row.branch.is_some();
    let failure = open.iter().find(|row| is_failure(row)).map(|row| row.details.clone());
    let waits = open
        .into_iter()
        .map(|row| {
            let failure = is_failure(&row).then(|| row.details.clone());
            let note = waits::note(&instance, row.number, &row.details);
            let (name, key) = row.message.unzip();
            let kind = row.kind.name().to_owned();
            let task = (row.kind == BookmarkKind::Task).then(|| TaskId::of(id, row.number).0);
            let call = (row.kind == BookmarkKind::Call).then(|| CallId::of(id, row.number).0);
            WaitView {
                bookmark: row.number,
                kind,
                activity: row.activity,
                due_at: row.due_at,
                name,
                key,
                failure,
                task,
                call,
                note,
            }
        })
        .collect();
    let error = instance.error.as_ref().and_then(|error| serde_json::to_value(error).ok());
    Ok(Some(InstanceView {
        summary: InstanceSummary {
            id: id.0,
            definition: instance.definition,
            version: instance.version,
            key: instance.key,
            status: instance.status.name().to_owned(),
            at: instance.state.branches.into_iter().map(|branch| branch.activity).collect(),
            started_at: instance.started_at,
            ended_at: instance.ended_at,
        },
        revision: instance.revision,
        queue: instance.queue,
        priority: instance.priority,
        started_by: instance.started_by,
        user_id: instance.user_id,
        input: instance.input.into(),
        variables: instance.variables.into(),
        output: instance.output,
        error: error.or(failure),
        waits,
    }))
}

/// History rows with numbers above `after`, oldest first.
pub async fn history(conn: &mut Connection, id: InstanceId, after: i64, limit: i64) -> Result<Vec<HistoryView>, Error> {
    let rows = history::list(conn, id, after, limit).await?;
    Ok(rows
        .into_iter()
        .map(|row| HistoryView {
            number: row.number,
            at: row.at,
            kind: row.kind,
            activity: row.activity,
            branch: row.branch,
            details: row.details.unwrap_or_default(),
        })
        .collect())
}

/// A page of definitions by name, each with its newest version.
pub async fn definitions(
    conn: &mut Connection,
    after: Option<&str>,
    limit: i64,
) -> Result<Page<DefinitionView>, Error> {
    let rows = definitions::list(conn, after, limit).await?;
    let view = |row: definitions::Summary| DefinitionView {
        name: row.name,
        version: row.version,
        status: row.status.name().to_owned(),
        hash: hex::encode(row.content_hash),
        created_at: row.created_at,
        content: None,
    };
    Ok(Page::of(rows, limit, |last| last.name.clone(), view))
}

/// One version of a definition with its document; without `version` the newest active one.
pub async fn definition(
    conn: &mut Connection,
    name: &str,
    version: Option<i32>,
) -> Result<Option<DefinitionView>, Error> {
    let row = definitions::find(conn, name, version).await?;
    Ok(row.map(|row| DefinitionView {
        name: row.name,
        version: row.version,
        status: row.status.name().to_owned(),
        hash: hex::encode(row.content_hash),
        created_at: row.created_at,
        content: Some(row.content),
    }))
}

/// A page of kept messages, newest first.
pub async fn messages(conn: &mut Connection, filter: &messages::Filter) -> Result<Page<MessageView>, Error> {
    let Fitting { rows, full } = messages::list(conn, filter).await?;
    let view = |row: messages::Listed| MessageView {
        id: row.id,
        name: row.message.name,
        key: row.message.key,
        data: row.message.data,
        received_at: row.received_at,
        expires_at: row.expires_at,
        app_id: row.message.app_id,
        message_id: row.message.message_id,
        user_id: row.message.user_id,
        instance: row.message.only.map(|id| id.0),
    };
    Ok(Page::of(rows, full, |last| last.id.to_string(), view))
}

/// A page of the audit log, newest first.
pub async fn audit(conn: &mut Connection, filter: &audit::Filter) -> Result<Page<AuditView>, Error> {
    let rows = audit::list(conn, filter).await?;
    Ok(Page::of(rows, filter.limit, |last| last.id.to_string(), |view| view))
}

/// A page of dead letters without their bodies, newest first.
pub async fn dead_letters(
    conn: &mut Connection,
    before: Option<i64>,
    limit: i64,
) -> Result<Page<DeadLetterView>, Error> {
    let rows = dead_letters::list(conn, before, limit).await?;
    let view = |row| DeadLetterView { body: None, headers: BTreeMap::new(), ..letter(row) };
    Ok(Page::of(rows, limit, |last| last.id.to_string(), view))
}

/// One dead letter with its body.
pub async fn dead_letter(conn: &mut Connection, id: i64) -> Result<Option<DeadLetterView>, Error> {
    Ok(dead_letters::find(conn, id).await?.map(letter))
}

fn letter(row: dead_letters::StoredLetter) -> DeadLetterView {
    let (body, body_hex) = shown(&row.letter.body);
    DeadLetterView {
        id: row.id,
        received_at: row.received_at,
        reason: row.letter.reason,
        source: row.letter.source,
        exchange: row.letter.exchange,
        routing_key: row.letter.routing_key,
        kind: row.letter.kind,
        app_id: row.letter.app_id,
        message_id: row.letter.message_id,
        user_id: row.letter.user_id,
        instance: row.letter.instance_id.map(|id| id.0),
        failures: row.failures,
        failed_at: row.failed_at,
        redriven: row.redriven,
        redriven_at: row.redriven_at,
        headers: row.letter.headers,
        body_bytes: row.body_bytes,
        body,
        body_hex,
    }
}

/// The beginning of a body: as text if it is one, in hexadecimal otherwise.
fn shown(body: &[u8]) -> (Option<String>, Option<String>) {
    let (shown, is_cut) = match body.get(..BODY_SHOWN_MAX) {
        Some(shown) if body.len() > BODY_SHOWN_MAX => (shown, true),
        Some(_) | None => (body, false),
    };
    match std::str::from_utf8(shown) {
        Ok(text) => (Some(text.to_owned()), None),
        // Cut within a character.
        Err(error) if is_cut && error.error_len().is_none() => {
            (Some(String::from_utf8_lossy(&shown[..error.valid_up_to()]).into_owned()), None)
        }
        Err(_) => (None, Some(hex::encode(shown))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_shown_as_text_if_it_is_text() {
        assert_eq!(shown(b"{}"), (Some("{}".into()), None));
        assert_eq!(shown(&[0xff, 0, 1]), (None, Some("ff0001".into())));
        let long = format!("{}é", "x".repeat(BODY_SHOWN_MAX - 1));
        assert_eq!(shown(long.as_bytes()), (Some("x".repeat(BODY_SHOWN_MAX - 1)), None));
        assert_eq!(shown(&[0xc3]), (None, Some("c3".into())), "a text that ends within a character is none");
    }
}

//! The dispatch of calls: wake-ups, requests to external workers, and attempts that begin with their tokens. It does not use the
//! pipeline, because the pipeline uses it.

use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::publish::encode;
use crate::app::App;
use crate::broker::DEADLINE;
use crate::broker::topology::CALLS_KEY;
use crate::contract::{self, Exchange, WorkRequest};
use crate::engine::{Call, CallId, CallKind, CallPurpose, Instance};
use crate::store::calls::{self, Begun, Longest, Sent};
use crate::store::outbox::OutboxRow;
use crate::store::{self, Transaction, outbox, targets};
use crate::time::duration;

/// What is published in the commit that opens a call.
pub(super) struct OpenedCall {
    /// The request or a wake-up; nothing if a caller of this process is woken in memory.
    pub(super) row: Option<OutboxRow>,
    /// The first attempt, if it begins with this commit.
    pub(super) begun: Option<(CallId, Sent)>,
}

/// The request of a call to an external worker, or a wake-up for the callers.
pub(super) fn opened(app: &App, instance: &Instance, call: &Call, now: Timestamp) -> Result<OpenedCall, store::Error> {
    // The callers check limits: a call with limits is left to them.
    if call.kind == CallKind::Http || call.limits.is_some() {
        // A caller of this process is woken in memory. Other processes also poll.
        let row = if app.makes_calls() { None } else { Some(wake_up(app, call.id)?) };
        return Ok(OpenedCall { row, begun: None });
    }
    let token = AttemptToken::new(1);
    let after = |time: Duration| now.checked_add(time).ok();
    let deadline = [call.timeout.and_then(after), call.until].into_iter().flatten().min();
    let begun = Begun {
        id: call.id,
        instance: instance.id,
        bookmark: call.bookmark,
        activity: call.activity.clone(),
        dispatch: 1,
        attempt: 1,
        kind: call.kind,
        target: call.target.clone(),
        request: call.request.clone(),
        purpose: CallPurpose::Attempt,
        callback: false,
        heartbeat: call.heartbeat,
        timeout: call.timeout,
        deadline,
        trace: instance.trace.clone(),
        after_timeout: false,
    };
    let sent = Sent { token_hash: token.hash(), deadline };
    Ok(OpenedCall { row: Some(work_request(app, &begun, &token)?), begun: Some((call.id, sent)) })
}

fn wake_up(app: &App, id: CallId) -> Result<OutboxRow, store::Error> {
    let body = encode(&contract::Make { call: id.0, dispatch: 1 })?;
    Ok(row(app, Exchange::Calls, CALLS_KEY, "make", body))
}

fn row(app: &App, exchange: Exchange, routing_key: &str, kind: &str, body: Vec<u8>) -> OutboxRow {
    OutboxRow::new(app.new_id(), exchange, routing_key, kind, body)
        .with_app_id("leveret")
        .with_claimable(app.claimable())
}

/// The request to an external worker.
fn work_request(app: &App, begun: &Begun, token: &AttemptToken) -> Result<OutboxRow, store::Error> {
    let name = begun.request["name"].as_str().unwrap_or_default().to_owned();
    let request = WorkRequest {
        schema: contract::SCHEMA,
        call: begun.id.0,
        name: name.clone(),
        attempt: begun.attempt,
        token: token.text(),
        idempotency_key: begun.id.to_string(),
        deadline: begun.deadline,
        heartbeat_for: begun.heartbeat.map(duration::format),
        instance: begun.instance.0,
        activity: begun.activity.clone(),
        input: begun.request["input"].clone(),
    };
    let mut row = row(app, Exchange::Work, &name, "call", encode(&request)?)
        .with_message_id(begun.id.to_string())
        .with_instance(begun.instance)
        .with_correlation_id(begun.id.to_string())
        .with_reply_to(format!("{}.commands", app.config.broker.prefix))
        .with_header("leveret-reply-key", format!("call.complete.{name}"))
        .with_header("leveret-attempt", begun.attempt.to_string());
    if let Some(deadline) = begun.deadline {
        row = row.with_header(DEADLINE, deadline.to_string());
    }
    if let Some(trace) = &begun.trace {
        row = row.with_header("traceparent", trace);
    }
    Ok(row)
}

/// The proof that its bearer received one attempt. Only its hash is stored.
#[derive(Clone)]
pub struct AttemptToken(String);

impl AttemptToken {
    /// For the attempt with this dispatch number.
    pub fn new(dispatch: u32) -> Self {
        // Two times 122 random bits of the operating system.
        Self(format!("{dispatch}-{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()))
    }

    /// The text for the bearer.
    pub fn text(&self) -> String {
        self.0.clone()
    }

    fn hash(&self) -> [u8; 32] {
        hash(&self.0)
    }
}

/// Whether an attempt has begun.
#[derive(Debug)]
pub enum Begin<T> {
    /// It has begun.
    Begun(T),
    /// The concurrency limit is reached.
    NoRoom,
    /// Another process has begun it, or the call has changed since.
    Stale,
}

/// A concurrency limit: the most running attempts of a target, or of a key of it.
#[derive(Debug, Clone, Copy)]
pub struct AtOnce<'a> {
    /// The target.
    pub target: &'a str,
    /// The key.
    pub key: Option<&'a str>,
    /// The most running attempts.
    pub limit: u32,
}

/// Marks an attempt over HTTP as running, if its concurrency limit allows it. With the same token it may be called again after its answer
/// was lost.
pub async fn begin(
    app: &App,
    id: CallId,
    dispatch: u32,
    at_once: Option<AtOnce<'_>>,
    token: &AttemptToken,
) -> Result<Begin<Box<Begun>>, store::Error> {
    let longest = longest(app);
    let begun = match at_once {
        None => calls::mark_running(&mut *app.store.background().await?, id, dispatch, &token.hash(), longest).await?,
        Some(at_once) => {
            let mut transaction = Transaction::begin(app.store.background().await?).await?;
            if !has_room(&mut transaction, at_once).await? && !is_marked(&mut transaction, id, token).await? {
                transaction.rollback().await;
                return Ok(Begin::NoRoom);
            }
            let begun = calls::mark_running(&mut transaction, id, dispatch, &token.hash(), longest).await?;
            transaction.commit().await?;
            begun
        }
    };
    Ok(begun.map_or(Begin::Stale, |begun| Begin::Begun(Box::new(begun))))
}

/// Whether an attempt was marked with this token. It then takes one of the places itself.
async fn is_marked(transaction: &mut Transaction, id: CallId, token: &AttemptToken) -> Result<bool, store::Error> {
    let found = calls::find(transaction, id).await?;
    Ok(found.is_some_and(|place| place.state == "running" && place.token_hash.as_deref() == Some(&token.hash())))
}

fn longest(app: &App) -> Longest {
    Longest { request: app.config.outgoing.timeout_max, announced: app.config.timeouts.http }
}

async fn has_room(transaction: &mut Transaction, at_once: AtOnce<'_>) -> Result<bool, store::Error> {
    targets::has_room(transaction, at_once.target, at_once.key, at_once.limit).await
}

/// Writes the request to an external worker in the transaction that marks the attempt as running, if its concurrency limit allows
/// it.
pub async fn send_to_external_worker(
    app: &App,
    id: CallId,
    dispatch: u32,
    at_once: Option<AtOnce<'_>>,
) -> Result<Begin<()>, store::Error> {
    let token = AttemptToken::new(dispatch);
    let mut transaction = Transaction::begin(app.store.background().await?).await?;
    if let Some(at_once) = at_once
        && !has_room(&mut transaction, at_once).await?
    {
        transaction.rollback().await;
        return Ok(Begin::NoRoom);
    }
    let longest = longest(app);
    let Some(begun) = calls::mark_running(&mut transaction, id, dispatch, &token.hash(), longest).await? else {
        transaction.rollback().await;
        return Ok(Begin::Stale);
    };
    let rows = vec![work_request(app, &begun, &token)?];
    outbox::push(&mut transaction, &rows).await?;
    transaction.commit().await?;
    app.publish(rows);
    Ok(Begin::Begun(()))
}

/// The hash that is stored of a token.
pub(super) fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

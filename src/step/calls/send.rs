//! Calls on their way out: wake-ups, requests to workers, attempts that begin, and the tokens that prove them.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::super::publish::encode;
use crate::app::App;
use crate::contract::{self, WorkRequest};
use crate::engine::{Call, CallId, CallKind, CallPurpose, Instance};
use crate::store::calls::{self, Begun, Longest, Sent};
use crate::store::outbox::OutboxRow;
use crate::store::{self, Transaction, outbox, targets};
use crate::time::duration;

/// What goes out with a call that is opened, and of which call the attempt begins with that.
pub(in crate::step) type Opened = (Option<OutboxRow>, Option<(CallId, Sent)>);

/// The row that says a call is to be made, if somebody has to be told; where its request goes out with the same commit, that
/// request instead.
pub(in crate::step) fn opened(
    app: &App,
    instance: &Instance,
    call: &Call,
    now: Timestamp,
) -> Result<Opened, store::Error> {
    // What is limited goes the way on which limits are looked at.
    if call.kind == CallKind::Http || call.limits.is_some() {
        // A process that makes calls itself is told in memory, and any other looks every now and then.
        let wake_up = if app.makes_calls() { None } else { Some(wake_up(app, call.id, 1)?) };
        return Ok((wake_up, None));
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
    };
    let sent = Sent { token_hash: token.hash(), deadline };
    Ok((Some(work_request(app, &begun, &token)?), Some((call.id, sent))))
}

fn wake_up(app: &App, id: CallId, dispatch: u32) -> Result<OutboxRow, store::Error> {
    let body = encode(&contract::Make { call: id.0, dispatch })?;
    Ok(row(app, ("calls", crate::broker::topology::CALLS_KEY, "make"), BTreeMap::new(), body))
}

fn row(
    app: &App,
    (exchange, routing_key, kind): (&str, &str, &str),
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
) -> OutboxRow {
    OutboxRow {
        id: app.new_id(),
        exchange: exchange.into(),
        routing_key: routing_key.into(),
        kind: kind.into(),
        app_id: Some("leveret".into()),
        message_id: None,
        headers,
        body,
        due_at: None,
        instance_id: None,
        claimable: app.claimable(),
    }
}

/// The message to a worker.
fn work_request(app: &App, begun: &Begun, token: &AttemptToken) -> Result<OutboxRow, store::Error> {
    let name = begun.request["name"].as_str().unwrap_or_default().to_owned();
    let mut headers = BTreeMap::new();
    let mut add = |header: &str, value: String| headers.insert(header.to_owned(), value);
    add("correlation_id", begun.id.to_string());
    add("reply_to", format!("{}.commands", app.config.broker.prefix));
    add("leveret-reply-key", format!("call.complete.{name}"));
    add("leveret-attempt", begun.attempt.to_string());
    begun.deadline.map(|deadline| add("leveret-deadline", deadline.to_string()));
    begun.trace.clone().map(|trace| add("traceparent", trace));
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
    let row = row(app, ("work", &name, "call"), headers, encode(&request)?);
    Ok(OutboxRow { message_id: Some(begun.id.to_string()), instance_id: Some(begun.instance), ..row })
}

/// What proves that somebody was given an attempt. Never kept: the table has its hash.
#[derive(Clone)]
pub struct AttemptToken(String);

impl AttemptToken {
    fn new(dispatch: u32) -> Self {
        // Each is 122 bits of the operating system's chance.
        Self(format!("{dispatch}-{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()))
    }

    /// The text that is handed out.
    pub fn text(&self) -> String {
        self.0.clone()
    }

    fn hash(&self) -> [u8; 32] {
        hash(&self.0)
    }
}

/// Whether an attempt was begun.
#[derive(Debug)]
pub enum Begin<T> {
    /// It was.
    Begun(T),
    /// As many are under way as may be.
    NoRoom,
    /// Somebody else has it, or it is no longer to be made.
    Stale,
}

/// How many attempts may be under way for a target, or for a key of it.
#[derive(Debug, Clone, Copy)]
pub struct AtOnce<'a> {
    /// The target.
    pub target: &'a str,
    /// The key.
    pub key: Option<&'a str>,
    /// So many.
    pub limit: u32,
}

/// Marks an attempt over HTTP as begun, if there is room for it.
pub async fn begin(
    app: &App,
    id: CallId,
    dispatch: u32,
    at_once: Option<AtOnce<'_>>,
) -> Result<Begin<Box<(Begun, AttemptToken)>>, store::Error> {
    let token = AttemptToken::new(dispatch);
    let longest = longest(app);
    let begun = match at_once {
        None => calls::mark_running(&mut *app.store.background().await?, id, dispatch, &token.hash(), longest).await?,
        Some(at_once) => {
            let mut transaction = Transaction::begin(app.store.background().await?).await?;
            if !has_room(&mut transaction, at_once).await? {
                transaction.rollback().await;
                return Ok(Begin::NoRoom);
            }
            let begun = calls::mark_running(&mut transaction, id, dispatch, &token.hash(), longest).await?;
            transaction.commit().await?;
            begun
        }
    };
    Ok(begun.map_or(Begin::Stale, |begun| Begin::Begun(Box::new((begun, token)))))
}

fn longest(app: &App) -> Longest {
    Longest { request: app.config.outgoing.timeout_max, announced: app.config.timeouts.http }
}

async fn has_room(transaction: &mut Transaction, at_once: AtOnce<'_>) -> Result<bool, store::Error> {
    targets::has_room(transaction, at_once.target, at_once.key, at_once.limit).await
}

/// Sends a request to a worker, in the transaction that marks the attempt as begun, if there is room for it.
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

/// What the table keeps of a token.
pub(super) fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

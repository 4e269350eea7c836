//! Calls on their way out: wake-ups, requests to workers, attempts that begin, and the tokens that prove them.

use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::super::publish::encode;
use crate::app::App;
use crate::broker::topology::CALLS_KEY;
use crate::contract::{self, Exchange, WorkRequest};
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
    let token = Token::new(1);
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
    Ok(row(app, Exchange::Calls, CALLS_KEY, "make", body))
}

fn row(app: &App, exchange: Exchange, routing_key: &str, kind: &str, body: Vec<u8>) -> OutboxRow {
    OutboxRow::new(app.new_id(), exchange, routing_key, kind, body)
        .with_app_id("leveret")
        .with_claimable(app.claimable())
}

/// The message to a worker.
fn work_request(app: &App, begun: &Begun, token: &Token) -> Result<OutboxRow, store::Error> {
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
        row = row.with_header("leveret-deadline", deadline.to_string());
    }
    if let Some(trace) = &begun.trace {
        row = row.with_header("traceparent", trace);
    }
    Ok(row)
}

/// What proves that somebody was given an attempt. Never kept: the table has its hash.
#[derive(Clone)]
pub struct Token(String);

impl Token {
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
    Gone,
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
) -> Result<Begin<Box<(Begun, Token)>>, store::Error> {
    let token = Token::new(dispatch);
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
    Ok(begun.map_or(Begin::Gone, |begun| Begin::Begun(Box::new((begun, token)))))
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
    let token = Token::new(dispatch);
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
        return Ok(Begin::Gone);
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

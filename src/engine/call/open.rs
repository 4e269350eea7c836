//! Opening a call: everything its definition says is evaluated now, and stands in the call's own row from then on.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::contract::BODY_MAX;
use crate::definition::{self, Retries, Timeout};

use super::super::admit::Stand;
use super::super::fault::Stop;
use super::super::turn::Turn;
use super::super::{Bookmark, BookmarkKind, Effect, EntryKind, Failure, Phase, WaitOn, assign as values, scope};
use super::request::target;
use super::{Call, CallId, CallKind, REQUEST_MAX};

/// What is asked, of whom.
struct Asked {
    kind: CallKind,
    target: String,
    request: Value,
    probe: Option<Value>,
    heartbeat: Option<Duration>,
    callback: bool,
}

impl<'a> Turn<'a> {
    /// Opens a request over HTTP and waits for its outcome.
    pub(in crate::engine) fn open_http(&mut self, stand: Stand<'a>, http: &'a definition::Http) -> Result<(), Stop> {
        let sight = self.sight(stand);
        let request = sight.request(http)?;
        let asked = Asked {
            kind: CallKind::Http,
            target: target(&request["url"])?,
            probe: http.probe.as_ref().map(|probe| sight.probe(probe)).transpose()?,
            heartbeat: None,
            callback: http.callback,
            request,
        };
        within(&asked.request, REQUEST_MAX)?;
        let timeout = self.attempt_timeout(stand, self.context.http_timeout)?;
        self.open_call(stand, asked, timeout)
    }

    /// Asks a worker and waits for its reply.
    pub(in crate::engine) fn open_work(&mut self, stand: Stand<'a>, call: &'a definition::Call) -> Result<(), Stop> {
        let sight = self.sight(stand);
        let input = sight.value(&call.input)?;
        // What goes round in a message is bounded like every message; the envelope has its share.
        within(&input, BODY_MAX - BODY_MAX / 16)?;
        let asked = Asked {
            kind: CallKind::Work,
            target: format!("work:{}", call.name),
            request: json!({ "name": call.name, "input": input }),
            probe: None,
            heartbeat: call.heartbeat.as_ref().map(|heartbeat| sight.duration(heartbeat)).transpose()?,
            callback: false,
        };
        let timeout = self.attempt_timeout(stand, self.context.call_timeout)?;
        self.open_call(stand, asked, timeout)
    }

    fn attempt_timeout(&self, stand: Stand<'a>, default: Duration) -> Result<Option<Duration>, Failure> {
        match &stand.activity.timeout {
            Timeout::Default => Ok(Some(default)),
            Timeout::None => Ok(None),
            Timeout::After(template) => self.sight(stand).duration(template).map(Some),
        }
    }

    fn open_call(&mut self, stand: Stand<'a>, asked: Asked, timeout: Option<Duration>) -> Result<(), Stop> {
        let limits = stand.activity.limits.as_ref().map(|limits| self.sight(stand).limits(limits)).transpose()?;
        let now = self.context.now;
        // The whole call is what `within` bounds, not only what follows the first failure.
        self.branch_mut(stand).tried_at = Some(now);
        let until = self.until(stand);
        let details = json!({ "target": asked.target });
        let bookmark = Bookmark { details, ..self.bookmark(stand, BookmarkKind::Call) };
        let wait = self.open_wait(bookmark, WaitOn::Call { dispatch: 1, probing: None });
        let id = CallId::of(self.instance.id, wait.bookmark);
        let mut details = Map::from_iter([("call".to_owned(), json!(id)), ("target".to_owned(), json!(asked.target))]);
        details.extend(until.map(|until| ("until".to_owned(), json!(until))));
        self.record(EntryKind::CallOpened, stand, Value::Object(details));
        self.push(Effect::OpenCall(Box::new(Call {
            id,
            bookmark: wait.bookmark,
            activity: stand.activity.id.clone(),
            kind: asked.kind,
            target: asked.target,
            request: asked.request,
            probe: asked.probe,
            timeout,
            heartbeat: asked.heartbeat,
            until,
            callback: asked.callback,
            limits,
            opened_at: now,
        })));
        self.branch_mut(stand).phase = Phase::Waiting(vec![wait]);
        Ok(())
    }

    /// When the last attempt ends at the latest: the longest `within` of the policies, if all have one.
    pub(super) fn until(&self, stand: Stand<'a>) -> Option<Timestamp> {
        let Retries::Policies(policies) = &stand.activity.retry else { return None };
        let longest = policies.iter().map(|policy| policy.within).collect::<Option<Vec<_>>>()?.into_iter().max()?;
        scope::later(self.branch(stand).tried_at?, longest)
    }
}

fn within(request: &Value, bytes_max: usize) -> Result<(), Failure> {
    let bytes = values::size(request);
    if bytes <= bytes_max {
        return Ok(());
    }
    Err(Failure::new(
        "limit.request",
        format!("the request would take {bytes} bytes, more than the allowed {bytes_max}"),
    ))
}

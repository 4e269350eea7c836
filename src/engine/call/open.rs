//! Opens a call: its expressions are evaluated once, and every attempt uses the values in its row.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::contract::BODY_MAX;
use crate::definition::{self, Retries, Timeout};

use super::super::admit::Position;
use super::super::failure::Incomplete;
use super::super::transition::Transition;
use super::super::{Bookmark, BookmarkKind, Effect, EntryKind, Failure, Phase, WaitOn, assign as values, scope};
use super::request::target;
use super::{Call, CallId, CallKind, REQUEST_MAX};

/// The request of a call, and how it is sent.
struct CallRequest {
    kind: CallKind,
    target: String,
    /// What is sent, with places for secrets.
    body: Value,
    probe: Option<Value>,
    heartbeat: Option<Duration>,
    callback: bool,
}

impl<'a> Transition<'a> {
    /// Opens a call over HTTP and waits for its outcome.
    pub(in crate::engine) fn open_http(
        &mut self,
        position: Position<'a>,
        http: &'a definition::Http,
    ) -> Result<(), Incomplete> {
        let scope = self.scope(position);
        let body = scope.request(http)?;
        let request = CallRequest {
            kind: CallKind::Http,
            target: target(&body["url"])?,
            probe: http.probe.as_ref().map(|probe| scope.probe(probe)).transpose()?,
            heartbeat: None,
            callback: http.callback,
            body,
        };
        within(&request.body, REQUEST_MAX)?;
        let timeout = self.attempt_timeout(position, self.context.http_timeout)?;
        self.open_call(position, request, timeout)
    }

    /// Opens a call to an external worker and waits for its outcome.
    pub(in crate::engine) fn open_work(
        &mut self,
        position: Position<'a>,
        call: &'a definition::Call,
    ) -> Result<(), Incomplete> {
        let scope = self.scope(position);
        let name = scope.text(&call.name)?;
        if !definition::is_free_name(&name) {
            // It may be data of a customer: the message shows the template.
            let (source, rule) = (call.name.source(), definition::free_name_rule());
            let message = format!("the value of `{source}` is not a name of work: {rule}");
            return Err(Failure::new("expression", message).into());
        }
        let input = scope.value(&call.input)?;
        // The message has a size limit; a part of it is left for the envelope.
        within(&input, BODY_MAX - BODY_MAX / 16)?;
        let request = CallRequest {
            kind: CallKind::Work,
            target: format!("work:{name}"),
            body: json!({ "name": name, "input": input }),
            probe: None,
            heartbeat: call.heartbeat.as_ref().map(|heartbeat| scope.duration(heartbeat)).transpose()?,
            callback: false,
        };
        let timeout = self.attempt_timeout(position, self.context.call_timeout)?;
        self.open_call(position, request, timeout)
    }

    fn attempt_timeout(&self, position: Position<'a>, default: Duration) -> Result<Option<Duration>, Failure> {
        match &position.activity.timeout {
            Timeout::Default => Ok(Some(default)),
            Timeout::None => Ok(None),
            Timeout::After(template) => self.scope(position).duration(template).map(Some),
        }
    }

    fn open_call(
        &mut self,
        position: Position<'a>,
        request: CallRequest,
        timeout: Option<Duration>,
    ) -> Result<(), Incomplete> {
        let limits = position.activity.limits.as_ref().map(|limits| self.scope(position).limits(limits)).transpose()?;
        let now = self.context.now;
        // Of a call, `within` limits the whole duration, not only the time after the first failure.
        self.branch_mut(position).tried_at = Some(now);
        let until = self.until(position);
        let details = json!({ "target": request.target });
        let bookmark = Bookmark { details, ..self.bookmark(position, BookmarkKind::Call) };
        let wait = self.open_wait(bookmark, WaitOn::Call { dispatch: 1, probing: None, accepted: false });
        let id = CallId::of(self.instance.id, wait.bookmark);
        let mut details =
            Map::from_iter([("call".to_owned(), json!(id)), ("target".to_owned(), json!(request.target))]);
        details.extend(until.map(|until| ("until".to_owned(), json!(until))));
        self.record(EntryKind::CallOpened, position, Value::Object(details));
        self.push(Effect::OpenCall(Box::new(Call {
            id,
            bookmark: wait.bookmark,
            activity: position.activity.id.clone(),
            kind: request.kind,
            target: request.target,
            request: request.body,
            probe: request.probe,
            timeout,
            heartbeat: request.heartbeat,
            until,
            callback: request.callback,
            limits,
            opened_at: now,
        })));
        self.branch_mut(position).phase = Phase::Waiting(vec![wait]);
        Ok(())
    }

    /// When the last attempt ends at the latest: the longest `within` of the policies, if all have one.
    pub(super) fn until(&self, position: Position<'a>) -> Option<Timestamp> {
        let Retries::Policies(policies) = &position.activity.retry else { return None };
        let longest = policies.iter().map(|policy| policy.within).collect::<Option<Vec<_>>>()?.into_iter().max()?;
        scope::later(self.branch(position).tried_at?, longest)
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

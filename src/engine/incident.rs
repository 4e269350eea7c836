//! Incidents: a failure that nothing handles suspends the instance, and its branch waits for a person.

use serde_json::{Map, Value, json};

use crate::definition::Work;
use crate::fault::fingerprint;

use super::admit::Position;
use super::failure::FailedWork;
use super::transition::Transition;
use super::{Bookmark, BookmarkKind, EntryKind, Failure, Phase, Status, Wait, WaitOn, assign};

impl<'a> Transition<'a> {
    /// Suspends the instance; the branch waits for `retry`.
    pub(super) fn incident(&mut self, position: Position<'a>, failed: FailedWork) {
        let wait = self.open_incident(position, failed, Map::new());
        self.branch_mut(position).phase = Phase::Waiting(vec![wait]);
    }

    /// Suspends the instance and opens the wait for a person. `more` is told with the failure, in the history and everywhere else.
    pub(super) fn open_incident(
        &mut self,
        position: Position<'a>,
        failed: FailedWork,
        more: Map<String, Value>,
    ) -> Wait {
        let FailedWork { failure, result } = failed;
        let mut error = assign::brief(&failure);
        error.extend(more);
        self.instance.status = Status::Suspended;
        self.record(EntryKind::IncidentOpened, position, Value::Object(error.clone()));
        let fingerprint = self.fingerprint(position, &failure);
        let mut details = error.clone();
        details.insert("attempt".into(), json!(self.branch(position).attempt));
        details.extend(self.input_of_work(position).map(|input| ("input".to_owned(), assign::bounded(&input))));
        let bookmark = Bookmark {
            details: Value::Object(details),
            fingerprint: Some(fingerprint),
            ..self.bookmark(position, BookmarkKind::Intervention)
        };
        let wait = self.open_wait(bookmark, WaitOn::Intervention { failure: failure.clone(), result });
        let mut data = Map::new();
        data.insert("activity".into(), json!(position.activity.id));
        data.insert("error".into(), Value::Object(error));
        self.announce("suspended", data);
        self.notify(position, &failure, Some(wait.bookmark));
        wait
    }

    /// Publishes the event that `on_failure` names. `bookmark` is that of the incident, if one was opened.
    pub(super) fn notify(&mut self, position: Position<'a>, failure: &Failure, bookmark: Option<i64>) {
        let definition = self.definition;
        let Some(event) = &definition.notify else { return };
        let mut data = Map::new();
        data.insert("activity".into(), json!(position.activity.id));
        data.insert("error".into(), Value::Object(assign::brief(failure)));
        data.insert("attempt".into(), json!(self.branch(position).attempt));
        let group = self.fingerprint(position, failure);
        data.insert("fingerprint".into(), json!(group));
        data.insert("version".into(), json!(self.instance.version));
        data.extend(bookmark.map(|bookmark| ("bookmark".to_owned(), json!(bookmark))));
        data.extend(self.instance.key.as_ref().map(|key| ("key".to_owned(), json!(key))));
        self.publish_of_group(event, Value::Object(data), group);
    }

    fn fingerprint(&self, position: Position<'a>, failure: &Failure) -> String {
        fingerprint(&self.definition.name, &position.activity.id, &failure.code, &failure.message)
    }

    /// What the work was given, for the person who decides. A request over HTTP is in the row of its call, without its secrets.
    fn input_of_work(&self, position: Position<'a>) -> Option<Value> {
        let input = match &position.activity.work {
            Work::Run { input, .. } => input,
            Work::Call(call) => &call.input,
            Work::Set(_)
            | Work::Switch(_)
            | Work::Emit { .. }
            | Work::Wait(_)
            | Work::Receive(_)
            | Work::Raise { .. }
            | Work::End(_)
            | Work::Task(_)
            | Work::Http(_) => return None,
        };
        // The failure may be that it cannot be evaluated.
        self.scope(position).value(input).ok()
    }
}

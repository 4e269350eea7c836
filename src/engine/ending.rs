//! The end of an instance: completed, failed or cancelled.

use serde_json::{Map, Value};

use super::transition::Transition;
use super::{Audit, Effect, EntryKind, Failure, Status, TaskOutcome, assign};

/// How an instance ends.
pub(super) enum Ending {
    /// With this output.
    Completed(Value),
    /// With this error.
    Failed(Failure),
    /// By a command, or by an `end` with `cancelled`.
    Cancelled(Audit),
    /// By `terminate`.
    Terminated(Audit),
}

impl Transition<'_> {
    /// Ends the instance and closes all its waits.
    pub(super) fn end(&mut self, ending: Ending) {
        for branch in std::mem::take(&mut self.instance.state.branches) {
            for wait in branch.waits() {
                self.close_wait(wait, TaskOutcome::Cancelled);
            }
        }
        if let Some(deadline) = self.instance.state.deadline.take() {
            self.push(Effect::Close(deadline.bookmark));
        }
        if let Some(suspension) = self.instance.state.suspension.take() {
            self.push(Effect::Close(suspension));
        }
        self.instance.ended_at = Some(self.context.now);
        match ending {
            Ending::Completed(output) => {
                self.instance.status = Status::Completed;
                self.record_whole(EntryKind::InstanceCompleted, Value::Null);
                let data = Map::from_iter([("output".to_owned(), output.clone())]);
                self.instance.output = Some(output);
                self.announce("completed", data);
            }
            Ending::Failed(failure) => {
                self.instance.status = Status::Failed;
                let error = Value::Object(assign::brief(&failure));
                self.record_whole(EntryKind::InstanceFailed, error.clone());
                self.instance.error = Some(failure);
                self.announce("failed", Map::from_iter([("error".to_owned(), error)]));
            }
            Ending::Cancelled(audit) => {
                self.instance.status = Status::Cancelled;
                let details = audit.details();
                self.record_whole(EntryKind::InstanceCancelled, assign::details(details.clone()));
                self.announce("cancelled", details);
            }
            Ending::Terminated(audit) => {
                self.instance.status = Status::Cancelled;
                let mut details = audit.details();
                self.record_whole(EntryKind::InstanceTerminated, assign::details(details.clone()));
                details.insert("terminated".into(), Value::Bool(true));
                self.announce("cancelled", details);
            }
        }
    }
}

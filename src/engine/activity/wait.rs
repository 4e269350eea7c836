//! `wait`: opens a timer; and the timeout of every wait.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::definition::{Timeout, Wait};

use super::super::admit::Position;
use super::super::failure::Incomplete;
use super::super::transition::Transition;
use super::super::{self as engine, Bookmark, BookmarkKind, EntryKind, Failure, Phase, TimerKind, WaitOn};

impl<'a> Transition<'a> {
    /// Opens a timer, or completes at once if its time has passed.
    pub(super) fn wait(&mut self, position: Position<'a>, wait: &Wait) -> Result<(), Incomplete> {
        let scope = self.scope(position);
        let due_at = match wait {
            Wait::For(duration) => scope.after(duration)?,
            Wait::Until(moment) => scope.moment(moment)?,
            Wait::Cron { cron, zone } => scope.tick(cron, zone.as_ref())?,
        };
        if due_at <= self.context.now {
            return self.complete(position, Value::Null, None);
        }
        let limit = self.timeout_at(position)?;
        let mut details = Map::new();
        details.insert("due_at".into(), json!(due_at));
        let bookmark = Bookmark { due_at: Some(due_at), ..self.bookmark(position, BookmarkKind::Timer) };
        let timer = self.open_wait(bookmark, WaitOn::Timer(TimerKind::Wait));
        self.wait_on(position, vec![timer], limit, details);
        Ok(())
    }

    /// When the activity times out.
    pub(in crate::engine) fn timeout_at(&self, position: Position<'a>) -> Result<Option<Timestamp>, Failure> {
        match &position.activity.timeout {
            Timeout::Default | Timeout::None => Ok(None),
            Timeout::After(template) => self.scope(position).after(template).map(Some),
        }
    }

    /// Makes the branch wait, with a timer for the timeout.
    pub(super) fn wait_on(
        &mut self,
        position: Position<'a>,
        mut waits: Vec<engine::Wait>,
        limit: Option<Timestamp>,
        mut details: Map<String, Value>,
    ) {
        if let Some(due_at) = limit {
            details.insert("timeout_at".into(), json!(due_at));
            let bookmark = Bookmark { due_at: Some(due_at), ..self.bookmark(position, BookmarkKind::Timer) };
            waits.push(self.open_wait(bookmark, WaitOn::Timer(TimerKind::Timeout)));
        }
        self.record(EntryKind::WaitOpened, position, Value::Object(details));
        self.branch_mut(position).phase = Phase::Waiting(waits);
    }
}

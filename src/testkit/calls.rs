//! Calls of a scenario: what was sent, and what is answered.

use jiff::Timestamp;
use serde_json::Value;

use super::memory::Memory;
use super::{Error, Scenario};
use crate::engine::{
    Audit, Call, CallChange, CallClosed, CallCommand, CallOutcome, CallPurpose, CallReport, Refusal, ReportedOutcome,
    Resolution,
};

/// A call as its row would tell of it.
#[derive(Debug, Clone)]
pub struct CallRow {
    /// As it was opened.
    pub call: Call,
    /// The attempt that runs, or runs next.
    pub attempt: u32,
    /// The number it was handed out under last.
    pub dispatch: u32,
    /// Not to be made before.
    pub due_at: Timestamp,
    /// What for.
    pub purpose: CallPurpose,
    /// Whether the target has taken it and will call back.
    pub accepted: bool,
    /// How it ended.
    pub closed: Option<CallClosed>,
    /// What came while the instance was suspended.
    pub reported: Option<(Timestamp, CallOutcome)>,
}

impl CallRow {
    pub(super) fn new(call: Call) -> Self {
        let due_at = call.opened_at;
        let purpose = CallPurpose::Attempt;
        Self { call, attempt: 1, dispatch: 1, due_at, purpose, accepted: false, closed: None, reported: None }
    }

    pub(super) fn change(&mut self, change: &CallChange) {
        match change {
            CallChange::Again { attempt, dispatch, due_at, purpose, .. } => {
                (self.attempt, self.dispatch, self.due_at, self.purpose) = (*attempt, *dispatch, *due_at, *purpose);
                (self.accepted, self.reported) = (false, None);
            }
            CallChange::Await { .. } => self.accepted = true,
            CallChange::Unknown { dispatch, .. } => self.dispatch = *dispatch,
        }
    }
}

impl Memory {
    /// Outcomes that came while the instance was suspended.
    pub(super) fn reported(&self) -> Vec<ReportedOutcome> {
        let open = self.calls.values().filter(|known| known.closed.is_none());
        let reported = open.filter_map(|known| {
            let (at, outcome) = known.reported.clone()?;
            Some(ReportedOutcome { bookmark: known.call.bookmark, dispatch: known.dispatch, at, outcome })
        });
        reported.collect()
    }
}

impl Scenario {
    /// Every call there ever was, in the order they were opened.
    pub fn calls(&self) -> Vec<&CallRow> {
        let mut calls: Vec<&CallRow> = self.memory.calls.values().collect();
        calls.sort_by_key(|known| known.call.bookmark);
        calls
    }

    /// The open call, if there is one.
    pub fn open_call(&self) -> Option<&CallRow> {
        self.memory.calls.values().find(|known| known.closed.is_none())
    }

    /// Turns the clock to when the open call is due, and lets an attempt at it end like this.
    ///
    /// # Errors
    /// [`Error::NotStarted`] if no call is open; and what [`Scenario::apply`] says.
    pub fn complete_call(&mut self, outcome: CallOutcome) -> Result<(), Error> {
        let Some(known) = self.open_call() else { return Err(Error::NotStarted) };
        let (id, bookmark, dispatch, due_at) = (known.call.id, known.call.bookmark, known.dispatch, known.due_at);
        self.now = self.now.max(due_at);
        match self.apply(CallCommand { bookmark, report: CallReport::Completed { dispatch, outcome: outcome.clone() } })
        {
            Err(Error::Refused(Refusal::Suspended)) => {
                let now = self.now;
                self.memory.calls.entry(id).and_modify(|known| known.reported = Some((now, outcome)));
                Ok(())
            }
            other => other.and_then(|()| self.drive()),
        }
    }

    /// Lets the target of the open call answer with a status and a body.
    ///
    /// # Errors
    /// As for [`Scenario::complete_call`].
    pub fn respond(&mut self, status: u16, body: Value) -> Result<(), Error> {
        let headers = serde_json::Map::new();
        self.complete_call(CallOutcome::Answered { status, headers, body, cut: None, retry_after_ms: None })
    }

    /// Tells what became of the open call.
    ///
    /// # Errors
    /// As for [`Scenario::complete_call`].
    pub fn resolve(&mut self, resolution: Resolution) -> Result<(), Error> {
        let Some(known) = self.open_call() else { return Err(Error::NotStarted) };
        let bookmark = known.call.bookmark;
        let audit = Audit { by: Some("ada".into()), reason: None };
        self.apply(CallCommand { bookmark, report: CallReport::Resolved { resolution, audit } })?;
        self.drive()
    }
}

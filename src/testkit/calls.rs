//! Calls of a scenario, and their outcomes.

use jiff::Timestamp;
use serde_json::Value;

use super::memory::Memory;
use super::{Error, Scenario};
use crate::engine::{
    Audit, Call, CallChange, CallClosed, CallCommand, CallOutcome, CallPurpose, CallReport, Refusal, ReportedOutcome,
    Resolution,
};

/// The row of a call.
#[derive(Debug, Clone)]
pub struct CallRow {
    /// As it was opened.
    pub call: Call,
    /// The current or next attempt.
    pub attempt: u32,
    /// Its dispatch number.
    pub dispatch: u32,
    /// When it is due.
    pub due_at: Timestamp,
    /// An attempt or a probe.
    pub purpose: CallPurpose,
    /// Whether the target has accepted it and will call back.
    pub accepted: bool,
    /// How it ended.
    pub closed: Option<CallClosed>,
    /// The outcome that arrived while the instance was suspended.
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
    /// Outcomes that arrived while the instance was suspended.
    pub(super) fn reported(&self) -> Vec<ReportedOutcome> {
        let open = self.calls.values().filter(|row| row.closed.is_none());
        let reported = open.filter_map(|row| {
            let (at, outcome) = row.reported.clone()?;
            Some(ReportedOutcome { bookmark: row.call.bookmark, dispatch: row.dispatch, at, outcome })
        });
        reported.collect()
    }
}

impl Scenario {
    /// All calls, open and closed, in the order in which they were opened.
    pub fn calls(&self) -> Vec<&CallRow> {
        let mut calls: Vec<&CallRow> = self.memory.calls.values().collect();
        calls.sort_by_key(|row| row.call.bookmark);
        calls
    }

    /// The open call, if there is one.
    pub fn open_call(&self) -> Option<&CallRow> {
        self.memory.calls.values().find(|row| row.closed.is_none())
    }

    /// Advances the clock to when the open call is due, and ends an attempt with this outcome.
    ///
    /// # Errors
    /// [`Error::NotStarted`] if no call is open; and the errors of [`Scenario::apply`].
    pub fn complete_call(&mut self, outcome: CallOutcome) -> Result<(), Error> {
        let Some(row) = self.open_call() else { return Err(Error::NotStarted) };
        let (id, bookmark, dispatch, due_at) = (row.call.id, row.call.bookmark, row.dispatch, row.due_at);
        self.now = self.now.max(due_at);
        match self.apply(CallCommand { bookmark, report: CallReport::Completed { dispatch, outcome: outcome.clone() } })
        {
            Err(Error::Refused(Refusal::Suspended)) => {
                let now = self.now;
                self.memory.calls.entry(id).and_modify(|row| row.reported = Some((now, outcome)));
                Ok(())
            }
            other => other.and_then(|()| self.drive()),
        }
    }

    /// Ends an attempt at the open call with an answer of this status and body.
    ///
    /// # Errors
    /// As for [`Scenario::complete_call`].
    pub fn respond(&mut self, status: u16, body: Value) -> Result<(), Error> {
        let headers = serde_json::Map::new();
        self.complete_call(CallOutcome::Answered { status, headers, body, cut: None, retry_after_ms: None })
    }

    /// Resolves the open call.
    ///
    /// # Errors
    /// As for [`Scenario::complete_call`].
    pub fn resolve(&mut self, resolution: Resolution) -> Result<(), Error> {
        let Some(row) = self.open_call() else { return Err(Error::NotStarted) };
        let bookmark = row.call.bookmark;
        let audit = Audit { by: Some("ada".into()), reason: None };
        self.apply(CallCommand { bookmark, report: CallReport::Resolved { resolution, audit } })?;
        self.drive()
    }
}

//! What is known of the activities and ways of a graph: of one instance from its history, of many from counts.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::Way;
use crate::contract::api::{HistoryView, InstanceSummary};
use crate::engine::{EntryKind, Status};

/// Marks of activities and ways; empty for a definition alone.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overlay {
    activities: BTreeMap<String, Mark>,
    walks: BTreeMap<Passage, Walk>,
}

/// A way by the ids of its activities.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Passage {
    /// None for the start.
    pub from: Option<String>,
    /// None for the end.
    pub to: Option<String>,
    /// Why it was taken.
    pub way: Way,
}

/// What is known of one activity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mark {
    /// How often it was ended.
    pub visits: u64,
    /// The most telling state.
    pub state: State,
}

/// The state of an activity in an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It was done.
    Done,
    /// Its condition did not hold.
    Skipped,
    /// Its error was handled.
    Caught,
    /// A branch stands there.
    Present,
    /// A branch stands there, and nothing goes on: the instance is suspended.
    Stuck,
    /// The instance failed there.
    Failed,
}

impl State {
    /// The class in a drawing.
    pub fn name(self) -> &'static str {
        match self {
            State::Done => "done",
            State::Skipped => "skipped",
            State::Caught => "caught",
            State::Present => "present",
            State::Stuck => "stuck",
            State::Failed => "failed",
        }
    }
}

/// What is known of one way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Walk {
    /// How often it was gone.
    pub count: u64,
    /// From the end of the activity before to the end of the activity after, on average.
    pub time: Option<Duration>,
}

impl Overlay {
    /// The mark of an activity.
    pub fn mark(&self, activity: &str) -> Option<Mark> {
        self.activities.get(activity).copied()
    }

    /// What is known of a way.
    pub fn walk(&self, passage: &Passage) -> Option<Walk> {
        self.walks.get(passage).copied()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.activities.is_empty() && self.walks.is_empty()
    }

    /// The path of one instance. The history may be cut at its end.
    pub fn of_instance(instance: &InstanceSummary, history: &[HistoryView]) -> Self {
        let mut path = Path::default();
        history.iter().for_each(|entry| path.read(entry));
        let suspended = instance.status == Status::Suspended.name();
        for activity in &instance.at {
            path.stand(activity, if suspended { State::Stuck } else { State::Present });
        }
        path.overlay
    }

    /// Counts of many instances: how often each way was gone, and how long it took on average.
    pub fn of_many(counts: impl IntoIterator<Item = (Passage, Walk)>) -> Self {
        let walks: BTreeMap<Passage, Walk> = counts.into_iter().collect();
        let mut activities: BTreeMap<String, Mark> = BTreeMap::new();
        for (passage, walk) in &walks {
            if let Some(to) = &passage.to {
                let mark = activities.entry(to.clone()).or_insert(Mark { visits: 0, state: State::Done });
                mark.visits += walk.count;
            }
        }
        Self { activities, walks }
    }
}

/// Where a branch was last.
#[derive(Debug, Clone)]
struct Last {
    activity: Option<String>,
    at: Timestamp,
    way: Way,
}

#[derive(Default)]
struct Path {
    overlay: Overlay,
    /// By branch. None after a jump, which leads along no way.
    last: BTreeMap<i32, Option<Last>>,
    /// The branch of the last entry that has one: the end of an instance is an entry without.
    latest: i32,
    started: Option<Timestamp>,
}

impl Path {
    fn read(&mut self, entry: &HistoryView) {
        let is = |kind: EntryKind| entry.kind == kind.name();
        self.latest = entry.branch.unwrap_or(self.latest);
        if is(EntryKind::InstanceStarted) {
            self.started = Some(entry.at);
        } else if is(EntryKind::BranchJumped) || is(EntryKind::BranchRerun) {
            self.last.insert(self.latest, None);
        } else if is(EntryKind::InstanceCompleted) {
            self.arrive(entry, None, Way::Done);
        } else if is(EntryKind::ActivityCompleted) {
            self.ended(entry, State::Done);
        } else if is(EntryKind::ActivitySkipped) {
            self.ended(entry, State::Skipped);
        } else if is(EntryKind::ErrorCaught) {
            self.ended(entry, State::Caught);
        } else if is(EntryKind::ActivityFailed) {
            // A later attempt or handler replaces it; what nothing replaced is where the instance failed.
            if let Some(activity) = &entry.activity {
                let visits = self.overlay.mark(activity).map_or(0, |mark| mark.visits);
                self.overlay.activities.insert(activity.clone(), Mark { visits, state: State::Failed });
            }
        }
    }

    fn ended(&mut self, entry: &HistoryView, state: State) {
        let Some(activity) = &entry.activity else { return };
        self.arrive(entry, Some(activity), if state == State::Caught { Way::Error } else { Way::Done });
        let visits = self.overlay.mark(activity).map_or(0, |mark| mark.visits);
        self.overlay.activities.insert(activity.clone(), Mark { visits: visits + 1, state });
    }

    /// A way to this activity, or to the end, was gone. `leaves_by` is how the next one begins.
    fn arrive(&mut self, entry: &HistoryView, activity: Option<&str>, leaves_by: Way) {
        let branch = self.latest;
        let start = self.started.map(|at| Last { activity: None, at, way: Way::Done });
        let last = self.last.get(&branch).cloned().unwrap_or(start);
        if let Some(last) = last {
            let passage = Passage { from: last.activity, to: activity.map(str::to_owned), way: last.way };
            let time = entry.at.duration_since(last.at).unsigned_abs();
            self.go(passage, Some(time));
        }
        let here = Last { activity: activity.map(str::to_owned), at: entry.at, way: leaves_by };
        self.last.insert(branch, Some(here));
    }

    fn go(&mut self, passage: Passage, time: Option<Duration>) {
        let walk = self.overlay.walks.entry(passage).or_insert(Walk { count: 0, time: None });
        let total = walk.time.unwrap_or_default() * u32::try_from(walk.count).unwrap_or(u32::MAX);
        walk.count += 1;
        if let Some(time) = time {
            walk.time = Some((total + time) / u32::try_from(walk.count).unwrap_or(u32::MAX));
        }
    }

    /// A branch stands at this activity now.
    fn stand(&mut self, activity: &str, state: State) {
        let visits = self.overlay.activities.get(activity).map_or(0, |mark| mark.visits);
        self.overlay.activities.insert(activity.to_owned(), Mark { visits, state });
        let froms: Vec<Passage> = self
            .last
            .values()
            .flatten()
            .map(|last| Passage { from: last.activity.clone(), to: Some(activity.to_owned()), way: last.way })
            .collect();
        let start = Passage { from: None, to: Some(activity.to_owned()), way: Way::Done };
        let passages = if self.last.is_empty() { vec![start] } else { froms };
        for passage in passages {
            self.go(passage, None);
        }
    }
}

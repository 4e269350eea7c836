//! `rerun` of an instance that has ended: a new instance begins at one of its activities, with its variables.
//!
//! The ended one is not touched. Its history is complete, its key may belong to another instance by now, senders hold answers that it has
//! ended, and its retention counts from its end. So it stays ended, and what it did is done.

use serde_json::{Map, json};

use crate::definition::Definition;

use super::super::transition::Transition;
use super::super::{
    Audit, BranchId, Context, EntryKind, Instance, InstanceId, Phase, ROOT, Refusal, State, Status, Step, admit, assign,
};
use super::start::open_deadline;
use crate::engine::Branch;

/// What a restart needs besides the ended instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Restart {
    /// The id of the new instance.
    pub id: InstanceId,
    /// The activity at which it begins.
    pub from: String,
    /// Who asked for it, and why.
    pub audit: Audit,
    /// The user of the broker who sent the command, where the broker has verified one.
    pub user_id: Option<String>,
    /// W3C trace context.
    pub trace: Option<String>,
}

/// Decides the start of an instance that does again what an ended one did.
///
/// # Errors
/// [`Refusal::NotEnded`], [`Refusal::NoActivity`], [`Refusal::NeverBegun`]; [`Refusal::Input`] for the `timeout` of the definition.
pub fn restart(
    definition: &Definition,
    ended: &Instance,
    restart: Restart,
    context: &Context<'_>,
) -> Result<Step, Refusal> {
    if !ended.status.has_ended() {
        return Err(Refusal::NotEnded);
    }
    admit::activity_begun(definition, ended, &restart.from)?;
    let Restart { id, from, audit, user_id, trace } = restart;
    let state = State {
        branches: vec![branch(ROOT, &from)],
        // Loops go on counting, and who may not do a second task stays excluded.
        visits: ended.state.visits.clone(),
        actors: ended.state.actors.clone(),
        bookmarks: 1,
        ..State::default()
    };
    let instance = Instance {
        id,
        status: Status::Running,
        revision: 0,
        output: None,
        error: None,
        state,
        history_count: 0,
        history_hash: [0; 32],
        started_at: context.now,
        started_by: audit.by.clone(),
        user_id,
        ended_at: None,
        trace,
        ..ended.clone()
    };
    let mut transition = Transition::new(definition, context, instance, "rerun");
    transition.indexes = true;
    let mut details = audit.details();
    details.insert("rerun_of".into(), json!(ended.id));
    details.insert("next".into(), json!(from));
    transition.record_whole(EntryKind::InstanceStarted, assign::details(details));
    transition.announce("started", Map::from_iter([("rerun_of".to_owned(), json!(ended.id))]));
    open_deadline(&mut transition)?;
    Ok(transition.done())
}

fn branch(id: BranchId, activity: &str) -> Branch {
    Branch {
        id,
        sequence: 0,
        activity: activity.to_owned(),
        phase: Phase::Ready,
        attempt: 1,
        steps: 0,
        crashes: 0,
        failures: Default::default(),
        tried_at: None,
    }
}

//! Starts an instance.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::definition::{Definition, Work};

use super::super::scope::Scope;
use super::super::transition::Transition;
use super::super::{
    Bookmark, BookmarkKind, Branch, Context, Deadline, EntryKind, Instance, Phase, ROOT, Refusal, Start, State, Status,
    Step, assign,
};

/// Decides the start of an instance: ready at its first activity.
///
/// # Errors
/// [`Refusal::Input`] if the input does not fit the schema, the limit of variables, or the `timeout` of the definition.
pub fn start(definition: &Definition, start: Start, context: &Context<'_>) -> Result<Step, Refusal> {
    let input = accept(definition, start.input, context)?;
    let variables = variables(definition, &input);
    assign::within(&variables, context.variables_max).map_err(|failure| Refusal::Input(vec![failure.message]))?;
    let instance = Instance {
        id: start.id,
        definition: definition.name.clone(),
        version: start.version,
        status: Status::Running,
        revision: 0,
        key: start.key,
        queue: definition.queue.clone(),
        priority: start.priority.unwrap_or(definition.priority),
        input,
        variables,
        output: None,
        error: None,
        state: State { branches: vec![root(definition)], actors: actors(definition), bookmarks: 1, ..State::default() },
        history_count: 0,
        history_hash: [0; 32],
        started_at: context.now,
        started_by: start.by,
        user_id: start.user_id,
        ended_at: None,
        trace: start.trace,
    };
    let mut transition = Transition::new(definition, context, instance, "start");
    transition.indexes = true;
    let by = transition.instance.started_by.as_ref().map_or(Value::Null, |by| json!({ "by": by }));
    transition.record_whole(EntryKind::InstanceStarted, by);
    transition.announce("started", Map::new());
    open_deadline(&mut transition)?;
    Ok(transition.done())
}

fn accept(definition: &Definition, input: Value, context: &Context<'_>) -> Result<Map<String, Value>, Refusal> {
    match (&definition.input, input) {
        (Some(schema), input) => schema.accept(&input, &context.budget).map_err(Refusal::Input),
        (None, Value::Object(input)) => Ok(input),
        (None, Value::Null) => Ok(Map::new()),
        (None, Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            Err(Refusal::Input(vec!["the input must be a JSON object".into()]))
        }
    }
}

/// The declared values; a variable with the name of an input property starts with the input's value.
fn variables(definition: &Definition, input: &Map<String, Value>) -> Map<String, Value> {
    let value = |name: &String, declared: &Value| input.get(name).unwrap_or(declared).clone();
    definition.variables.iter().map(|(name, declared)| (name.clone(), value(name, declared))).collect()
}

/// Every task activity, without an actor yet.
fn actors(definition: &Definition) -> BTreeMap<String, Option<String>> {
    let tasks = definition.activities.iter().filter(|activity| matches!(activity.work, Work::Task(_)));
    tasks.map(|activity| (activity.id.clone(), None)).collect()
}

fn root(definition: &Definition) -> Branch {
    Branch {
        id: ROOT,
        sequence: 0,
        activity: definition.first().id.clone(),
        phase: Phase::Ready,
        attempt: 1,
        steps: 0,
        crashes: 0,
        failures: Default::default(),
        tried_at: None,
    }
}

pub(super) fn open_deadline(transition: &mut Transition<'_>) -> Result<(), Refusal> {
    let Some(timeout) = &transition.definition.timeout else { return Ok(()) };
    // Only the input can make it fail: the sender gets a refusal, and no instance begins with an incident.
    let due_at = Scope::whole(&transition.instance, transition.context)
        .after(timeout)
        .map_err(|failure| Refusal::Input(vec![failure.message]))?;
    let bookmark = transition.open(Bookmark {
        number: 0,
        branch: None,
        activity: None,
        kind: BookmarkKind::Timer,
        due_at: Some(due_at),
        message: None,
        details: Value::Null,
        fingerprint: None,
    });
    transition.instance.state.deadline = Some(Deadline { bookmark, due_at });
    Ok(())
}

//! The birth of an instance.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::definition::{Definition, Work};

use super::scope::Sight;
use super::turn::Turn;
use super::{
    Bookmark, BookmarkKind, Branch, Context, Deadline, EntryKind, Instance, Phase, ROOT, Refusal, Start, State, Status,
    Step, assign,
};

/// Decides how an instance begins: ready at its first activity.
///
/// # Errors
/// [`Refusal::Input`] if the input does not fit: the schema, the bound of variables, or the definition's `timeout`.
pub fn start(definition: &Definition, start: Start, context: &Context<'_>) -> Result<Step, Refusal> {
    let input = accept(definition, start.input)?;
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
        priority: definition.priority,
        input,
        variables,
        output: None,
        error: None,
        state: State { branches: vec![root(definition)], actors: actors(definition), bookmarks: 1, ..State::default() },
        history_count: 0,
        history_hash: [0; 32],
        started_at: context.now,
        started_by: start.by,
        ended_at: None,
        trace: start.trace,
    };
    let mut turn = Turn::new(definition, context, instance, "start");
    let by = turn.instance.started_by.as_ref().map_or(Value::Null, |by| json!({ "by": by }));
    turn.record_whole(EntryKind::InstanceStarted, by);
    turn.announce("started", Map::new());
    open_deadline(&mut turn)?;
    Ok(turn.done())
}

fn accept(definition: &Definition, input: Value) -> Result<Map<String, Value>, Refusal> {
    match (&definition.input, input) {
        (Some(schema), input) => schema.accept(&input).map_err(Refusal::Input),
        (None, Value::Object(input)) => Ok(input),
        (None, Value::Null) => Ok(Map::new()),
        (None, Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            Err(Refusal::Input(vec!["the input is no object".into()]))
        }
    }
}

/// The declared values; a variable with the name of an input property begins with the input's value.
fn variables(definition: &Definition, input: &Map<String, Value>) -> Map<String, Value> {
    let value = |name: &String, declared: &Value| input.get(name).unwrap_or(declared).clone();
    definition.variables.iter().map(|(name, declared)| (name.clone(), value(name, declared))).collect()
}

/// Nobody has done any task yet.
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

fn open_deadline(turn: &mut Turn<'_>) -> Result<(), Refusal> {
    let Some(timeout) = &turn.definition.timeout else { return Ok(()) };
    // Only the input can be at fault here, so whoever sent it is told, and no incident begins a life.
    let due_at = Sight::whole(&turn.instance, turn.context)
        .after(timeout)
        .map_err(|failure| Refusal::Input(vec![failure.message]))?;
    let bookmark = turn.open(Bookmark {
        number: 0,
        branch: None,
        activity: None,
        kind: BookmarkKind::Timer,
        due_at: Some(due_at),
        message: None,
        details: Value::Null,
    });
    turn.instance.state.deadline = Some(Deadline { bookmark, due_at });
    Ok(())
}

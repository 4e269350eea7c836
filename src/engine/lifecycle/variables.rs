//! `variables.set`: gives variables other values, after a check against types and schema of the definition.

use serde_json::{Map, Value};

use crate::definition::{Definition, VariableTypes};

use super::super::transition::{Halt, Transition};
use super::super::{Audit, Context, EntryKind, Instance, Need, Refusal, Step, admit, assign};

/// Sets variables, all or none.
pub(in crate::engine) fn set(
    mut transition: Transition<'_>,
    values: Map<String, Value>,
    audit: Audit,
    types: Option<VariableTypes>,
) -> Result<Step, Halt> {
    admit::require_live(&transition.instance)?;
    assign_accepted(&mut transition, values, types)?;
    let mut details = audit.details();
    details.extend(transition.take_assigned().map(|assigned| ("assigned".into(), assigned)));
    transition.record_whole(EntryKind::VariablesSet, assign::details(details));
    Ok(transition.done())
}

/// Sets variables, all or none; the caller records it.
pub(super) fn assign_accepted(
    transition: &mut Transition<'_>,
    values: Map<String, Value>,
    types: Option<VariableTypes>,
) -> Result<(), Halt> {
    let types = types.ok_or(Need::VariableTypes)?;
    let values = accept(transition.definition, &transition.instance, transition.context, values, &types)
        .map_err(Refusal::Variables)?;
    transition.assign(values).map_err(|failure| Refusal::Variables(vec![failure.message]))?;
    Ok(())
}

/// The values by their declared names, in the form that instances keep; or every problem, its place first.
fn accept<'a>(
    definition: &'a Definition,
    instance: &Instance,
    context: &Context<'_>,
    values: Map<String, Value>,
    types: &VariableTypes,
) -> Result<Vec<(&'a str, Value)>, Vec<String>> {
    if values.is_empty() {
        return Err(vec!["/: name at least one variable".into()]);
    }
    let mut problems = Vec::new();
    let mut accepted = Vec::new();
    for (name, value) in values {
        match definition.variables.get_key_value(&name) {
            None => problems.push(format!("/{name}: the definition declares no variable of this name")),
            Some((declared, _)) => match types.refuse(&name, &value) {
                Some(why) => problems.push(format!("/{name}: {why}")),
                None => accepted.push((declared.as_str(), value)),
            },
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    by_schema(definition, instance, context, &mut accepted)?;
    Ok(accepted)
}

/// A variable with the name of an input property also keeps to the schema of that property.
fn by_schema(
    definition: &Definition,
    instance: &Instance,
    context: &Context<'_>,
    accepted: &mut [(&str, Value)],
) -> Result<(), Vec<String>> {
    let Some(schema) = &definition.input else { return Ok(()) };
    let properties = schema.properties();
    let shares = |name: &str| properties.iter().any(|property| property == name);
    if !accepted.iter().any(|(name, _)| shares(name)) {
        return Ok(());
    }
    let mut input = instance.input.clone();
    let shared = accepted.iter().filter(|(name, _)| shares(name));
    input.extend(shared.map(|(name, value)| ((*name).to_owned(), value.clone())));
    let mut read = schema.accept(&Value::Object(input), &context.budget)?;
    for (name, value) in accepted.iter_mut().filter(|(name, _)| shares(name)) {
        if let Some(known) = read.get_mut(*name) {
            *value = known.take();
        }
    }
    Ok(())
}

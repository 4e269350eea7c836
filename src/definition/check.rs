//! Checks that need the whole document: the graph of its activities.

mod graph;
pub(crate) mod names;
mod outcomes;
mod raised;
mod typing;

use std::collections::BTreeMap;

use super::model::{Definition, Next, Target, Work};
use super::problem::{Place, Problems};
use super::yaml::cursor::At;
use super::yaml::node::Node;
use super::yaml::source::Source;
use crate::expression::typing::Kinds;
use crate::text::listed;
use graph::Graph;

/// Steps that a branch may take without a wait; then an incident opens.
pub const STEPS_MAX: u32 = 10_000;

/// Reports activities that are never reached, and loops without a way out. `places` are the places of the activities.
pub(crate) fn reachability(definition: &Definition, places: &[Place], problems: &mut Problems) {
    let graph = Graph::of(definition);
    unreached(definition, &graph, places, problems);
    dead_ends(definition, &graph, places, problems);
}

/// Warns of valid graphs that the author may not have meant.
pub(crate) fn warnings(definition: &Definition, places: &[Place], problems: &mut Problems) {
    loops_without_wait(definition, places, problems);
    falls_into_handlers(definition, places, problems);
    outcomes::warnings(definition, places, problems);
}

/// Checks a new document for what a stored one may have: types that do not fit, and error codes that nothing raises. `source` is
/// the document as it was written.
pub(crate) fn meaning(root: &Node, source: &Source, problems: &mut Problems) {
    let root = At::root(root);
    let activities = root.get("activities").map(|list| list.items()).unwrap_or_default();
    let mut typed = Problems::default();
    typing::check(&root, &activities, source, &mut typed);
    problems.extend_elsewhere(typed);
    raised::check(&root, &activities, problems);
}

/// The kinds of values that each variable of a document can have.
pub(crate) fn variable_kinds(root: &Node, source: &Source) -> BTreeMap<String, Kinds> {
    let root = At::root(root);
    let activities = root.get("activities").map(|list| list.items()).unwrap_or_default();
    typing::variable_kinds(&root, &activities, source)
}

/// Reports activities that are never reached; of several that lead to each other only the first.
fn unreached(definition: &Definition, graph: &Graph, places: &[Place], problems: &mut Problems) {
    let mut known = graph.reached(&graph.entries);
    let mut led_to = vec![false; known.len()];
    for (from, to) in graph.edges() {
        led_to[to] |= from != to && !known[from];
    }
    let unknown: Vec<usize> = (0..known.len()).filter(|number| !known[*number]).collect();
    let (inner, foremost): (Vec<usize>, Vec<usize>) = unknown.into_iter().partition(|number| led_to[*number]);
    for number in foremost.into_iter().chain(inner) {
        if known[number] {
            continue;
        }
        for (known, reached) in known.iter_mut().zip(graph.reached(&[number])) {
            *known |= reached;
        }
        let message = format!("the activity `{}` is never reached", definition.activities[number].id);
        let hint = "make it the target of a `next`, `switch` or `on_error`, or remove it";
        problems.error(places[number].clone(), message, Some(hint.into()));
    }
}

/// Reports loops without a way out.
fn dead_ends(definition: &Definition, graph: &Graph, places: &[Place], problems: &mut Problems) {
    if definition.timeout.is_some() {
        return;
    }
    let reached = graph.reached(&graph.entries);
    let trapped: Vec<bool> = graph.can_end().into_iter().zip(reached).map(|(can, reached)| reached && !can).collect();
    for group in graph.loops(&trapped) {
        let leaves = group.iter().flat_map(|from| &graph.successors[*from]).any(|to| group.binary_search(to).is_err());
        if leaves {
            continue;
        }
        let message = format!("dead end: {} cannot reach an end", names(definition, &group));
        let hint = "leave the loop with a `next` or `switch`, or add a `timeout` to the definition";
        problems.error(places[group[0]].clone(), message, Some(hint.into()));
    }
}

fn loops_without_wait(definition: &Definition, places: &[Place], problems: &mut Problems) {
    let graph = Graph::of(definition);
    let instant: Vec<bool> = definition
        .activities
        .iter()
        .map(|activity| match activity.work {
            Work::Wait(_) | Work::Receive(_) | Work::Task(_) | Work::Http(_) | Work::Call(_) => false,
            Work::Set(_) | Work::Switch(_) | Work::Run { .. } | Work::Emit { .. } => true,
            Work::Raise { .. } | Work::End(_) => true,
        })
        .collect();
    for group in graph.loops(&instant) {
        let message = format!("{} can loop without a wait", names(definition, &group));
        let hint = format!("make sure that the loop ends: after {STEPS_MAX} steps without a wait an incident opens");
        problems.warning(places[group[0]].clone(), message, Some(hint));
    }
}

/// Warns of error handlers that are also reached after success, because the activity before them has no `next`.
fn falls_into_handlers(definition: &Definition, places: &[Place], problems: &mut Problems) {
    let numbers: std::collections::HashMap<&str, usize> =
        definition.activities.iter().enumerate().map(|(number, activity)| (activity.id.as_str(), number)).collect();
    let mut warned = std::collections::BTreeSet::new();
    for (number, activity) in definition.activities.iter().enumerate() {
        for entry in &activity.on_error {
            let Some(Target::Activity(id)) = &entry.to else { continue };
            let Some(target) = numbers.get(id.as_str()).copied().filter(|target| *target > number) else { continue };
            let before = &definition.activities[target - 1];
            let falls = match before.work {
                Work::Switch(_) | Work::Raise { .. } | Work::End(_) => false,
                Work::Set(_)
                | Work::Run { .. }
                | Work::Emit { .. }
                | Work::Wait(_)
                | Work::Receive(_)
                | Work::Task(_)
                | Work::Http(_)
                | Work::Call(_) => {
                    matches!(before.next, Next::Following)
                }
            };
            if falls && warned.insert(target) {
                let message = format!(
                    "`{id}` handles an error of `{}`, but also runs after success of `{}`",
                    activity.id, before.id
                );
                let hint = format!("add a `next` to `{}`; if this is intended, write `next: {id}`", before.id);
                problems.warning(places[target].clone(), message, Some(hint));
            }
        }
    }
}

fn names(definition: &Definition, group: &[usize]) -> String {
    const SHOWN: usize = 5;
    let ids: Vec<&str> = group.iter().take(SHOWN).map(|number| definition.activities[*number].id.as_str()).collect();
    match group.len() - ids.len() {
        0 => listed(&ids),
        more => format!("{} and {more} more", listed(&ids)),
    }
}

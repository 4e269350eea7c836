//! Checks the types of a document: what each expression may be, and which expressions cannot work.
//!
//! The type of a variable does not depend on the path that led to an activity: it is the join of its initial value and everything that
//! is assigned to it anywhere. So it holds whatever the order of the activities is.

mod results;
mod schemas;
mod scope;
mod visits;
mod walk;

use std::collections::{BTreeMap, BTreeSet};

use super::super::problem::Problems;
use super::super::yaml::cursor::At;
use super::super::yaml::node::Tree;
use super::super::yaml::source::Source;
use crate::expression::typing::{Kinds, Type, Work, tested};
use scope::Declared;
use visits::{Goal, Visit, bare};

/// Passes over all assignments; a variable whose type still changes after these is unknown.
const PASSES_MAX: usize = 4;
/// Passes after which all assigned variables are unknown.
const LAST_PASSES_MAX: usize = 4;
/// Values whose tests for null are remembered.
const TESTED_MAX: usize = 500;

/// Reports expressions that cannot work, or that may not. `source` is the document as it was written.
pub(super) fn check(root: &At<'_>, activities: &[At<'_>], source: &Source, problems: &mut Problems) {
    let mut declared = Declared::of(root, activities, &tested_values(root));
    let mut work = Work::new();
    learn(root, activities, source, &mut declared, &mut work);
    let goal = Goal::Report(problems);
    Visit { source, declared: &declared, work: &mut work, goal }.document(root, activities);
}

/// The kinds of values that each variable can have.
pub(super) fn variable_kinds(root: &At<'_>, activities: &[At<'_>], source: &Source) -> BTreeMap<String, Kinds> {
    let mut declared = Declared::of(root, activities, &BTreeSet::new());
    learn(root, activities, source, &mut declared, &mut Work::new());
    declared.variables.into_iter().map(|(name, is)| (name, is.kinds())).collect()
}

/// Joins everything that is assigned to each variable, until nothing changes.
fn learn(root: &At<'_>, activities: &[At<'_>], source: &Source, declared: &mut Declared, work: &mut Work) {
    for pass in 0..PASSES_MAX + LAST_PASSES_MAX {
        let goal = Goal::Learn(BTreeMap::new());
        let mut visit = Visit { source, declared, work, goal };
        visit.document(root, activities);
        let Goal::Learn(learned) = visit.goal else { return };
        let mut changed = false;
        let last = pass + 1 == PASSES_MAX + LAST_PASSES_MAX || work.is_over();
        for (name, is) in learned {
            let Some(known) = declared.variables.get_mut(&name) else { continue };
            let joined = known.join(&is);
            if joined != *known || last {
                changed |= joined != *known;
                *known = if pass < PASSES_MAX && !last { joined } else { Type::unknown() };
            }
        }
        if !changed {
            return;
        }
    }
}

/// The values that a condition of the document tests for null: the author knows that they may be.
fn tested_values(root: &At<'_>) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    let mut open = vec![root.node];
    while let Some(node) = open.pop() {
        match &node.tree {
            Tree::List(items) => open.extend(items),
            Tree::Map(entries) => {
                for entry in entries {
                    match (&entry.value.tree, entry.key.as_str()) {
                        (Tree::Text(text), "when") => found.extend(tested(bare(text).text)),
                        _ => open.push(&entry.value),
                    }
                }
            }
            Tree::Refused | Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) => {}
        }
        if found.len() > TESTED_MAX {
            break;
        }
    }
    found
}

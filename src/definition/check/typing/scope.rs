//! What the names of an expression are at its place in the document.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{results, schemas};
use crate::definition::yaml::cursor::At;
use crate::definition::yaml::node::Tree;
use crate::expression::typing::{Fact, Kinds, Known, Type};

/// What the document declares.
#[derive(Debug)]
pub(super) struct Declared {
    input: Type,
    properties: BTreeMap<String, Type>,
    /// The type of each variable: of its initial value and of everything that is assigned to it.
    pub(super) variables: BTreeMap<String, Type>,
    actors: Option<Type>,
}

/// What an expression can read besides the declared names.
#[derive(Debug, Clone, Default)]
pub(super) struct Here {
    pub(super) in_activity: bool,
    pub(super) result: Option<Type>,
    pub(super) is_error: bool,
    pub(super) is_message: bool,
    /// The decisions of a vote.
    pub(super) votes: Option<Type>,
    /// What conditions before it have shown.
    pub(super) facts: Vec<Fact>,
}

impl Here {
    /// In an activity.
    pub(super) fn activity() -> Self {
        Here { in_activity: true, ..Here::default() }
    }

    /// With more facts.
    pub(super) fn and(&self, facts: Vec<Fact>) -> Self {
        let facts = [self.facts.clone(), facts].concat();
        Here { facts, ..self.clone() }
    }

    /// With a result.
    pub(super) fn with_result(&self, result: Type) -> Self {
        Here { result: Some(result), ..self.clone() }
    }

    /// With an error.
    pub(super) fn with_error(&self) -> Self {
        Here { is_error: true, ..self.clone() }
    }
}

impl Declared {
    /// Reads the declarations. `tested` are values that a condition of the document tests for null: the author knows them.
    pub(super) fn of(root: &At<'_>, activities: &[At<'_>], tested: &BTreeSet<Vec<String>>) -> Self {
        let schema = root.get("input").filter(At::is_map).map(|input| input.node.to_value());
        let input = schema.as_ref().map_or(Type::of(Kinds::MAP), |schema| schemas::of_object(schema, "the input"));
        let is_listed = input.shape().is_some();
        let input = tested.iter().fold(input, |input, path| match path.first().map(String::as_str) {
            Some("input") => Fact::quiet(path.clone()).refine(&input),
            Some(_) => Fact::quiet([vec!["input".to_owned()], path.clone()].concat()).refine(&input),
            None => input,
        });
        let members = input.shape().into_iter().flat_map(|shape| &shape.members);
        let properties: BTreeMap<String, Type> =
            members.map(|(name, member)| (name.clone(), member.is.clone())).collect();
        let mut variables = BTreeMap::new();
        for (entry, value) in root.get("variables").map(|variables| variables.entries()).unwrap_or_default() {
            let value = value.node.to_value();
            let is = match (properties.get(&entry.key), &value) {
                // It starts with the value of the input, where the input has it.
                (Some(property), _) => property.quiet().join(&Type::of_value(&value).quiet()),
                // A caller may send anything under its name: only the kind is to be relied on.
                (None, Value::Null) if !is_listed => Type::unknown(),
                (None, _) if !is_listed => Type::of(Type::of_value(&value).kinds()),
                (None, _) => Type::of_value(&value).quiet(),
            };
            variables.insert(entry.key.clone(), is);
        }
        let id = |at: &At<'_>| match &at.get("id")?.node.tree {
            Tree::Text(id) => Some(id.clone()),
            _ => None,
        };
        let tasks: Vec<String> = activities.iter().filter(|at| at.get("task").is_some()).filter_map(id).collect();
        let actors = (!tasks.is_empty()).then(|| results::of_actors(&tasks));
        Declared { input, properties, variables, actors }
    }
}

/// The names at one place.
pub(super) struct Names<'a> {
    pub(super) declared: &'a Declared,
    pub(super) here: &'a Here,
}

impl Known for Names<'_> {
    fn type_of(&self, name: &str) -> Option<Type> {
        let Names { declared, here } = self;
        let reserved = match name {
            "input" => Some(declared.input.clone()),
            "instance" => Some(results::of_instance()),
            "now" => Some(Type::of(Kinds::TIME)),
            "env" | "secrets" | "data" => Some(Type::unknown()),
            "activity" if here.in_activity => Some(results::of_this_activity()),
            "result" => Some(here.result.clone().unwrap_or(Type::unknown())),
            "error" => Some(if here.is_error { results::of_error() } else { Type::unknown() }),
            "actors" => Some(declared.actors.clone().unwrap_or(Type::unknown())),
            "votes" => here.votes.clone(),
            "voters" if here.votes.is_some() => Some(Type::list(Type::of(Kinds::TEXT))),
            _ => None,
        };
        reserved.or_else(|| declared.variables.get(name).cloned()).or_else(|| declared.properties.get(name).cloned())
    }

    fn is_input(&self, name: &str) -> bool {
        self.declared.properties.contains_key(name) && !self.declared.variables.contains_key(name)
    }
}

//! Reads the document: declarations first, wherever they are written, so that everything else can be checked while reading.

pub(super) mod activity;
pub(super) mod call;
pub(super) mod decisions;
pub(crate) mod draft;
pub(super) mod failure;
pub(super) mod flow;
pub(super) mod http;
pub(super) mod limits;
pub(super) mod retry;
mod schemas;
pub(super) mod search;
pub(super) mod task;
mod unfilled;
pub(super) mod work;
mod written;

use std::collections::{BTreeMap, HashMap};

use super::check;
use super::check::names::{RESERVED, Sees, variable_problem};
use super::model::{Definition, Events, SettingsRead};
use super::schema::Schema;
use super::yaml::cursor::{At, Keys};
use super::yaml::node::{Node, Tree};
use crate::time::retention::Retention;
use activity::place_of;
use draft::Draft;
use failure::{FailurePolicy, ON_FAILURE};
use limits::START_LIMITS;

/// Activities of a definition at most.
pub(super) const ACTIVITIES_MAX: usize = 1_000;
/// The queue of definitions that do not name one.
pub const DEFAULT_QUEUE: &str = "default";

pub(super) const DOCUMENT: Keys = Keys {
    of: "a definition",
    known: &[
        "name",
        "title",
        "description",
        "input",
        "variables",
        "output",
        "timeout",
        "on_timeout",
        "on_error",
        "on_failure",
        "retention",
        "events",
        "search",
        "queue",
        "priority",
        "limits",
        "labels",
        "activities",
    ],
    later: &["on_cancel"],
};
pub(super) const EVENTS: Keys = Keys { of: "`events`", known: &["instance", "activity", "task"], later: &[] };

/// The keys inside of a key of the document.
fn keys_of(key: &str) -> Option<&'static [&'static str]> {
    match key {
        "input" => Some(&["type", "required", "properties", "additionalProperties", "$defs"]),
        "events" => Some(EVENTS.known),
        "on_failure" => Some(ON_FAILURE.known),
        "limits" => Some(START_LIMITS.known),
        _ => None,
    }
}

impl Draft {
    /// Reads the whole document. The definition is valid only if there are no errors.
    pub(super) fn document(&mut self, root: &Node) -> Option<Definition> {
        let at = At::root(root);
        let beside = self.stands_beside(&at, &DOCUMENT, &keys_of);
        if beside || !self.problems.expect_map(&at, &DOCUMENT) {
            return None;
        }
        let sees = Sees::DOCUMENT;
        let name = self.problems.expect(&at, "name", "name the definition, as in `name: order`");
        let name = name.and_then(|name| self.problems.expect_name(&name).map(str::to_owned));
        let input = at.get("input").and_then(|input| self.input(&input));
        if let Some(variables) = at.get("variables") {
            self.variables(&variables);
        }
        let list = self.problems.expect(&at, "activities", "add at least one activity");
        let list = list.map(|list| self.activity_list(&list)).unwrap_or_default();
        self.learn_ids(&list);
        let FailurePolicy { on_failure, notify } = self.failure_policy(at.get("on_failure"));
        let timeout = at.get("timeout").filter(|timeout| !timeout.is_word("none"));
        let definition = Definition {
            name: name.unwrap_or_default(),
            title: self.plain(&at, "title"),
            description: self.plain(&at, "description"),
            input,
            output: at.get("output").and_then(|output| self.data(&output, sees)),
            timeout: timeout.and_then(|timeout| self.duration(&timeout, sees)),
            on_error: self.on_errors(&at, sees),
            on_failure,
            notify,
            retention: at.get("retention").and_then(|retention| self.retention(&retention)),
            events: self.events(at.get("events")),
            queue: self.queue(at.get("queue")),
            priority: self.priority(at.get("priority")),
            limits: at.get("limits").and_then(|limits| self.start_limits(&limits)).unwrap_or_default(),
            labels: at.get("labels").map(|labels| self.labels(&labels)).unwrap_or_default().into_iter().collect(),
            search: at.get("search").map(|search| self.search(&search)).unwrap_or_default(),
            activities: list.iter().enumerate().map(|(number, at)| self.activity(at, number)).collect(),
            index: HashMap::new(),
            variables: BTreeMap::new(),
            settings: SettingsRead::default(),
        };
        let places: Vec<_> = list.iter().map(place_of).collect();
        self.names.warn_of_never_assigned(&mut self.problems);
        // While targets are unknown, reports about reachability would be guesses.
        if !self.graph_is_doubtful {
            check::reachability(&definition, &places, &mut self.problems);
        }
        check::warnings(&definition, &places, &mut self.problems);
        let index = definition.activities.iter().enumerate().map(|(number, activity)| (activity.id.clone(), number));
        let index = index.collect();
        let settings = std::mem::take(&mut self.names.settings);
        Some(Definition { index, variables: std::mem::take(&mut self.names.variables), settings, ..definition })
    }

    fn plain(&mut self, at: &At<'_>, key: &str) -> Option<String> {
        at.get(key).and_then(|text| self.problems.expect_text(&text).map(str::to_owned))
    }

    fn activity_list<'n>(&mut self, at: &At<'n>) -> Vec<At<'n>> {
        let items = self.problems.expect_items(at, "activities");
        if items.len() > ACTIVITIES_MAX {
            let message = format!("there are {} activities; at most {ACTIVITIES_MAX} are allowed", items.len());
            self.problems.error_at(at, message, Some("split the definition"));
            return Vec::new();
        }
        items
    }

    fn input(&mut self, at: &At<'_>) -> Option<Schema> {
        let properties = at.get("properties").map(|properties| properties.entries()).unwrap_or_default();
        let written: Vec<String> = properties.iter().map(|(entry, _)| entry.key.clone()).collect();
        for (entry, property) in properties.iter().filter(|(entry, _)| RESERVED.contains(&entry.key.as_str())) {
            let message = format!("the input property `{0}` is hidden by the reserved name `{0}`", entry.key);
            let hint = format!("read it as `input.{}`", entry.key);
            self.problems.warning(property.place(), message, Some(hint));
        }
        self.names.properties.extend(written);
        let sized = properties.iter().filter(|(_, property)| {
            property.get("type").is_some_and(|kind| kind.is_word("array") || kind.is_word("string"))
        });
        self.names.sized.extend(sized.map(|(entry, _)| entry.key.clone()));
        let schema = self.schema(at)?;
        self.names.properties.extend(schema.properties());
        Some(schema)
    }

    fn variables(&mut self, at: &At<'_>) {
        if !at.is_map() {
            self.problems.unexpected(at, "a map of variables to initial values", Some("write `name: null`"));
        }
        for (entry, value) in at.entries() {
            if let Some((message, hint)) = variable_problem(&entry.key) {
                self.problems.error(at.key_place(entry), message, Some(hint.into()));
            }
            self.refuse_expressions(&value);
            self.names.variables.insert(entry.key.clone(), value.node.to_value());
        }
    }

    /// Reports expressions in initial values.
    fn refuse_expressions(&mut self, at: &At<'_>) {
        match &at.node.tree {
            Tree::Text(text) if text.contains("${") => {
                let hint = "start with null and assign it in a `set`";
                self.problems.error_at(at, "an initial value cannot be an expression", Some(hint));
            }
            Tree::List(_) => at.items().iter().for_each(|item| self.refuse_expressions(item)),
            Tree::Map(_) => at.entries().iter().for_each(|(_, value)| self.refuse_expressions(value)),
            Tree::Refused | Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) => {}
        }
    }

    fn retention(&mut self, at: &At<'_>) -> Option<Retention> {
        let text = self.problems.expect_text(at)?;
        Retention::parse(text).map_err(|problem| self.problems.error_at(at, problem, None)).ok()
    }

    fn events(&mut self, at: Option<At<'_>>) -> Events {
        let standard = Events { instance: true, activity: false, task: true };
        let Some(at) = at.filter(|at| self.problems.expect_map(at, &EVENTS)) else { return standard };
        let instance = at.get("instance").and_then(|value| self.boolean(&value));
        let activity = at.get("activity").and_then(|value| self.boolean(&value));
        let task = at.get("task").and_then(|value| self.boolean(&value));
        Events {
            instance: instance.unwrap_or(standard.instance),
            activity: activity.unwrap_or(standard.activity),
            task: task.unwrap_or(standard.task),
        }
    }

    pub(super) fn boolean(&mut self, at: &At<'_>) -> Option<bool> {
        match &at.node.tree {
            Tree::Bool(value) => Some(*value),
            Tree::Refused | Tree::Null | Tree::Number(_) | Tree::Text(_) | Tree::List(_) | Tree::Map(_) => {
                self.problems.unexpected(at, "true or false", None);
                None
            }
        }
    }

    fn queue(&mut self, at: Option<At<'_>>) -> String {
        at.and_then(|at| self.problems.expect_name(&at).map(str::to_owned)).unwrap_or_else(|| DEFAULT_QUEUE.into())
    }

    fn priority(&mut self, at: Option<At<'_>>) -> i16 {
        let Some(at) = at else { return 0 };
        let priority = match &at.node.tree {
            Tree::Number(number) => number.as_i64().and_then(|number| i16::try_from(number).ok()),
            Tree::Refused | Tree::Null | Tree::Bool(_) | Tree::Text(_) | Tree::List(_) | Tree::Map(_) => None,
        };
        if priority.is_none() {
            let message = format!("expected a whole number from {} to {}", i16::MIN, i16::MAX);
            self.problems.error_at(&at, message, Some("0 is the default; higher numbers come first"));
        }
        priority.unwrap_or_default()
    }
}

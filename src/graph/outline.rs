//! The graph of a definition, with the words that its document uses for each way.

use std::collections::HashMap;

use crate::definition::{Activity, Choice, Definition, Next, OnError, Target, Work};

/// The longest label of an edge, in characters.
const LABEL_MAX: usize = 36;

/// What is drawn of a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    /// The definition's title, or its name.
    pub title: String,
    /// The start, the activities in the order of the document, and what else is named by an edge.
    pub nodes: Vec<Node>,
    /// The ways between them.
    pub edges: Vec<Edge>,
}

/// A box or circle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it stands for.
    pub shape: Shape,
    /// The activity's title, or its id; empty for others.
    pub title: String,
    /// Under which condition the activity is done at all.
    pub when: Option<String>,
}

/// What a node stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// Where an instance starts.
    Start,
    /// An activity.
    Activity {
        /// Its id.
        id: String,
        /// The key of its work, such as `task`.
        kind: &'static str,
    },
    /// Where an instance completes after its last activity.
    End,
    /// Any activity whose error the whole document handles.
    Anywhere,
}

/// A way from one node to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// The position of the node that it leaves.
    pub from: usize,
    /// The position of the node that it reaches.
    pub to: usize,
    /// Why it is taken.
    pub way: Way,
    /// The condition, decision, message or error.
    pub label: Option<String>,
}

/// Why a branch goes a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// The activity was done, or skipped.
    Done,
    /// An error was handled.
    Error,
}

impl Graph {
    /// The graph of a definition.
    pub fn of(definition: &Definition) -> Self {
        let title = definition.title.clone().unwrap_or_else(|| definition.name.clone());
        let mut nodes = vec![Node::plain(Shape::Start)];
        nodes.extend(definition.activities.iter().map(Node::of));
        let numbers = definition.index.iter().map(|(id, at)| (id.as_str(), at + 1)).collect();
        let mut ways = Ways { numbers, last: definition.activities.len(), nodes, edges: Vec::new() };
        ways.add(0, 1, Way::Done, None);
        for (at, activity) in definition.activities.iter().enumerate() {
            ways.leave(at + 1, activity);
        }
        ways.caught_by_the_document(&definition.on_error);
        Graph { title, nodes: ways.nodes, edges: ways.edges }
    }

    /// The position of an activity.
    pub fn position(&self, id: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.id() == Some(id))
    }
}

impl Node {
    fn plain(shape: Shape) -> Self {
        Self { shape, title: String::new(), when: None }
    }

    fn of(activity: &Activity) -> Self {
        let title = activity.title.as_ref().and_then(|title| title.literal()).unwrap_or(&activity.id);
        Self {
            shape: Shape::Activity { id: activity.id.clone(), kind: activity.work.kind() },
            title: title.to_owned(),
            when: activity.when.as_ref().map(|when| label(when.source())),
        }
    }

    /// The activity's id.
    pub fn id(&self) -> Option<&str> {
        match &self.shape {
            Shape::Activity { id, .. } => Some(id),
            Shape::Start | Shape::End | Shape::Anywhere => None,
        }
    }
}

/// A text of one line that fits beside an edge.
fn label(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= LABEL_MAX {
        return text;
    }
    text.chars().take(LABEL_MAX - 1).chain(['…']).collect()
}

/// Collects the ways.
struct Ways<'d> {
    numbers: HashMap<&'d str, usize>,
    /// The position of the last activity.
    last: usize,
    nodes: Vec<Node>,
    edges: Vec<Edge>,
}

impl Ways<'_> {
    /// The ways that leave an activity.
    fn leave(&mut self, from: usize, activity: &Activity) {
        let skipped = activity.when.as_ref().map(|_| "skipped".to_owned());
        let continues = activity.on_error.iter().any(|entry| entry.to.is_none());
        match &activity.work {
            Work::Switch(choices) => {
                self.choose(from, choices, None);
                if activity.when.is_some() {
                    self.follow(from, Way::Done, skipped);
                }
                if continues {
                    self.follow(from, Way::Error, Some("error".into()));
                }
            }
            Work::End(_) => {
                if activity.when.is_some() {
                    self.follow(from, Way::Done, skipped);
                }
            }
            Work::Raise { .. } => {
                if activity.when.is_some() {
                    self.next(from, &activity.next, skipped);
                }
            }
            Work::Set(_)
            | Work::Run { .. }
            | Work::Emit { .. }
            | Work::Wait(_)
            | Work::Receive(_)
            | Work::Task(_)
            | Work::Http(_)
            | Work::Call(_) => {
                self.next(from, &activity.next, None);
                if activity.when.is_some() && matches!(activity.next, Next::ByName(_)) {
                    self.follow(from, Way::Done, skipped);
                }
            }
        }
        for entry in &activity.on_error {
            match &entry.to {
                Some(target) => self.target(from, target, Way::Error, Some(caught(entry))),
                None if matches!(activity.work, Work::Switch(_)) => {}
                None => self.follow(from, Way::Error, Some(caught(entry))),
            }
        }
    }

    /// The handlers of the document hold for every activity.
    fn caught_by_the_document(&mut self, entries: &[OnError]) {
        for entry in entries {
            if let Some(target) = &entry.to {
                let from = self.node(Shape::Anywhere);
                self.target(from, target, Way::Error, Some(caught(entry)));
            }
        }
    }

    fn next(&mut self, from: usize, next: &Next, said: Option<String>) {
        match next {
            Next::Following => self.follow(from, Way::Done, said),
            Next::To(target) => self.target(from, target, Way::Done, said),
            Next::Choose(choices) => self.choose(from, choices, said.as_deref()),
            Next::ByName(by_name) => {
                for (name, next) in by_name {
                    self.next(from, next, Some(label(name)));
                }
            }
        }
    }

    /// The entries of a `switch` or `next`; `said` is the decision or message before them.
    fn choose(&mut self, from: usize, choices: &[Choice], said: Option<&str>) {
        for (at, choice) in choices.iter().enumerate() {
            let condition = match &choice.when {
                Some(when) => Some(label(when.source())),
                None if at > 0 => Some("else".to_owned()),
                None => None,
            };
            let whole = match (said, condition) {
                (Some(said), Some(condition)) => Some(label(&format!("{said}, {condition}"))),
                (said, condition) => condition.or(said.map(str::to_owned)),
            };
            self.target(from, &choice.to, Way::Done, whole);
        }
    }

    fn follow(&mut self, from: usize, way: Way, label: Option<String>) {
        if from < self.last {
            self.add(from, from + 1, way, label);
        } else {
            let end = self.node(Shape::End);
            self.add(from, end, way, label);
        }
    }

    fn target(&mut self, from: usize, target: &Target, way: Way, label: Option<String>) {
        match target {
            Target::Activity(id) => {
                if let Some(to) = self.numbers.get(id.as_str()).copied() {
                    self.add(from, to, way, label);
                }
            }
            Target::Exit => {
                let end = self.node(Shape::End);
                self.add(from, end, way, label);
            }
        }
    }

    /// The node of this shape, of which there is at most one.
    fn node(&mut self, shape: Shape) -> usize {
        self.nodes.iter().position(|node| node.shape == shape).unwrap_or_else(|| {
            self.nodes.push(Node::plain(shape));
            self.nodes.len() - 1
        })
    }

    /// Two ways between the same activities for the same reason are one, with both labels.
    fn add(&mut self, from: usize, to: usize, way: Way, label: Option<String>) {
        let same = self.edges.iter_mut().find(|edge| (edge.from, edge.to, edge.way) == (from, to, way));
        match same {
            None => self.edges.push(Edge { from, to, way, label }),
            Some(edge) => {
                edge.label = match (edge.label.take(), label) {
                    (Some(one), Some(other)) if one != other => Some(self::label(&format!("{one} | {other}"))),
                    (Some(one), Some(_)) => Some(one),
                    // One of them needs no condition.
                    (_, None) | (None, _) => None,
                };
            }
        }
    }
}

/// What a handler of errors catches.
fn caught(entry: &OnError) -> String {
    let codes = if entry.codes.is_empty() { "any error".to_owned() } else { entry.codes.join(", ") };
    match &entry.when {
        Some(when) => label(&format!("{codes} if {}", when.source())),
        None => label(&codes),
    }
}

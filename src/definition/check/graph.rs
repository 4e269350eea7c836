//! The graph of the activities of a definition: which activity leads to which.

use crate::definition::model::{Activity, Choice, Definition, Next, Target, Work};

/// The possible transitions between activities, which are identified by their position in the list.
#[derive(Debug)]
pub(crate) struct Graph {
    /// For each activity: those it may lead to, sorted, without duplicates.
    pub(crate) successors: Vec<Vec<usize>>,
    /// For each activity: whether the instance may end there.
    pub(crate) ends: Vec<bool>,
    /// The first activity, and the targets of the document's `on_error`.
    pub(crate) entries: Vec<usize>,
}

impl Graph {
    /// The graph of a definition.
    pub(crate) fn of(definition: &Definition) -> Self {
        let numbers: std::collections::HashMap<&str, usize> =
            definition.activities.iter().enumerate().map(|(number, activity)| (activity.id.as_str(), number)).collect();
        let caught_outside = definition.on_error.iter().any(|entry| entry.to.is_none());
        let (mut successors, mut ends) = (Vec::new(), Vec::new());
        for (number, activity) in definition.activities.iter().enumerate() {
            let following = Some(number + 1).filter(|next| *next < definition.activities.len());
            let mut exits = Exits { numbers: &numbers, following, successors: Vec::new(), ends: false };
            exits.of(activity, caught_outside);
            exits.successors.sort_unstable();
            exits.successors.dedup();
            successors.push(exits.successors);
            ends.push(exits.ends);
        }
        let first = (!definition.activities.is_empty()).then_some(0);
        let named = definition.on_error.iter().filter_map(|entry| match &entry.to {
            Some(Target::Activity(id)) => numbers.get(id.as_str()).copied(),
            Some(Target::Exit) | None => None,
        });
        Graph { successors, ends, entries: first.into_iter().chain(named).collect() }
    }

    /// For each activity: whether it can be reached from `starts`.
    pub(crate) fn reached(&self, starts: &[usize]) -> Vec<bool> {
        walk(&self.successors, starts)
    }

    /// For each activity: whether an end can be reached from it.
    pub(crate) fn can_end(&self) -> Vec<bool> {
        let mut predecessors = vec![Vec::new(); self.successors.len()];
        for (from, to) in self.edges() {
            predecessors[to].push(from);
        }
        let ends: Vec<usize> = (0..self.ends.len()).filter(|number| self.ends[*number]).collect();
        walk(&predecessors, &ends)
    }

    /// Every transition as `(from, to)`.
    pub(crate) fn edges(&self) -> impl Iterator<Item = (usize, usize)> {
        self.successors.iter().enumerate().flat_map(|(from, to)| to.iter().map(move |to| (from, *to)))
    }

    /// The loops among the activities for which `counts` is true: sorted groups in which each can reach each.
    pub(crate) fn loops(&self, counts: &[bool]) -> Vec<Vec<usize>> {
        let inside: Vec<Vec<usize>> = self
            .successors
            .iter()
            .enumerate()
            .map(|(from, to)| if counts[from] { to.iter().copied().filter(|to| counts[*to]).collect() } else { vec![] })
            .collect();
        let mut backwards = vec![Vec::new(); inside.len()];
        for (from, to) in inside.iter().enumerate().flat_map(|(from, to)| to.iter().map(move |to| (from, *to))) {
            backwards[to].push(from);
        }
        let mut grouped = vec![false; inside.len()];
        let mut loops = Vec::new();
        // Kosaraju's algorithm: in reverse finishing order, the nodes that lead back to a node form a group with it.
        for start in reverse_finished(&inside) {
            let mut group = Vec::new();
            let mut open = vec![start];
            while let Some(node) = open.pop() {
                if !grouped[node] {
                    grouped[node] = true;
                    group.push(node);
                    open.extend(&backwards[node]);
                }
            }
            let again = group.len() > 1 || group.iter().any(|node| inside[*node].contains(node));
            if again {
                group.sort_unstable();
                loops.push(group);
            }
        }
        loops.sort();
        loops
    }
}

/// For each node: whether it can be reached from `starts`.
fn walk(edges: &[Vec<usize>], starts: &[usize]) -> Vec<bool> {
    let mut reached = vec![false; edges.len()];
    let mut open = starts.to_vec();
    while let Some(node) = open.pop() {
        if !std::mem::replace(&mut reached[node], true) {
            open.extend(&edges[node]);
        }
    }
    reached
}

/// All nodes in reverse finishing order of a depth-first search.
fn reverse_finished(edges: &[Vec<usize>]) -> Vec<usize> {
    let mut seen = vec![false; edges.len()];
    let mut left = Vec::new();
    for start in 0..edges.len() {
        let mut path = Vec::new();
        if !std::mem::replace(&mut seen[start], true) {
            path.push((start, 0));
        }
        while let Some((node, next)) = path.pop() {
            match edges[node].get(next) {
                None => left.push(node),
                Some(to) => {
                    path.push((node, next + 1));
                    if !std::mem::replace(&mut seen[*to], true) {
                        path.push((*to, 0));
                    }
                }
            }
        }
    }
    left.reverse();
    left
}

/// Collects the transitions of one activity.
struct Exits<'d> {
    numbers: &'d std::collections::HashMap<&'d str, usize>,
    following: Option<usize>,
    successors: Vec<usize>,
    ends: bool,
}

impl Exits<'_> {
    fn of(&mut self, activity: &Activity, caught_outside: bool) {
        let caught = caught_outside || activity.on_error.iter().any(|entry| entry.to.is_none());
        match &activity.work {
            Work::Switch(choices) => {
                self.choices(choices);
                if activity.when.is_some() || caught {
                    self.follow();
                }
            }
            Work::End(_) => {
                self.ends = true;
                if activity.when.is_some() {
                    self.follow();
                }
            }
            Work::Raise { .. } => {
                self.ends = true;
                if activity.when.is_some() || caught {
                    self.next(&activity.next);
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
                self.next(&activity.next);
                if (activity.when.is_some() || caught) && matches!(activity.next, Next::ByName(_)) {
                    self.follow();
                }
            }
        }
        for target in activity.on_error.iter().filter_map(|entry| entry.to.as_ref()) {
            self.target(target);
        }
    }

    fn next(&mut self, next: &Next) {
        match next {
            Next::Following => self.follow(),
            Next::To(target) => self.target(target),
            Next::Choose(choices) => self.choices(choices),
            Next::ByName(by_name) => by_name.values().for_each(|next| self.next(next)),
        }
    }

    fn choices(&mut self, choices: &[Choice]) {
        choices.iter().for_each(|choice| self.target(&choice.to));
    }

    fn follow(&mut self) {
        match self.following {
            Some(number) => self.successors.push(number),
            None => self.ends = true,
        }
    }

    fn target(&mut self, target: &Target) {
        match target {
            Target::Activity(id) => self.successors.extend(self.numbers.get(id.as_str())),
            Target::Exit => self.ends = true,
        }
    }
}

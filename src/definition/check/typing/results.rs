//! What `result`, `error` and the other names of Leveret hold.

use super::schemas;
use crate::definition::yaml::cursor::At;
use crate::definition::yaml::node::Tree;
use crate::expression::typing::{Kinds, Member, Rest, Shape, Texts, Type};

/// A number that counts.
const COUNT: Kinds = Kinds::INT.or(Kinds::DOUBLE);

fn text() -> Type {
    Type::of(Kinds::TEXT)
}

fn count() -> Type {
    Type::of(COUNT)
}

/// The `result` of the activity at a place; unknown for work that may give anything.
pub(super) fn of_activity(activity: &At<'_>) -> Type {
    if let Some(http) = activity.get("http") {
        let answers = http.get("await").is_none_or(|way| way.is_word("response"));
        return if answers { of_http(&http) } else { Type::unknown() };
    }
    if let Some(run) = activity.get("run") {
        return if run.get("sql").is_some() { of_statement() } else { Type::unknown() };
    }
    if let Some(task) = activity.get("task") {
        return of_task(&task);
    }
    activity.get("receive").map_or(Type::unknown(), |receive| of_receive(&receive))
}

/// What a target answered, as a probe reads it.
pub(super) fn of_answer() -> Type {
    Type::map(answer())
}

/// What a target answered. If the outcome can be unknown, a person may give any other result.
fn of_http(http: &At<'_>) -> Type {
    let rest = if suspends(http) { Rest::Listed } else { Rest::Closed };
    Type::map(Shape { rest, ..answer() })
}

/// Whether an unknown outcome can be left to a person, see [`crate::definition::Http::on_unknown`].
fn suspends(http: &At<'_>) -> bool {
    let word = |key: &str| match http.get(key).map(|value| &value.node.tree) {
        Some(Tree::Text(word)) => Some(word.as_str()),
        Some(_) | None => None,
    };
    let has_body = ["body", "form", "text"].iter().any(|key| http.get(key).is_some());
    let method = word("method").unwrap_or(if has_body { "POST" } else { "GET" });
    let repeatable = match http.get("idempotent").map(|value| &value.node.tree) {
        Some(Tree::Bool(repeatable)) => *repeatable,
        Some(_) | None => !["POST", "PATCH"].contains(&method),
    };
    word("on_unknown").map_or(!repeatable, |way| way == "suspend" || way == "probe")
}

fn answer() -> Shape {
    let mut shape = Shape::closed([("status", count()), ("headers", Type::of(Kinds::MAP)), ("body", Type::unknown())]);
    shape.members.insert("cut".into(), Member { is: text(), always: false });
    let note = "its members are `status`, `headers` and `body`; what the target answered is in `result.body`";
    shape.labelled("the result of an `http`", Some(note))
}

fn of_statement() -> Type {
    let rows = Type::list(Type::of(Kinds::MAP));
    let note = "its members are `count` and `rows`, a list of maps";
    let shape = Shape::closed([("count", count()), ("rows", rows)]);
    Type::map(shape.labelled("the result of a statement", Some(note)))
}

fn of_receive(receive: &At<'_>) -> Type {
    let messages = if receive.is_list() { receive.items() } else { vec![receive.clone()] };
    let names: Option<Vec<String>> = messages
        .iter()
        .map(|message| match &message.get("name")?.node.tree {
            Tree::Text(name) if !name.contains("${") => Some(name.clone()),
            _ => None,
        })
        .collect();
    let name =
        names.map_or(text(), |names| Type::one_of(Texts { set: names.into_iter().collect(), are_decisions: false }));
    let shape = Shape::closed([("name", name), ("key", text()), ("data", Type::unknown())]);
    let note = "its members are `name`, `key` and `data`; what the message says is in `result.data`";
    Type::map(shape.labelled("the result of a `receive`", Some(note)))
}

fn of_task(task: &At<'_>) -> Type {
    let names = decisions(task);
    let decision = match &names {
        Some(names) if names.is_empty() => Type::of(Kinds::UNSET),
        Some(names) => Type::one_of(Texts { set: names.iter().cloned().collect(), are_decisions: true }),
        None => text(),
    };
    let is_vote = task.get("vote").is_some();
    let form = match task.get("form") {
        Some(form) if !is_vote => schemas::of_object(&form.node.to_value(), "the form"),
        _ => Type::of(Kinds::UNSET),
    };
    let comment = if is_vote { Type::of(Kinds::UNSET) } else { text().or(Kinds::NULL) };
    let mut shape = Shape::closed([("decision", decision), ("actor", text()), ("form", form), ("comment", comment)]);
    if is_vote {
        for (name, is) in [("votes", of_votes(&names)), ("ballots", Type::list(Type::of(Kinds::MAP)))] {
            shape.members.insert(name.into(), Member { is, always: true });
        }
    }
    Type::map(shape.labelled("the result of a `task`", None))
}

/// The decisions that a task declares; none if they cannot be read.
pub(super) fn decisions(task: &At<'_>) -> Option<Vec<String>> {
    let Some(decisions) = task.get("decisions") else { return Some(Vec::new()) };
    if decisions.is_map() {
        return Some(decisions.entries().into_iter().map(|(entry, _)| entry.key.clone()).collect());
    }
    let name = |item: &At<'_>| match &item.node.tree {
        Tree::Text(name) => Some(name.clone()),
        _ => None,
    };
    decisions.items().iter().map(name).collect()
}

/// The number of votes for each decision.
pub(super) fn of_votes(decisions: &Option<Vec<String>>) -> Type {
    match decisions {
        Some(names) => {
            let shape = Shape::closed(names.iter().map(|name| (name.as_str(), count())));
            Type::map(shape.labelled("`votes`", None))
        }
        None => Type::of(Kinds::MAP),
    }
}

/// `error`
pub(super) fn of_error() -> Type {
    let members = [("code", text()), ("message", text()), ("data", Type::unknown()), ("attempt", count())];
    Type::map(Shape::closed(members).labelled("`error`", None))
}

/// `instance`
pub(super) fn of_instance() -> Type {
    let maybe = || text().or(Kinds::UNSET);
    let members = [
        ("id", text()),
        ("key", maybe()),
        ("definition", text()),
        ("version", count()),
        ("started_at", text()),
        ("started_by", maybe()),
    ];
    Type::map(Shape::closed(members).labelled("`instance`", None))
}

/// `activity`
pub(super) fn of_this_activity() -> Type {
    let members = [("id", text()), ("attempt", count()), ("visit", count()), ("token", text())];
    Type::map(Shape::closed(members).labelled("`activity`", None))
}

/// `actors`: the tasks with these ids.
pub(super) fn of_actors(tasks: &[String]) -> Type {
    let shape = Shape::closed(tasks.iter().map(|id| (id.as_str(), text().or(Kinds::UNSET))));
    let note = "it has a member for each `task` of the document, named by its id";
    Type::map(shape.labelled("`actors`", Some(note)))
}

//! Actions on a task. Each is checked here, under the lock of the row of the task, and refused with its own reason.

use serde_json::{Map, Value, json};

use crate::definition::{self, Definition, Work};
use crate::expression::step_budget::StepBudget;

use super::super::admit::{self, Position};
use super::super::transition::{Halt, Transition};
use super::super::{Effect, EntryKind, Instance, Need, Refusal, Step, assign as values};
use super::{Act, COMMENT_MAX, Closed, FORM_MAX, Person, Task, TaskId, TaskOutcome, TaskRefusal};

/// Who acts, and which revision of the task they have seen.
pub(in crate::engine) struct Actor {
    pub(in crate::engine) person: Person,
    pub(in crate::engine) seen: Option<i64>,
}

/// An action on a task, and the position of its branch.
pub(super) struct TaskAction<'a> {
    pub(super) position: Position<'a>,
    pub(super) declared: &'a definition::Task,
    pub(super) task: Task,
    pub(super) user: String,
}

/// Decides the effect of an action on a task and on its instance.
pub(in crate::engine) fn act<'a>(
    mut transition: Transition<'a>,
    bookmark: i64,
    actor: Actor,
    act: Act,
    task: Option<Option<Task>>,
) -> Result<Step, Halt> {
    let task = task.ok_or_else(|| Need::Task(TaskId::of(transition.instance.id, bookmark)))?;
    let task = task.ok_or(Refusal::Mismatch)?;
    let definition: &'a Definition = transition.definition;
    let position = admit::branch_for_task(definition, &transition.instance, &task, transition.context.now)?;
    let Work::Task(declared) = &position.activity.work else { return Err(Refusal::Mismatch.into()) };
    check(&transition, &task, &actor, &act)?;
    let action = TaskAction { position, declared, task, user: actor.person.user };
    match act {
        Act::Complete { decision, form, comment } => {
            bounded_comment(comment.as_deref())?;
            let decision = decide(&action.task, decision)?;
            match decision {
                Some(decision) if action.task.vote => return transition.vote(action, decision, comment),
                Some(_) | None => {}
            }
            let form = accept(&action, form, &transition.context.budget)?;
            transition.complete_task(action, decision, form, comment)
        }
        Act::Claim { lease_for } | Act::Extend { lease_for } => {
            transition.claim(action, lease_for)?;
            Ok(transition.done())
        }
        Act::Release => {
            transition.release(action);
            Ok(transition.done())
        }
        Act::Reassign { to, comment } => {
            bounded_comment(comment.as_deref())?;
            transition.reassign(action, to, comment)?;
            Ok(transition.done())
        }
        Act::Delegate { to, comment } => {
            bounded_comment(comment.as_deref())?;
            transition.delegate(action, to, comment)?;
            Ok(transition.done())
        }
        Act::Draft { form } => {
            let TaskAction { mut task, .. } = action;
            bounded_form(&form)?;
            task.draft = (!form.is_null()).then_some(form);
            transition.push(Effect::ChangeTask(Box::new(task)));
            Ok(transition.done())
        }
    }
}

/// Whether this person may act like this on the task as it is now.
fn check(transition: &Transition<'_>, task: &Task, actor: &Actor, act: &Act) -> Result<(), Refusal> {
    let Person { user, groups } = &actor.person;
    let holder = task.holder(transition.context.now);
    let theirs = task.assignee.as_ref() == Some(user);
    let holds = theirs || holder.is_some_and(|claim| claim.by == *user);
    let may = || match () {
        () if task.excluded.contains(user) => Err(TaskRefusal::Excluded(user.clone())),
        () if theirs => Ok(()),
        () if !task.users.contains(user)
            && task.delegated_by.as_ref() != Some(user)
            && !task.groups.iter().any(|group| groups.contains(group)) =>
        {
            Err(TaskRefusal::NotCandidate(user.clone()))
        }
        () => match &task.assignee {
            Some(other) => Err(TaskRefusal::Assigned(other.clone())),
            None => Ok(()),
        },
    };
    let free = || match holder {
        Some(claim) if claim.by != *user => Err(TaskRefusal::Claimed { by: claim.by.clone(), until: claim.until }),
        Some(_) | None => Ok(()),
    };
    match act {
        Act::Complete { .. } => may().and_then(|()| free())?,
        Act::Claim { .. } | Act::Delegate { .. } if task.vote => {
            return Err(TaskRefusal::Vote("every candidate decides for themselves").into());
        }
        Act::Claim { .. } | Act::Delegate { .. } => may().and_then(|()| free())?,
        Act::Extend { .. } => {
            may()?;
            if holder.is_none_or(|claim| claim.by != *user) {
                return Err(free().err().unwrap_or_else(|| TaskRefusal::NotHeld(user.clone())).into());
            }
        }
        Act::Release | Act::Draft { .. } if !holds => {
            return Err(free().err().unwrap_or_else(|| TaskRefusal::NotHeld(user.clone())).into());
        }
        Act::Reassign { .. } if task.vote => {
            return Err(TaskRefusal::Vote("every candidate decides for themselves").into());
        }
        Act::Release | Act::Draft { .. } | Act::Reassign { .. } => {}
    }
    match actor.seen {
        Some(expected) if expected != task.revision => {
            Err(TaskRefusal::Stale { expected, found: task.revision }.into())
        }
        Some(_) | None => Ok(()),
    }
}

fn decide(task: &Task, decision: Option<String>) -> Result<Option<String>, TaskRefusal> {
    let names = || task.decisions.iter().map(|decision| decision.name.as_str()).collect::<Vec<_>>().join(", ");
    match decision {
        None if task.decisions.is_empty() => Ok(None),
        None => Err(TaskRefusal::Decision(format!("the decision is missing: send one of {}", names()))),
        Some(_) if task.decisions.is_empty() => {
            Err(TaskRefusal::Decision("this task has no decisions: send none".into()))
        }
        Some(name) if task.decisions.iter().any(|known| known.name == name) => Ok(Some(name)),
        Some(name) => {
            let name: String = name.chars().take(60).collect();
            Err(TaskRefusal::Decision(format!("`{name}` is not a decision of this task: send one of {}", names())))
        }
    }
}

/// The form, checked against its schema, with defaults filled in.
fn accept(action: &TaskAction<'_>, form: Value, budget: &StepBudget) -> Result<Value, TaskRefusal> {
    bounded_form(&form)?;
    match (&action.declared.form, form) {
        (None, Value::Null) => Ok(Value::Null),
        (None, _) => Err(TaskRefusal::Form(vec!["/: this task has no form".into()])),
        (Some(schema), form) => {
            let form = if form.is_null() { json!({}) } else { form };
            if !form.is_object() {
                return Err(TaskRefusal::Form(vec!["/: the form must be a JSON object".into()]));
            }
            schema.accept(&form, budget).map(Value::Object).map_err(TaskRefusal::Form)
        }
    }
}

fn bounded_form(form: &Value) -> Result<(), TaskRefusal> {
    let bytes = values::size(form);
    if bytes <= FORM_MAX {
        return Ok(());
    }
    Err(TaskRefusal::Form(vec![format!("/: the form has {bytes} bytes; {FORM_MAX} are allowed")]))
}

fn bounded_comment(comment: Option<&str>) -> Result<(), TaskRefusal> {
    match comment.map(str::len) {
        Some(bytes) if bytes > COMMENT_MAX => {
            let problem = format!("the comment has {bytes} bytes; {COMMENT_MAX} are allowed");
            Err(TaskRefusal::Form(vec![problem]))
        }
        Some(_) | None => Ok(()),
    }
}

impl<'a> Transition<'a> {
    fn complete_task(
        mut self,
        action: TaskAction<'a>,
        decision: Option<String>,
        form: Value,
        comment: Option<String>,
    ) -> Result<Step, Halt> {
        let TaskAction { position, task, user, .. } = action;
        self.record(
            EntryKind::TaskCompleted,
            position,
            decision_details(&task, &user, decision.as_deref(), comment.as_deref()),
        );
        let result = json!({ "decision": decision, "actor": user, "form": form, "comment": comment });
        let closed = Closed { outcome: TaskOutcome::Completed, by: Some(user), result, ballots: Vec::new() };
        self.close_task(position, &task, closed)
    }

    /// Closes a completed task, and continues with its result.
    pub(super) fn close_task(mut self, position: Position<'a>, task: &Task, closed: Closed) -> Result<Step, Halt> {
        let result = closed.result.clone();
        self.take_wait(position, task.bookmark);
        if let Some(user) = &closed.by {
            self.instance.state.actors.insert(position.activity.id.clone(), Some(user.clone()));
        }
        let more =
            Map::from_iter([("by".to_owned(), json!(closed.by)), ("decision".to_owned(), result["decision"].clone())]);
        self.publish_task("task_completed", task, more);
        self.push(Effect::CloseTask { id: task.id, closed });
        self.conclude(position, Ok(result))?;
        Ok(self.done())
    }
}

/// The history details of a decision.
pub(super) fn decision_details(task: &Task, by: &str, decision: Option<&str>, comment: Option<&str>) -> Value {
    let mut details = Map::from_iter([("task".to_owned(), json!(task.id)), ("by".to_owned(), json!(by))]);
    details.extend(decision.map(|decision| ("decision".to_owned(), json!(decision))));
    details.extend(comment.map(|comment| ("comment".to_owned(), values::bounded(&json!(comment)))));
    Value::Object(details)
}

/// Refuses a closed task with its outcome, even if the instance has ended.
pub(in crate::engine) fn still_open(instance: &Instance, task: &Task) -> Result<(), Refusal> {
    let Some(closed) = &task.closed else { return admit::require_live(instance) };
    let by = closed.by.as_ref().map(|by| format!(" by `{by}`")).unwrap_or_default();
    let decision = closed.result["decision"].as_str().map(|decision| format!(" with `{decision}`")).unwrap_or_default();
    let outcome = closed.outcome.name().replace('_', " ");
    Err(TaskRefusal::Closed(format!("{outcome}{by}{decision}")).into())
}

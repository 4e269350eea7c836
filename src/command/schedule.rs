//! Schedules: create, change, pause, resume, delete, run now. `plan` evaluates them, `tick` starts their instances.

mod plan;
mod tick;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

pub use plan::{CATCH_UP_MAX, Problem};
pub use tick::tick;

use super::Error as StepError;
use super::audit::{Actor, Asked, Done, Operation};
use super::once::Answer;
use crate::app::App;
use crate::contract::schedule::{ScheduleRequest, ScheduleView, TickView};
use crate::definition::Definition;
use crate::engine::InstanceId;
use crate::expression::step_budget::StepBudget;
use crate::store::schedules::{self, Put};
use crate::store::{self, Transaction, Undo, definitions};
use plan::Plan;
use tick::{TickStart, begin};

pub use crate::store::schedules::Expect;

/// The longest name: it becomes part of the sender and of business keys.
const NAME_MAX: usize = 100;

/// Why a request about a schedule fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request has problems.
    #[error("{}", listed(.0))]
    Problems(Vec<Problem>),
    /// There is no schedule with this name.
    #[error("there is no schedule `{0}`")]
    NotFound(String),
    /// There is a schedule with this name already.
    #[error("there is a schedule `{0}` already")]
    Exists(String),
    /// It has changed since the caller read it.
    #[error("the schedule `{name}` has changed: it has revision {found}, not {seen}; read it again")]
    Stale {
        /// The schedule.
        name: String,
        /// The revision that the caller has read.
        seen: i64,
        /// Its revision now.
        found: i64,
    },
    /// The instance was not started.
    #[error(transparent)]
    Step(#[from] StepError),
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Error::Step(error.into())
    }
}

fn listed(problems: &[Problem]) -> String {
    let lines = problems.iter().map(|problem| {
        let hint = problem.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{}: {}{hint}", problem.pointer.trim_start_matches('/'), problem.detail)
    });
    lines.collect::<Vec<_>>().join("; ")
}

/// Creates or changes a schedule; true if it is new.
///
/// # Errors
/// `Problems` lists everything that is wrong: name, cron expression, zone, definition, and an input that the definition refuses.
pub async fn put(
    app: &App,
    name: &str,
    said: ScheduleRequest,
    expect: Expect,
    actor: &Actor,
) -> Result<(ScheduleView, bool), Error> {
    let mut problems = Vec::new();
    if !is_name(name) {
        let hint =
            format!("use a lower-case letter, then lower-case letters, digits, `_` and `-`; at most {NAME_MAX} in all");
        problems.push(Problem::at("/name", "this is not a valid name of a schedule", Some(hint)));
    }
    let request = said.clone();
    let parsed = app.check_elsewhere(move || Plan::parse(&request)).await?;
    let parsed = parsed.ok_or_else(|| store::Error::Busy("too many checks wait already".into()))?;
    let plan = parsed.map_err(|more| problems.extend(more)).ok();
    let mut conn = app.store.background().await?;
    let found = definitions::find_startable(&mut conn, &said.definition, said.version).await?;
    drop(conn);
    let next_at = match (found, &plan) {
        (None, _) => {
            let what = said.version.map(|version| format!(" version {version}")).unwrap_or_default();
            let detail = format!("there is no active definition `{}`{what}", said.definition);
            problems.push(Problem::at(
                "/definition",
                detail,
                Some("apply it first: `leveret definition apply`".into()),
            ));
            None
        }
        (Some(_), None) => None,
        (Some((version, now)), Some(plan)) => {
            app.clock.observe(now);
            let next_at = plan.next(now);
            let definition = app.definition(&said.definition, version).await?;
            let input = plan.input(name, next_at.unwrap_or(now), now, app.context(now).env);
            problems.extend(check_input(app, definition, input).await?);
            next_at
        }
    };
    if !problems.is_empty() {
        return Err(Error::Problems(problems));
    }
    let store = async |transaction: &mut Transaction| -> Result<_, Undo<Put, Error>> {
        let before = schedules::find(transaction, name).await?.map(|(view, _)| view.revision);
        Ok(match schedules::put(transaction, name, &said, next_at, expect).await? {
            put @ Put::Created(_) => Done::changed(put, "created"),
            Put::Changed(view) if before != Some(view.revision) => Done::changed(Put::Changed(view), "changed"),
            put @ (Put::Changed(_) | Put::Exists | Put::Missing | Put::Stale(_)) => Done::Unchanged(put),
        })
    };
    match of(actor, "schedule.put", name).run(app, store).await? {
        Put::Created(view) => Ok((*view, true)),
        Put::Changed(view) => Ok((*view, false)),
        Put::Exists => Err(Error::Exists(name.into())),
        Put::Missing => Err(Error::NotFound(name.into())),
        Put::Stale(found) => {
            let seen = if let Expect::Revision(seen) = expect { seen } else { found };
            Err(Error::Stale { name: name.into(), seen, found })
        }
    }
}

fn of<'a>(actor: &'a Actor, action: &'static str, name: &'a str) -> Operation<'a> {
    Operation { actor, action, subject: "schedule", object: name, reason: None }
}

/// Something was changed, or was so already.
fn done(changed: bool, outcome: &'static str) -> Done<bool> {
    if changed { Done::changed(true, outcome) } else { Done::Unchanged(false) }
}

fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
    name.len() <= NAME_MAX && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(fits)
}

/// Whether the input of the first tick fits the definition.
async fn check_input(
    app: &App,
    definition: Arc<Definition>,
    input: Result<Value, String>,
) -> Result<Vec<Problem>, StepError> {
    let input = match (input, &definition.input) {
        (Err(why), _) => return Ok(vec![Problem::at("/input", why, None)]),
        (Ok(input), None) if !input.is_object() && !input.is_null() => {
            return Ok(vec![Problem::at("/input", "the input must be a JSON object", None)]);
        }
        (Ok(_), None) => return Ok(Vec::new()),
        (Ok(input), Some(_)) => input,
    };
    let hint = Some(format!("the input of `{}` has this schema", definition.name));
    let accept = move || match &definition.input {
        Some(schema) => schema.accept(&input, &StepBudget::whole()).err().unwrap_or_default(),
        None => Vec::new(),
    };
    let refused = app.decide_elsewhere(accept).await?;
    Ok(refused.into_iter().map(|why| Problem::at("/input", why, hint.clone())).collect())
}

/// One schedule.
///
/// # Errors
/// `NotFound`.
pub async fn get(app: &App, name: &str) -> Result<ScheduleView, Error> {
    find(app, name).await.map(|(view, _)| view)
}

async fn find(app: &App, name: &str) -> Result<(ScheduleView, Timestamp), Error> {
    let mut conn = app.store.background().await?;
    let found = schedules::find(&mut conn, name).await?;
    found.inspect(|(_, now)| app.clock.observe(*now)).ok_or_else(|| Error::NotFound(name.into()))
}

/// The plan of a stored schedule. Its input may have thousands of expressions.
async fn stored_plan(app: &App, view: &ScheduleView) -> Result<Result<Plan, Vec<Problem>>, store::Error> {
    let said = view.said.clone();
    app.decide_elsewhere(move || Plan::parse(&said)).await
}

/// The next ticks of a schedule, also if it is paused.
///
/// # Errors
/// `NotFound`.
pub async fn upcoming(app: &App, name: &str, count: usize) -> Result<Vec<TickView>, Error> {
    let (view, now) = find(app, name).await?;
    let list = move || Ok(Plan::parse(&view.said).map_err(Error::Problems)?.upcoming(now, count));
    app.decide_elsewhere(list).await?
}

/// Pauses a schedule: its ticks start nothing.
///
/// # Errors
/// `NotFound`; `Stale`.
pub async fn pause<'a>(app: &App, name: &str, asked: impl Into<Asked<'a>>) -> Result<ScheduleView, Error> {
    let Asked { actor, origin, seen } = asked.into();
    let pause = async |transaction: &mut Transaction| -> Result<_, Undo<bool, Error>> {
        require(transaction, name, seen).await?;
        Ok(done(schedules::mark_paused(transaction, name).await?, "paused"))
    };
    of(actor, "schedule.pause", name).run_once(app, origin, &Answer::of("paused", None), pause).await?;
    get(app, name).await
}

/// Resumes a schedule from now on. Ticks that came due while it was paused are not started.
///
/// # Errors
/// `NotFound`; `Stale`.
pub async fn resume<'a>(app: &App, name: &str, asked: impl Into<Asked<'a>>) -> Result<ScheduleView, Error> {
    let Asked { actor, origin, seen } = asked.into();
    let (view, now) = find(app, name).await?;
    let next_at = stored_plan(app, &view).await?.map_err(Error::Problems)?.next(now);
    let resume = async |transaction: &mut Transaction| -> Result<_, Undo<bool, Error>> {
        require(transaction, name, seen).await?;
        Ok(done(schedules::mark_resumed(transaction, name, next_at).await?, "resumed"))
    };
    of(actor, "schedule.resume", name).run_once(app, origin, &Answer::of("resumed", None), resume).await?;
    get(app, name).await
}

/// Deletes a schedule; the instances it has started continue.
///
/// # Errors
/// `NotFound`; `Stale`.
pub async fn delete<'a>(app: &App, name: &str, asked: impl Into<Asked<'a>>) -> Result<(), Error> {
    let Asked { actor, seen, .. } = asked.into();
    let delete = async |transaction: &mut Transaction| -> Result<_, Undo<bool, Error>> {
        require(transaction, name, seen).await?;
        Ok(done(schedules::delete(transaction, name).await?, "deleted"))
    };
    if of(actor, "schedule.delete", name).run(app, delete).await? { Ok(()) } else { Err(Error::NotFound(name.into())) }
}

/// Refuses an action that was decided on another revision. The schedule is locked until the action is committed.
async fn require<T>(transaction: &mut Transaction, name: &str, seen: Option<i64>) -> Result<(), Undo<T, Error>> {
    let Some(seen) = seen else { return Ok(()) };
    match schedules::lock(transaction, name).await? {
        Some(view) => same(&view, seen).map_err(Undo::Error),
        None => Err(Undo::Error(Error::NotFound(name.into()))),
    }
}

fn same(view: &ScheduleView, seen: i64) -> Result<(), Error> {
    let (name, found) = (view.name.clone(), view.revision);
    if found == seen { Ok(()) } else { Err(Error::Stale { name, seen, found }) }
}

/// Starts an instance now, also if the schedule is paused. A repetition with the same `id` is recognised.
///
/// # Errors
/// `NotFound`; `Step` if the start is refused, for example because the instance of an earlier tick is still live and `overlap` does
/// not allow another one.
pub async fn run_now<'a>(app: &App, name: &str, id: &str, asked: impl Into<Asked<'a>>) -> Result<InstanceId, Error> {
    let Asked { actor, seen, .. } = asked.into();
    let (view, now) = find(app, name).await?;
    seen.map_or(Ok(()), |seen| same(&view, seen))?;
    let plan = stored_plan(app, &view).await?.map_err(Error::Problems)?;
    match begin(app, &view, &plan, now, now, &format!("run {id}")).await? {
        TickStart::Started(instance) => {
            let mark = async |transaction: &mut Transaction| -> Result<_, Undo<(), Error>> {
                schedules::mark_run(transaction, name, instance).await?;
                let details = Some(serde_json::json!({ "instance": instance }));
                Ok(Done::Changed { value: (), outcome: "started", details })
            };
            of(actor, "schedule.run", name).run(app, mark).await?;
            Ok(instance)
        }
        TickStart::Again(instance) => Ok(instance),
        TickStart::Taken => {
            let why = format!(
                "an instance of schedule `{name}` is still running, and `overlap` is `{}`",
                view.said.overlap.name()
            );
            Err(StepError::Refused(why).into())
        }
        TickStart::Failed(why) => Err(StepError::Invalid { why, problems: Vec::new() }.into()),
    }
}

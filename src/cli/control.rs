//! `leveret instance cancel|terminate|retry|suspend|resume|skip|jump|set|rerun|queue|priority`

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::instance::origin;
use super::output::{self, Output};
use crate::app::App;
use crate::command::{self, Applied};
use crate::contract::api::{ControlPreview, WaitPreview};
use crate::contract::{self, Target};
use crate::engine::Control;

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Cancel an instance.
    Cancel(About),
    /// End an instance at once, whatever its definition says about a cancellation.
    Terminate(About),
    /// Retry the failed activity of a suspended instance.
    Retry(About),
    /// Suspend an instance: no timer fires, and messages wait until it is resumed.
    Suspend(About),
    /// Resume an instance that was suspended by a command.
    Resume(About),
    /// Complete what an instance waits for, or what has an incident, with a result.
    Skip {
        #[command(flatten)]
        about: About,
        /// The activity that is meant; it is refused if the instance is at another one.
        #[arg(long, value_parser = output::named)]
        activity: Option<String>,
        /// The result as JSON, which `output` and `next` of the activity read.
        #[arg(long, default_value = "null")]
        result: String,
    },
    /// Continue an instance at another activity.
    Jump {
        #[command(flatten)]
        about: About,
        /// The activity.
        #[arg(value_parser = output::named)]
        activity: String,
    },
    /// Set variables of an instance, after a check against its definition.
    Set {
        #[command(flatten)]
        about: About,
        /// Variables with their new values as JSON: amount=7 note='"text"'.
        #[arg(required = true, value_name = "NAME=JSON")]
        variables: Vec<String>,
    },
    /// Run an instance again from an activity; one that has ended begins as a new instance.
    Rerun {
        #[command(flatten)]
        about: About,
        /// The activity.
        #[arg(value_parser = output::named)]
        activity: String,
    },
    /// Change the queue of the step commands of an instance.
    Queue {
        #[command(flatten)]
        about: About,
        /// The queue.
        #[arg(value_parser = output::named)]
        queue: String,
    },
    /// Change the priority of an instance.
    Priority {
        #[command(flatten)]
        about: About,
        /// The priority, from -32768 to 32767: above 0, it goes before instances that have none.
        #[arg(allow_negative_numbers = true)]
        priority: i16,
    },
}

#[derive(Args)]
pub(super) struct About {
    /// The id of the instance.
    id: Uuid,
    /// The reason, stored in the history.
    #[arg(long, visible_alias = "note")]
    reason: Option<String>,
    /// The person who acts, stored in the history.
    #[arg(long = "as", value_name = "USER", value_parser = output::named)]
    actor: Option<String>,
    /// Refuse if the instance has another revision than this, which `instance show` prints.
    #[arg(long)]
    revision: Option<i64>,
    /// Change nothing, and print what would change.
    #[arg(long)]
    dry_run: bool,
}

impl Verb {
    fn split(self) -> Result<(Control, About)> {
        Ok(match self {
            Verb::Cancel(about) => (Control::Cancel, about),
            Verb::Terminate(about) => (Control::Terminate, about),
            Verb::Retry(about) => (Control::Retry, about),
            Verb::Suspend(about) => (Control::Suspend, about),
            Verb::Resume(about) => (Control::Resume, about),
            Verb::Skip { about, activity, result } => {
                (Control::Skip { activity, result: output::value("--result", &result)? }, about)
            }
            Verb::Jump { about, activity } => (Control::Jump { to: activity }, about),
            Verb::Set { about, variables } => (Control::SetVariables { values: values(&variables)? }, about),
            Verb::Rerun { about, activity } => (Control::Rerun { from: activity }, about),
            Verb::Queue { about, queue } => (Control::SetQueue { queue }, about),
            Verb::Priority { about, priority } => (Control::SetPriority { priority }, about),
        })
    }
}

/// Reads `name=json`.
pub(super) fn values(variables: &[String]) -> Result<Map<String, Value>> {
    let one = |text: &String| {
        let (name, value) = text.split_once('=').with_context(|| format!("`{text}` is not NAME=JSON"))?;
        Ok((name.to_owned(), output::value(&format!("the value of `{name}`"), value)?))
    };
    variables.iter().map(one).collect()
}

pub(super) async fn run(app: &App, verb: Verb, output: Output) -> Result<()> {
    let (what, about) = verb.split()?;
    let target = Target {
        instance: Some(about.id),
        reason: about.reason,
        actor: about.actor,
        revision: about.revision,
        dry_run: about.dry_run,
        ..Target::default()
    };
    if target.dry_run {
        let preview = command::preview(app, what, &target, &origin(app)).await?;
        return match output {
            Output::Json => output::json(&preview),
            Output::Table => {
                describe(&preview);
                Ok(())
            }
        };
    }
    execute(app, what, &target, about.id, output).await
}

async fn execute(app: &App, what: Control, target: &contract::Target, asked: Uuid, output: Output) -> Result<()> {
    let (id, status) = match command::control(app, what, target, &origin(app)).await? {
        Applied::New(committed) => (committed.instance.id.0, committed.instance.status.name().to_owned()),
        Applied::Repeated(answer) => (answer.instance.map_or(asked, |id| id.0), answer.outcome),
    };
    match output {
        Output::Json if id == asked => output::json(&json!({ "id": id, "status": status })),
        Output::Json => output::json(&json!({ "id": id, "status": status, "rerun_of": asked })),
        Output::Table if id == asked => {
            output::line(format!("{id} is {status}"));
            Ok(())
        }
        Output::Table => {
            output::line(format!("{id} is {status}; it runs {asked} again"));
            Ok(())
        }
    }
}

/// Prints what would change.
fn describe(preview: &ControlPreview) {
    let moved = |from: &str, to: &str| if from == to { from.to_owned() } else { format!("{from} → {to}") };
    let at = |names: &[String]| if names.is_empty() { "–".to_owned() } else { names.join(", ") };
    let mut rows = vec![
        vec!["id".into(), preview.id.to_string()],
        vec!["revision".into(), preview.revision.to_string()],
        vec!["status".into(), moved(&preview.status.from, &preview.status.to)],
    ];
    match &preview.starts {
        None => {
            rows.push(vec!["activity".into(), moved(&at(&preview.at.from), &at(&preview.at.to))]);
            rows.push(vec!["queue".into(), moved(&preview.queue.from, &preview.queue.to)]);
            let priority = &preview.priority;
            rows.push(vec!["priority".into(), moved(&priority.from.to_string(), &priority.to.to_string())]);
        }
        Some(new) => {
            let name = format!("a new instance of {} version {} at {}", new.definition, new.version, at(&new.at));
            rows.push(vec!["starts".into(), name]);
        }
    }
    rows.extend(preview.variables.iter().map(|(name, value)| vec![format!("variable {name}"), value.to_string()]));
    let waits = |what: &str, waits: &[WaitPreview]| -> Vec<Vec<String>> {
        let told = |wait: &WaitPreview| format!("{} of {}", wait.kind, wait.activity);
        waits.iter().map(|wait| vec![what.to_owned(), told(wait)]).collect()
    };
    rows.extend(waits("ends the wait", &preview.ends));
    rows.extend(waits("opens the wait", &preview.opens));
    rows.extend(preview.events.iter().map(|event| vec!["publishes".into(), event.clone()]));
    if let Some(done) = &preview.done_since {
        let kept = done.items.iter().map(|item| vec!["stays done".into(), item.activity.clone()]);
        rows.extend(kept);
        if done.more {
            rows.push(vec!["stays done".into(), "and more; see `instance history`".into()]);
        }
    }
    output::table(&["", ""], rows);
    output::line("nothing was changed: this was a rehearsal");
}

//! Operations on one instance: the form, what would change, and then the change, if the instance is still as it was seen.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::fault::Fault;
use super::form::Fields;
use super::offers::{Offer, offer};
use super::path::Path;
use super::shell::{self, Page, Place};
use super::visitor::Visitor;
use super::{preview, ui};
use crate::command::{self, Applied};
use crate::contract::Target;
use crate::contract::api::InstanceView;
use crate::definition::Definition;
use crate::engine::{Control, InstanceId};
use crate::http::problem::Problem;
use crate::http::{ApiState, request};
use crate::store::views;

async fn view(api: &ApiState, id: Uuid) -> Result<InstanceView, Problem> {
    let mut conn = api.app.store.background().await?;
    let view = views::instance(&mut conn, InstanceId(id)).await?;
    view.ok_or_else(|| Problem::not_found(format!("there is no instance {id}")))
}

pub(super) async fn ask(
    State(api): State<ApiState>,
    visitor: Visitor,
    Path((id, name)): Path<(Uuid, String)>,
) -> Result<Response, Fault> {
    let offer = offer(&name)?;
    let view = view(&api, id).await?;
    let definition = api.app.definition(&view.summary.definition, view.summary.version).await.ok();
    let key = api.app.new_id().to_string();
    let body = form(&view, offer, definition.as_deref(), &Fields::default(), &key);
    Ok(shell::render(&visitor, Page { title: &title(offer, &view), place: Place::Instances, live: None, body }))
}

fn title(offer: &Offer, view: &InstanceView) -> String {
    format!("{}: {}", offer.words, view.summary.key.clone().unwrap_or_else(|| ui::short(view.summary.id)))
}

fn form(view: &InstanceView, offer: &Offer, definition: Option<&Definition>, said: &Fields, key: &str) -> Markup {
    html! {
        section.card {
            p { (offer.meaning) }
            form.stack method="post" action={ "/instances/" (view.summary.id) "/do/" (offer.name) } {
                (ui::hidden("key", key)) (ui::hidden("revision", &view.revision.to_string()))
                (arguments(view, offer, definition, said))
                label for="reason" { "Reason, kept in the history" }
                input #reason name="reason" maxlength="1000" autocomplete="off" value=(said.text("reason"));
                div.row {
                    button.primary type="submit" name="step" value="preview" { "Preview" }
                    a.button href={ "/instances/" (view.summary.id) } { "Back" }
                }
            }
        }
    }
}

/// The fields that this operation needs.
fn arguments(view: &InstanceView, offer: &Offer, definition: Option<&Definition>, said: &Fields) -> Markup {
    html! {
        @match offer.name {
            "skip" => {
                label for="result" { "Result, as JSON" }
                textarea #result name="result" spellcheck="false" { (said.text("result")) }
            }
            "jump" | "rerun" => {
                label for="activity" { "Activity" }
                select #activity name="activity" required {
                    @for activity in definition.map(|definition| definition.activities.as_slice()).unwrap_or_default() {
                        option value=(activity.id) selected[said.text("activity") == activity.id] { (activity.id) " (" (activity.work.kind()) ")" }
                    }
                }
            }
            "variables" => {
                label for="variables" { "Variables with their new values, as JSON" }
                textarea #variables name="variables" spellcheck="false" required {
                    (said.some("variables").unwrap_or_else(|| serde_json::to_string_pretty(&view.variables).unwrap_or_default()))
                }
            }
            "queue" => { label for="queue" { "Queue" } input #queue name="queue" required value=(said.some("queue").unwrap_or_else(|| view.queue.clone())); }
            "priority" => { label for="priority" { "Priority" } input #priority name="priority" type="number" min="-32768" max="32767" required value=(said.some("priority").unwrap_or_else(|| view.priority.to_string())); }
            _ => {}
        }
    }
}

/// The command that a form asks for.
fn control(name: &str, fields: &Fields) -> Result<Control, Problem> {
    let needed = |field: &str| {
        let text = fields.some(field).ok_or_else(|| Problem::invalid(format!("`{field}` is missing")))?;
        request::bounded(field, &text).map(|()| text)
    };
    Ok(match name {
        "retry" => Control::Retry,
        "resume" => Control::Resume,
        "suspend" => Control::Suspend,
        "cancel" => Control::Cancel,
        "terminate" => Control::Terminate,
        "skip" => Control::Skip { activity: None, result: json(fields, "result")? },
        "jump" => Control::Jump { to: needed("activity")? },
        "rerun" => Control::Rerun { from: needed("activity")? },
        "variables" => Control::SetVariables { values: object(json(fields, "variables")?)? },
        "queue" => Control::SetQueue { queue: needed("queue")? },
        "priority" => {
            let number = fields.number("priority")?.and_then(|number| i16::try_from(number).ok());
            Control::SetPriority {
                priority: number.ok_or_else(|| Problem::invalid("`priority` must be from -32768 to 32767"))?,
            }
        }
        other => return Err(Problem::not_found(format!("`{}` is not an operation", request::shorten(other)))),
    })
}

/// A field that holds JSON; null if it is empty.
fn json(fields: &Fields, name: &str) -> Result<Value, Problem> {
    match fields.some(name) {
        None => Ok(Value::Null),
        Some(text) => {
            let value = crate::contract::json::read(text.as_bytes())
                .map_err(|refused| Problem::invalid(format!("`{name}` {refused}")))?;
            crate::contract::refuse_unfit(&value).map_err(Problem::invalid)?;
            Ok(value)
        }
    }
}

fn object(value: Value) -> Result<Map<String, Value>, Problem> {
    match value {
        Value::Object(values) => Ok(values),
        _ => Err(Problem::invalid("the variables must be a JSON object, as in {\"amount\": 5}")),
    }
}

pub(super) async fn act(
    State(api): State<ApiState>,
    visitor: Visitor,
    Path((id, name)): Path<(Uuid, String)>,
    fields: Fields,
) -> Result<Response, Fault> {
    let offer = offer(&name)?;
    let what = control(&name, &fields)?;
    let revision = fields.number("revision")?;
    let actor = Some(visitor.user.clone()).filter(|user| !user.is_empty());
    let target = Target { instance: Some(id), reason: fields.some("reason"), actor, revision, ..Target::default() };
    let origin = visitor.origin(&api, &fields, &format!("{name} {id}"))?;
    if fields.text("step") == "execute" {
        return match command::control(&api.app, what, &target, &origin).await {
            Ok(Applied::New(committed)) => {
                Ok(Redirect::to(&format!("/instances/{}", committed.instance.id)).into_response())
            }
            Ok(Applied::Repeated(answer)) => {
                Ok(Redirect::to(&format!("/instances/{}", answer.instance.map_or(id, |instance| instance.0)))
                    .into_response())
            }
            Err(command::Error::Changed(why)) => overtaken(&api, &visitor, id, offer, &fields, &why).await,
            Err(error) => Err(error.into()),
        };
    }
    match command::preview(&api.app, what, &Target { dry_run: true, ..target }, &origin).await {
        Ok(preview) => {
            let view = view(&api, id).await?;
            let body = preview::shown(
                &preview,
                &fields,
                &format!("/instances/{id}/do/{name}"),
                &format!("/instances/{id}"),
                offer.words,
            );
            Ok(shell::render(&visitor, Page { title: &title(offer, &view), place: Place::Instances, live: None, body }))
        }
        Err(command::Error::Changed(why)) => overtaken(&api, &visitor, id, offer, &fields, &why).await,
        Err(error) => Err(error.into()),
    }
}

/// The page of a conflict: what the instance is now, and the same form again.
async fn overtaken(
    api: &ApiState,
    visitor: &Visitor,
    id: Uuid,
    offer: &Offer,
    fields: &Fields,
    why: &str,
) -> Result<Response, Fault> {
    let view = view(api, id).await?;
    let definition = api.app.definition(&view.summary.definition, view.summary.version).await.ok();
    let key = api.app.new_id().to_string();
    let fits = offer.fits.contains(&view.summary.status.as_str());
    let body = html! {
        section.note.is-suspended role="alert" {
            p { strong { "Somebody was faster: nothing of yours was done." } }
            p { (why) }
            p {
                "You have seen revision " (fields.text("revision")) "; now it is revision " (view.revision) ", "
                (ui::badge(&view.summary.status)) @if !view.summary.at.is_empty() { " at " code { (view.summary.at.join(", ")) } }
            }
            p { a href={ "/instances/" (id) } { "See what has happened" } }
        }
        @if fits { (form(&view, offer, definition.as_deref(), fields, &key)) }
    };
    let page = shell::render(visitor, Page { title: &title(offer, &view), place: Place::Instances, live: None, body });
    Ok((StatusCode::CONFLICT, page).into_response())
}

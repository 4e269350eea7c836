//! The dashboard: pages for people, written on the server. They read through the functions of the API and act through those of `command`.

mod assets;
mod bulk;
mod charts;
mod check;
mod definitions;
mod fault;
mod form;
mod form_fields;
mod graph;
mod head;
mod icons;
mod incidents;
mod instance;
mod instances;
mod letters;
mod live;
mod offers;
mod operation;
mod overview;
mod path;
mod preview;
mod schedules;
mod shell;
mod system;
mod targets;
mod task;
mod task_form;
mod tasks;
mod timeline;
mod timeline_view;
mod trial;
mod ui;
mod visitor;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{get, post};

use super::ApiState;

pub(super) use fault::{as_page, no_route};

/// The largest form of a page, in bytes: a document to be checked, written for an address, may take three times its size.
const FORM_MAX: usize = 1024 * 1024;
/// Rows of a list on one page.
const ROWS: i64 = 50;

/// The pages, from `/` on.
pub(super) fn router() -> Router<ApiState> {
    Router::new()
        .route("/", get(overview::show))
        .route("/login", get(visitor::login))
        .route("/who", get(visitor::ask).post(visitor::note))
        .route("/targets", get(targets::list))
        .route("/system", get(system::show))
        .route("/assets/{name}", get(assets::serve))
        .merge(work())
        .merge(troubles())
        .merge(plans())
        .layer(DefaultBodyLimit::max(FORM_MAX))
        .layer(middleware::from_fn(head::of_a_page))
}

/// Instances, what is done with many of them, and tasks.
fn work() -> Router<ApiState> {
    Router::new()
        .route("/instances", get(instances::list))
        .route("/instances/{id}", get(instance::show))
        .route("/instances/{id}/do/{operation}", get(operation::ask).post(operation::act))
        .route("/bulk", get(bulk::list).post(bulk::start))
        .route("/bulk/{id}", get(bulk::show))
        .route("/bulk/{id}/do/{change}", post(bulk::change))
        .route("/tasks", get(tasks::list))
        .route("/tasks/{id}", get(task::show))
        .route("/tasks/{id}/do/{act}", post(task::act))
}

/// What waits for a decision of an operator.
fn troubles() -> Router<ApiState> {
    Router::new()
        .route("/incidents", get(incidents::list))
        .route("/incidents/{fingerprint}", get(incidents::show))
        .route("/incidents/{fingerprint}/do/{change}", post(incidents::change))
        .route("/dead-letters", get(letters::list))
        .route("/dead-letters/{id}", get(letters::show))
        .route("/dead-letters/{id}/do/{deed}", post(letters::act))
}

/// Definitions and schedules.
fn plans() -> Router<ApiState> {
    Router::new()
        .route("/definitions", get(definitions::list))
        .route("/definitions/{name}", get(definitions::show))
        .route("/definitions/{name}/versions/{version}", get(definitions::show_version))
        .route("/definitions/{name}/diff", get(definitions::diff))
        .route("/check", get(check::ask).post(check::answer))
        .route("/schedules", get(schedules::list))
        .route("/schedules/{name}", get(schedules::show))
        .route("/schedules/{name}/do/{deed}", post(schedules::act))
}

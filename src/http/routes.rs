//! Every route of the API, with what the OpenAPI document says of it.

use axum::http::Method;

use super::problem::{self, Kind};
use super::route::{Routes, told};
use super::{
    DOCUMENT_MAX, audit, bulk, calls, control, definitions, drawings, health, incidents, instances, live, messages,
    operations, readiness, schedules, targets, tasks, waits,
};

/// What an operation on one instance can be refused for.
const OPERATION: &[Kind] = &[Kind::Refused, Kind::Stale, Kind::Input];
/// What an action on one task can be refused for.
const TASK: &[Kind] = &[
    Kind::Refused,
    Kind::TaskNotCandidate,
    Kind::TaskExcluded,
    Kind::TaskAssigned,
    Kind::TaskClosed,
    Kind::TaskStale,
    Kind::TaskClaimed,
    Kind::TaskNotHeld,
    Kind::TaskVoted,
    Kind::TaskVote,
    Kind::TaskDecision,
    Kind::TaskForm,
];
const REFUSED: &[Kind] = &[Kind::Refused];
const SCHEDULE: &[Kind] = &[Kind::Refused, Kind::Schedule, Kind::ScheduleStale];

/// All routes; a command has at most this number of bytes.
pub(super) fn all(commands_max: usize) -> Routes {
    let commands = instance_routes()
        .merge(message_routes())
        .merge(task_routes())
        .merge(incident_routes())
        .merge(call_routes())
        .merge(schedule_routes())
        .merge(bulk_routes())
        .merge(record_routes())
        .merge(live_routes())
        .bodies_max(commands_max);
    let documents = definition_routes().bodies_max(DOCUMENT_MAX);
    let api = commands.merge(documents).map(|router| router.method_not_allowed_fallback(problem::no_method));
    api.below("/api/v1").merge(process_routes())
}

/// Instances and the operations on one.
fn instance_routes() -> Routes {
    let started = told("startInstance", "Start an instance").with(&[201, 200]);
    let started = started.or(&[Kind::NotFound, Kind::Refused, Kind::Input, Kind::Limited]);
    Routes::of("instances")
        .post("/instances", instances::start, started)
        .get("/instances", instances::list, told("listInstances", "List instances, newest first"))
        .get("/instances/{id}", instances::get, told("getInstance", "Show an instance").tagged())
        .get("/instances/{id}/history", instances::history, told("getHistory", "Show the history of an instance"))
        .post("/instances/{id}/cancel", control::cancel, told("cancelInstance", "Cancel an instance").or(OPERATION))
        .post(
            "/instances/{id}/terminate",
            control::terminate,
            told("terminateInstance", "End an instance at once").or(OPERATION),
        )
        .post(
            "/instances/{id}/retry",
            control::retry,
            told("retryInstance", "Try again what has an incident").or(OPERATION),
        )
        .post("/instances/{id}/suspend", control::suspend, told("suspendInstance", "Pause an instance").or(OPERATION))
        .post("/instances/{id}/resume", control::resume, told("resumeInstance", "Continue an instance").or(OPERATION))
        .post(
            "/instances/{id}/skip",
            control::skip,
            told("skipActivity", "Complete with a result what an instance waits for").or(OPERATION),
        )
        .post("/instances/{id}/jump", control::jump, told("jump", "Continue at another activity").or(OPERATION))
        .post(
            "/instances/{id}/rerun",
            control::rerun,
            told("rerunInstance", "Run again from an activity; an ended instance begins as a new one").or(OPERATION),
        )
        .route(
            Method::PATCH,
            "/instances/{id}/variables",
            control::set_variables,
            told("setVariables", "Set variables of an instance").or(OPERATION),
        )
        .post(
            "/instances/{id}/queue",
            control::set_queue,
            told("setQueue", "Change the queue of an instance").or(OPERATION),
        )
        .post(
            "/instances/{id}/priority",
            control::set_priority,
            told("setPriority", "Change the priority of an instance").or(OPERATION),
        )
}

/// What happens as it happens, and drawings of it.
fn live_routes() -> Routes {
    let drawn = |id, summary| told(id, summary).as_media(drawings::SVG).or(&[Kind::NotFound]);
    let written = |id, summary| told(id, summary).as_media(drawings::MERMAID).or(&[Kind::NotFound]);
    Routes::of("live")
        .get(
            "/instances/{id}/events",
            live::instance,
            told("listenToInstance", "The history of an instance as it grows, as server-sent events")
                .with(&[200, 204])
                .as_media(live::MEDIA),
        )
        .get(
            "/events",
            live::lists,
            told("listenToLists", "Which lists have changed, as server-sent events").as_media(live::MEDIA),
        )
        .get("/instances/{id}/graph.svg", drawings::instance_svg, drawn("drawInstance", "Draw the path of an instance"))
        .get(
            "/instances/{id}/graph.mmd",
            drawings::instance_mermaid,
            written("drawInstanceAsMermaid", "Draw the path of an instance, as a Mermaid flowchart"),
        )
        .get("/definitions/{name}/graph.svg", drawings::definition_svg, drawn("drawDefinition", "Draw a definition"))
        .get(
            "/definitions/{name}/graph.mmd",
            drawings::definition_mermaid,
            written("drawDefinitionAsMermaid", "Draw a definition, as a Mermaid flowchart"),
        )
}

/// Messages, and the timers of instances.
fn message_routes() -> Routes {
    let sent = told("sendMessage", "Send a message to the instances that wait for its name and key");
    Routes::of("messages")
        .post("/messages", messages::send, sent.with(&[200, 202]).or(&[Kind::Refused, Kind::Input]))
        .get("/messages", messages::list, told("listMessages", "List kept messages, newest first"))
        .merge(
            Routes::of("timers")
                .get("/timers", waits::timers, told("listTimers", "List open timers, the next one first"))
                .post(
                    "/timers/{instance}/{bookmark}/reschedule",
                    waits::reschedule,
                    told("rescheduleTimer", "Change the due time of an open timer").or(OPERATION),
                ),
        )
}

/// Tasks of people.
fn task_routes() -> Routes {
    Routes::of("tasks")
        .get("/tasks", tasks::list, told("listTasks", "List the tasks of an inbox"))
        .get("/tasks/count", tasks::count, told("countTasks", "Count the tasks of an inbox"))
        .post(
            "/tasks/claim-next",
            tasks::claim_next,
            told("claimNextTask", "Claim the first task of an inbox; null if there is none").tagged().or(TASK),
        )
        .get("/tasks/{id}", tasks::get, told("getTask", "Show a task").tagged())
        .post("/tasks/{id}/claim", tasks::claim, told("claimTask", "Claim a task").tagged().or(TASK))
        .post("/tasks/{id}/extend", tasks::extend, told("extendTask", "Extend a claim").tagged().or(TASK))
        .post("/tasks/{id}/release", tasks::release, told("releaseTask", "Release a claimed task").tagged().or(TASK))
        .post(
            "/tasks/{id}/complete",
            tasks::complete,
            told("completeTask", "Complete a task, or cast a vote").tagged().or(TASK),
        )
        .post(
            "/tasks/{id}/reassign",
            tasks::reassign,
            told("reassignTask", "Assign a task to another user, or to all candidates").tagged().or(TASK),
        )
        .post(
            "/tasks/{id}/delegate",
            tasks::delegate,
            told("delegateTask", "Let another user do a task, which then returns").tagged().or(TASK),
        )
        .post(
            "/tasks/{id}/draft",
            tasks::draft,
            told("saveDraft", "Keep a form that is half filled in").tagged().or(TASK),
        )
}

/// Incidents one by one, and by their cause.
fn incident_routes() -> Routes {
    Routes::of("incidents")
        .get("/incidents", waits::incidents, told("listIncidents", "List open incidents, newest first"))
        .get("/incidents/groups", incidents::groups, told("listIncidentGroups", "List open incidents by their cause"))
        .get(
            "/incidents/groups/{fingerprint}",
            incidents::group,
            told("getIncidentGroup", "Show a cause with its newest incidents and notes"),
        )
        .post(
            "/incidents/groups/{fingerprint}/assign",
            incidents::assign,
            told("assignIncidentGroup", "Say who looks after a cause").or(REFUSED),
        )
        .post(
            "/incidents/groups/{fingerprint}/comment",
            incidents::comment,
            told("commentIncidentGroup", "Comment on a cause").or(REFUSED),
        )
        .post(
            "/incidents/groups/{fingerprint}/mute",
            incidents::mute,
            told("muteIncidentGroup", "Mute a cause for a while, or unmute it").or(REFUSED),
        )
        .post(
            "/incidents/{instance}/resolve",
            incidents::resolve,
            told("resolveIncidents", "Resolve the incidents of an instance").or(OPERATION),
        )
}

/// Calls and their targets.
fn call_routes() -> Routes {
    let resolved = told("resolveCall", "Say the outcome of an unknown call, as a person found it out");
    Routes::of("calls")
        .get("/calls", calls::list, told("listCalls", "List calls, newest first"))
        .get("/calls/{id}", calls::get, told("getCall", "Show a call"))
        .post(
            "/calls/{id}/complete",
            calls::complete,
            told("completeCall", "The outcome of a call, from its target or an external worker").or(REFUSED),
        )
        .post("/calls/{id}/resolve", calls::resolve, resolved.or(REFUSED))
        .get("/targets", targets::list, told("listTargets", "List the targets of calls with their breakers and limits"))
}

/// Schedules.
fn schedule_routes() -> Routes {
    let put = told("putSchedule", "Create or change a schedule").with(&[201, 200]).tagged();
    let run = told("runSchedule", "Start an instance of a schedule now").with(&[201]);
    Routes::of("schedules")
        .get("/schedules", schedules::list, told("listSchedules", "List schedules by name"))
        .route(Method::PUT, "/schedules/{name}", schedules::put, put.or(SCHEDULE))
        .get("/schedules/{name}", schedules::get, told("getSchedule", "Show a schedule").tagged())
        .route(
            Method::DELETE,
            "/schedules/{name}",
            schedules::delete,
            told("deleteSchedule", "Delete a schedule; its instances continue").with(&[204]).or(SCHEDULE),
        )
        .post(
            "/schedules/{name}/pause",
            schedules::pause,
            told("pauseSchedule", "Pause a schedule").tagged().or(SCHEDULE),
        )
        .post(
            "/schedules/{name}/resume",
            schedules::resume,
            told("resumeSchedule", "Resume a schedule").tagged().or(SCHEDULE),
        )
        .post(
            "/schedules/{name}/run",
            schedules::run,
            run.or(&[Kind::Refused, Kind::Schedule, Kind::ScheduleStale, Kind::Input, Kind::Limited]),
        )
        .get(
            "/schedules/{name}/next",
            schedules::next,
            told("getNextTicks", "Show the next ticks of a schedule").or(SCHEDULE),
        )
}

/// Bulk jobs.
fn bulk_routes() -> Routes {
    let started = told("startBulkJob", "Start a bulk job; with `dry_run` count what it would change");
    Routes::of("bulk")
        .post("/bulk", bulk::start, started.with(&[201, 200]).or(REFUSED))
        .get("/bulk", bulk::list, told("listBulkJobs", "List bulk jobs, newest first"))
        .get("/bulk/{id}", bulk::get, told("getBulkJob", "Show a bulk job with its progress"))
        .get("/bulk/{id}/items", bulk::items, told("listBulkItems", "List the instances of a bulk job"))
        .post("/bulk/{id}/pause", bulk::pause, told("pauseBulkJob", "Claim no more items").or(REFUSED))
        .post("/bulk/{id}/resume", bulk::resume, told("resumeBulkJob", "Claim items again").or(REFUSED))
        .post("/bulk/{id}/abort", bulk::abort, told("abortBulkJob", "End a bulk job").or(REFUSED))
}

/// What is kept for a person to look at: the audit log and dead letters.
fn record_routes() -> Routes {
    Routes::of("audit").get("/audit", audit::list, told("listAudit", "List what operators have done")).merge(
        Routes::of("dead-letters")
            .get("/dead-letters", operations::dead_letters, told("listDeadLetters", "List dead letters, newest first"))
            .post(
                "/dead-letters/redrive",
                operations::redrive_all,
                told("redriveDeadLetters", "Send a batch of dead letters again").or(REFUSED),
            )
            .post(
                "/dead-letters/drop",
                operations::drop_all,
                told("dropDeadLetters", "Delete a batch of dead letters").or(REFUSED),
            )
            .get("/dead-letters/{id}", operations::dead_letter, told("getDeadLetter", "Show a dead letter"))
            .post(
                "/dead-letters/{id}/redrive",
                operations::redrive,
                told("redriveDeadLetter", "Send a dead letter again").or(REFUSED),
            )
            .post(
                "/dead-letters/{id}/drop",
                operations::drop_one,
                told("dropDeadLetter", "Delete a dead letter").or(REFUSED),
            ),
    )
}

/// Definitions.
fn definition_routes() -> Routes {
    Routes::of("definitions")
        .get("/definitions", definitions::list, told("listDefinitions", "List definitions by name"))
        .post("/definitions/check", definitions::check, told("checkDefinition", "Check a document, and store nothing"))
        .route(
            Method::PUT,
            "/definitions/{name}",
            definitions::apply,
            told("applyDefinition", "Apply a document")
                .with(&[201, 200])
                .tagged()
                .or(&[Kind::Refused, Kind::DefinitionStale]),
        )
        .get(
            "/definitions/{name}",
            definitions::get,
            told("getDefinition", "Show the newest version of a definition").tagged(),
        )
        .get(
            "/definitions/{name}/versions/{version}",
            definitions::get_version,
            told("getDefinitionVersion", "Show one version of a definition").tagged(),
        )
}

/// Health, metrics and contracts, for machines.
fn process_routes() -> Routes {
    Routes::of("process")
        .get("/livez", health::livez, told("getLiveness", "Whether the process runs"))
        .get(
            "/readyz",
            readiness::readyz,
            told("getReadiness", "Whether the process can work, and what slows it down").with(&[200, 503]),
        )
        .get(
            "/metrics",
            health::metrics,
            told("getMetrics", "Metrics for Prometheus").as_media("text/plain; version=0.0.4").or(&[Kind::NotFound]),
        )
        .get("/openapi.json", health::openapi, told("getOpenapi", "This document"))
        .get("/asyncapi.json", health::asyncapi, told("getAsyncapi", "The contract of messages as AsyncAPI 3.0"))
        .get("/problems/{name}", health::problem, told("getProblem", "What a kind of problem means, and what to do"))
}

//! `leveret doctor --mend`: what is safe to do by itself, because it adds what is missing and changes nothing that is there.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use super::Finding;
use crate::app::App;
use crate::cli::instance::actor;
use crate::command::audit::{Done, Operation};
use crate::config::Config;
use crate::handlers::Handlers;
use crate::store::{Error, Transaction, Undo, history, vitals};

/// The broker must answer within this time.
const BROKER_FOR: Duration = Duration::from_secs(10);
/// The pause between two looks at the queues.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Mends what can be mended; says what was done, and what could not be.
pub(super) async fn run(config: &Config) -> Result<Vec<Finding>> {
    let missing = missing_queues(config).await?;
    // A process that publishes declares exchanges and queues when it connects.
    let (app, _publish_queues) = App::new(config.clone(), Handlers::new(), "leveret doctor --mend")?;
    let mended = vec![partitions(&app).await, rights(&app).await, queues(&app, &missing).await];
    app.shut_down().await;
    Ok(mended.into_iter().flatten().collect())
}

fn operation<'a>(actor: &'a crate::command::Actor, object: &'a str) -> Operation<'a> {
    Operation { actor, action: "doctor.mend", subject: "doctor", object, reason: None }
}

fn mended(says: String) -> Option<Finding> {
    Some(Finding { what: "mended", good: true, says })
}

fn failed(what: &str, error: &impl std::fmt::Display) -> Option<Finding> {
    Some(Finding { what: "not mended", good: false, says: format!("{what}: {error}") })
}

/// The partitions of history of the coming months.
async fn partitions(app: &App) -> Option<Finding> {
    let actor = actor(app);
    let create = async |transaction: &mut Transaction| -> Result<_, Undo<usize, Error>> {
        let now = app.clock.now();
        Ok(match history::ensure_partitions(transaction, now).await? {
            0 => Done::Unchanged(0),
            made => Done::Changed { value: made, outcome: "created", details: Some(json!({ "partitions": made })) },
        })
    };
    match operation(&actor, "partitions").run(app, create).await {
        Ok(0) => None,
        Ok(made) => mended(format!("created {made} partitions of history")),
        Err(error) => failed("the partitions of history", &error),
    }
}

/// The rights of the role that deletes and erases.
async fn rights(app: &App) -> Option<Finding> {
    let actor = actor(app);
    let grant = async |transaction: &mut Transaction| -> Result<_, Undo<bool, Error>> {
        let missing = vitals::missing_rights(transaction).await?;
        if missing.is_empty() {
            return Ok(Done::Unchanged(false));
        }
        vitals::grant_rights(transaction).await?;
        Ok(Done::Changed { value: true, outcome: "granted", details: Some(json!({ "missing": missing })) })
    };
    match operation(&actor, "rights").run(app, grant).await {
        Ok(false) => None,
        Ok(true) => mended("granted the role leveret_retention its rights".into()),
        Err(error) => failed("the rights of the role leveret_retention", &error),
    }
}

/// The exchanges and queues that are missing, as a process sees it that declares none. Empty if the broker does not answer.
async fn missing_queues(config: &Config) -> Result<Vec<String>> {
    let app = App::for_inspection(config.clone(), "leveret doctor --mend")?;
    let looked = timeout(BROKER_FOR, async {
        app.broker.connected().await;
        app.broker.verify().await
    });
    let missing = match looked.await {
        Ok(Ok(compared)) => compared.missing,
        Ok(Err(_)) | Err(_) => Vec::new(),
    };
    app.shut_down().await;
    Ok(missing)
}

/// Exchanges and queues that every process declares.
async fn queues(app: &App, missing: &[String]) -> Option<Finding> {
    if timeout(BROKER_FOR, app.broker.connected()).await.is_err() {
        return failed("the queues", &"the broker does not answer");
    }
    let until = Instant::now() + BROKER_FOR;
    loop {
        match app.broker.verify().await {
            Ok(compared) if compared.is_equal() => return declared(app, missing).await,
            Ok(compared) if Instant::now() >= until => {
                let left = [compared.missing, compared.different, compared.down].concat().join("; ");
                return failed("the queues", &left);
            }
            Err(error) if Instant::now() >= until => return failed("the queues", &error),
            Ok(_) | Err(_) => sleep(LOOK_EVERY).await,
        }
    }
}

/// Notes what was missing, and is there now.
async fn declared(app: &App, missing: &[String]) -> Option<Finding> {
    if missing.is_empty() {
        return None;
    }
    let actor = actor(app);
    let details = Some(json!({ "missing": missing }));
    match operation(&actor, "queues").note(app, "declared", details).await {
        Ok(()) => mended(format!("declared {}", missing.join(", "))),
        Err(error) => failed("the queues are declared, and that could not be noted in the audit log", &error),
    }
}

//! Dead rows of the outbox that an operator publishes again.

use serde_json::json;
use uuid::Uuid;

use super::audit::{Actor, Done, Operation};
use crate::app::App;
use crate::store::{Error, Transaction, Undo, outbox};

/// Makes dead rows publishable again: the given one, or the oldest `limit`. Returns how many.
///
/// # Errors
/// As for any query.
pub async fn revive(app: &App, id: Option<Uuid>, limit: i64, actor: &Actor) -> Result<usize, Error> {
    let object = id.map_or_else(String::new, |id| id.to_string());
    let operation = Operation { actor, action: "outbox.revive", subject: "outbox", object: &object, reason: None };
    let revive = async |transaction: &mut Transaction| -> Result<_, Undo<usize, Error>> {
        Ok(match outbox::revive(transaction, id, limit).await? {
            0 => Done::Unchanged(0),
            count => Done::Changed { value: count, outcome: "revived", details: Some(json!({ "rows": count })) },
        })
    };
    operation.run(app, revive).await
}

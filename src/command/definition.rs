//! Documents that an operator stores.

use serde_json::json;

use super::audit::{Actor, Done, Operation};
use crate::app::App;
use crate::definition::Parsed;
use crate::store::definitions::{self, Applied};
use crate::store::{Error, Undo};

/// Stores a document as a new active version, unless the newest version already has it.
///
/// # Errors
/// `Bug` if the document holds a value that PostgreSQL cannot store.
pub async fn apply(app: &App, parsed: &Parsed, actor: &Actor) -> Result<Applied, Error> {
    let object = parsed.definition.name.as_str();
    let operation = Operation { actor, action: "definition.apply", subject: "definition", object, reason: None };
    let apply = async |transaction: &mut crate::store::Transaction| -> Result<_, Undo<Applied, Error>> {
        let applied = definitions::apply(transaction, parsed).await?;
        Ok(match applied.changed {
            true => {
                let details = Some(json!({ "version": applied.version, "hash": hex::encode(parsed.hash) }));
                Done::Changed { value: applied, outcome: "applied", details }
            }
            false => Done::Unchanged(applied),
        })
    };
    operation.run(app, apply).await
}

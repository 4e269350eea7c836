//! Documents that an operator stores.

use serde_json::json;

use super::audit::{Actor, Done, Operation};
use crate::app::App;
use crate::definition::Parsed;
use crate::store::definitions::{self, Applied};
use crate::store::{Error, Undo};

/// What became of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is the newest version now, or was before.
    Applied(Applied),
    /// The newest version is another one than the author has seen; 0 if there is none.
    Stale(i32),
}

/// Stores a document as a new active version, unless the newest version already has it. It must then follow the version that was seen, if
/// one is named.
///
/// # Errors
/// `Bug` if the document holds a value that PostgreSQL cannot store.
pub async fn apply(app: &App, parsed: &Parsed, seen: Option<i64>, actor: &Actor) -> Result<Outcome, Error> {
    let object = parsed.definition.name.as_str();
    let operation = Operation { actor, action: "definition.apply", subject: "definition", object, reason: None };
    let apply = async |transaction: &mut crate::store::Transaction| -> Result<_, Undo<Outcome, Error>> {
        let applied = definitions::apply(transaction, parsed).await?;
        let before = applied.version - 1;
        if applied.changed && seen.is_some_and(|seen| seen != i64::from(before)) {
            return Err(Undo::Value(Outcome::Stale(before)));
        }
        Ok(match applied.changed {
            true => {
                let details = Some(json!({ "version": applied.version, "hash": hex::encode(parsed.hash) }));
                Done::Changed { value: Outcome::Applied(applied), outcome: "applied", details }
            }
            false => Done::Unchanged(Outcome::Applied(applied)),
        })
    };
    operation.run(app, apply).await
}

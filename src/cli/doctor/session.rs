//! The settings of the sessions, and which defaults of the database they replace.

use super::Finding;
use crate::app::App;
use crate::store::session::{self, Kept, Prepared, Standing};
use crate::store::{self};

pub(super) async fn check(app: &App) -> Result<Finding, store::Error> {
    let mut conn = app.store.steps().await?;
    Ok(judge(&session::look(&mut conn).await?))
}

fn judge(standing: &Standing) -> Finding {
    let Standing { kept, prepared, replaced, durability, language } = standing;
    let mut says = match kept {
        Kept::Session => format!("read committed, synchronous_commit = {durability}, as verified after connecting"),
        Kept::Transaction => format!(
            "read committed, synchronous_commit = {durability}, sent with each transaction: a pooler drops the start-up options"
        ),
    };
    match (kept, prepared) {
        (Kept::Session, _) => {}
        (Kept::Transaction, Prepared::Connection) => says.push_str("; it keeps prepared statements"),
        (Kept::Transaction, Prepared::Transaction) => says.push_str(
            "; it does not keep prepared statements, so that each is prepared again in each transaction: with PgBouncer from 1.21 set \
             max_prepared_statements, or with a pooler in session mode `database.prepared_statements = \"on\"`",
        ),
    }
    if !replaced.is_empty() {
        says.push_str(&format!("; not used are the defaults of this database and role: {}", replaced.join(", ")));
    }
    // Transient errors of handlers are recognised by PostgreSQL's words.
    let is_english =
        ["", "C", "POSIX"].contains(&language.as_str()) || language.starts_with("C.") || language.starts_with("en");
    if !is_english {
        says.push_str(&format!(
            "; but the messages of the server are in `{language}`, so that a deadlock or a timeout of a handler is not \
             recognised and not retried: as a superuser run `ALTER ROLE … SET lc_messages = 'C'` for this role"
        ));
    }
    Finding { what: "session", good: is_english, says }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_that_are_replaced_are_named() {
        let standing = Standing {
            kept: Kept::Session,
            prepared: Prepared::Connection,
            replaced: vec!["synchronous_commit = off".into()],
            durability: "on".into(),
            language: "en_US.UTF-8".into(),
        };
        let found = judge(&standing);
        assert!(found.good && found.says.ends_with("synchronous_commit = off"), "{}", found.says);
        let pooled = Standing { kept: Kept::Transaction, prepared: Prepared::Transaction, ..standing.clone() };
        let found = judge(&pooled);
        assert!(found.good && found.says.contains("max_prepared_statements"), "{}", found.says);
        let german = judge(&Standing { language: "de_DE.UTF-8".into(), ..standing });
        assert!(!german.good && german.says.contains("lc_messages"), "{}", german.says);
    }
}

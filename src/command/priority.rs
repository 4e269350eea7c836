//! The priority that an instance would have, before it is started: its start may go before others.

use crate::app::App;
use crate::contract::Start;
use crate::store::{self, definitions};

/// The priority that a start names, or else that of its definition; 0 if that cannot be read, which the start will say itself.
pub async fn priority(app: &App, start: &Start) -> i16 {
    if let Some(priority) = start.priority {
        return priority;
    }
    match of_definition(app, start).await {
        Ok(priority) => priority.unwrap_or_default(),
        Err(error) => {
            tracing::debug!(%error, definition = start.definition, "the priority of a start is not known");
            0
        }
    }
}

/// Reads the database only if this process does not know the definition; then the start need not.
async fn of_definition(app: &App, start: &Start) -> Result<Option<i16>, store::Error> {
    let version = match start.version.or_else(|| app.newest_version(&start.definition)) {
        Some(version) => version,
        None => {
            let mut conn = app.store.steps().await?;
            let found = definitions::find_startable(&mut conn, &start.definition, None).await?;
            let Some((version, now)) = found else { return Ok(None) };
            app.clock.observe(now);
            app.remember_newest(&start.definition, version);
            version
        }
    };
    Ok(Some(app.definition(&start.definition, version).await?.priority))
}

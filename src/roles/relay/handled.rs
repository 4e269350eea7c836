//! Forgets commands that were published for their senders, once they are handled.

use std::time::Duration;

use tokio::time::sleep;

use crate::app::App;
use crate::store;
use crate::store::outbox;

/// The pause between two looks while commands are on their way.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The pause between two looks when this process knows of none: others may have published some, and ended.
const IDLE_FOR: Duration = Duration::from_secs(30);

/// Looks until the process stops.
pub async fn run(app: &App) -> Result<(), store::Error> {
    let mut left = true;
    while !app.stop.is_cancelled() {
        tokio::select! {
            () = sleep(if left { LOOK_EVERY } else { IDLE_FOR }) => {}
            () = app.forwarded.notified() => sleep(LOOK_EVERY).await,
            () = app.stop.cancelled() => {}
        }
        let mut conn = app.store.background().await?;
        left = outbox::delete_handled(&mut conn).await?;
    }
    Ok(())
}

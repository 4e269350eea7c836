//! Whether what is no longer kept is deleted.

use std::time::Duration;

use super::Finding;
use crate::app::App;
use crate::roles::cleaner::retention::rules;
use crate::store;
use crate::store::retention::{ROLE, count_instances, is_allowed};
use crate::time::duration;

/// Instances that should have been deleted for longer mean that no process with the role `cleaner` is running, or that it cannot keep up.
const BEHIND_MAX: Duration = Duration::from_secs(86_400);

pub(super) async fn check(app: &App) -> Result<Finding, store::Error> {
    let says = |good, says| Finding { what: "retention", good, says };
    let mut conn = app.store.background().await?;
    if !is_allowed(&mut conn).await? {
        return Ok(says(
            false,
            format!(
                "the user of the database may not become {ROLE}, so ended instances are kept: as an administrator, create the role if \
                 it is missing, and run `GRANT {ROLE} TO <user>` (docs/operations.md)"
            ),
        ));
    }
    drop(conn);
    for rule in rules(app).await? {
        let before = rule.keeps.ends(app.clock.now()).and_then(|end| end.checked_sub(BEHIND_MAX).ok());
        let Some(before) = before else { continue };
        let mut conn = app.store.background().await?;
        if count_instances(&mut conn, &rule.of, before, 1).await? > 0 {
            return Ok(says(
                false,
                format!(
                    "instances should have been deleted for more than {}: is a process with the role `cleaner` running? `leveret \
                     cleaner --dry-run` counts them",
                    duration::format(BEHIND_MAX)
                ),
            ));
        }
    }
    let kept = app.config.retention.instances;
    Ok(says(true, format!("ended instances are kept for {kept}, unless their definition has `retention`")))
}

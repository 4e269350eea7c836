//! Timers, dead letters, partitions, rights, tables and exports: what grows or falls behind before anything stops.

use std::time::Duration;

use super::Finding;
use crate::app::App;
use crate::store::vitals::{self, Bloated, Partitions};
use crate::store::{self, exports};
use crate::time::duration;

/// A timer that is later means that nobody fires timers, or that workers do not keep up.
const TIMER_MAX: Duration = Duration::from_secs(30);
/// Fewer dead rows are no trouble, however many they are in proportion.
const DEAD_MIN: i64 = 200_000;
/// Tables that are named.
const TABLES_MAX: i64 = 5;

pub(super) async fn check(app: &App) -> Result<Vec<Finding>, store::Error> {
    let mut conn = app.store.background().await?;
    let lag = vitals::timer_lag(&mut conn).await?;
    let (waiting, again) = vitals::dead_letters(&mut conn).await?;
    let partitions = vitals::partitions(&mut conn).await?;
    let rights = vitals::missing_rights(&mut conn).await?;
    let bloated = vitals::bloated(&mut conn, DEAD_MIN, TABLES_MAX).await?;
    let abandoned = exports::count_abandoned(&mut conn).await?;
    Ok(vec![
        timers(lag),
        dead_letters(waiting, again),
        months(&partitions),
        self::rights(&rights),
        tables(&bloated),
        exported(abandoned, &app.config.export.to),
    ])
}

fn timers(lag: Duration) -> Finding {
    let says = match lag <= TIMER_MAX {
        true => format!("the latest is late by {}", duration::format(Duration::from_secs(lag.as_secs()))),
        false => format!(
            "one is late by {}: is a process with the role `timers` running, and do workers keep up?",
            duration::format(Duration::from_secs(lag.as_secs()))
        ),
    };
    Finding { what: "timers", good: lag <= TIMER_MAX, says }
}

fn dead_letters(waiting: i64, again: i64) -> Finding {
    let says = match waiting {
        0 => "none waits for a person".to_owned(),
        waiting => {
            let again = if again > 0 { format!(", {again} of them after being redriven") } else { String::new() };
            format!(
                "{waiting} wait for a person{again}: `leveret dead-letter redrive --all --dry-run` counts them by their reasons; remove \
                 the cause, then redrive or drop them"
            )
        }
    };
    Finding { what: "dead letters", good: waiting == 0, says }
}

fn months(partitions: &Partitions) -> Finding {
    let Partitions { missing, has_others } = partitions;
    let mut says = match missing.is_empty() {
        true => "history has partitions for this month and the two after it".to_owned(),
        false => format!(
            "missing: {}: is a process with the role `cleaner` running? `leveret doctor --mend` creates them",
            missing.join(", ")
        ),
    };
    if *has_others {
        says.push_str(
            "; some rows are in history_other, because their month had no partition when they were written: they stay there, and are              deleted with their instances",
        );
    }
    Finding { what: "partitions", good: missing.is_empty(), says }
}

fn rights(missing: &[String]) -> Finding {
    let says = match missing.is_empty() {
        true => "as the migrations give them".to_owned(),
        false => format!(
            "missing: run `leveret doctor --mend` as the owner of the tables, or as an administrator {}",
            missing.iter().map(|grant| format!("`{grant}`")).collect::<Vec<_>>().join(", ")
        ),
    };
    Finding { what: "rights", good: missing.is_empty(), says }
}

fn tables(bloated: &[Bloated]) -> Finding {
    let each = bloated.iter().map(|one| format!("{} has {} dead rows and {} live ones", one.table, one.dead, one.live));
    let each = each.collect::<Vec<_>>().join(", ");
    let says = match bloated.is_empty() {
        true => "vacuum keeps up".to_owned(),
        false => format!(
            "{each}: does an old transaction hold back vacuum (`SELECT * FROM pg_stat_activity ORDER BY xact_start`), or a replication              slot? Then `VACUUM` them"
        ),
    };
    Finding { what: "tables", good: bloated.is_empty(), says }
}

fn exported(abandoned: i64, to: &str) -> Finding {
    let says = match (abandoned, to.is_empty()) {
        (0, true) => "history is not exported before it is deleted".to_owned(),
        (0, false) => "none has failed".to_owned(),
        (count, false) => {
            format!(
                "{count} were not finished for an hour: the log of the role `cleaner` says why; their instances are kept"
            )
        }
        (count, true) => format!(
            "{count} were not finished, and `export.to` is not set here: a process without it deletes what was not exported"
        ),
    };
    Finding { what: "exports", good: abandoned == 0, says }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_names_its_remedy() {
        assert!(timers(Duration::from_secs(30)).good);
        assert!(timers(Duration::from_secs(31)).says.contains("role `timers`"));
        assert!(dead_letters(0, 0).good);
        assert!(dead_letters(3, 1).says.starts_with("3 wait for a person, 1 of them after being redriven"));
        let missing = Partitions { missing: vec!["history_203101".into()], has_others: false };
        assert!(!months(&missing).good && months(&missing).says.contains("--mend"));
        let others = months(&Partitions { missing: Vec::new(), has_others: true });
        assert!(others.good && others.says.contains("history_other"));
        assert!(rights(&[]).good && rights(&["GRANT x".into()]).says.contains("`GRANT x`"));
        let full = [Bloated { table: "outbox".into(), dead: 300_000, live: 10 }];
        assert!(tables(&[]).good && tables(&full).says.contains("outbox has 300000 dead rows and 10 live ones"));
        assert!(exported(0, "").good && !exported(1, "/x").good && !exported(1, "").good);
    }
}

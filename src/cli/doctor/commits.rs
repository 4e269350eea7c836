//! Whether commits are confirmed, and which standbys they wait for.

use std::time::Duration;

use super::Finding;
use crate::app::App;
use crate::store::commits::{self, Commits, Standbys};
use crate::time::duration;

pub(super) async fn check(app: &App) -> Finding {
    let says = |good, says| Finding { what: "commits", good, says };
    match app.store.commits().await {
        Err(error) => says(false, format!("cannot be checked: {error}")),
        Ok(found) => match commits::standbys(&app.store).await {
            Err(error) => says(false, format!("cannot be checked: {error}")),
            Ok(standbys) => judge(found, &standbys),
        },
    }
}

fn judge(found: Commits, standbys: &Standbys) -> Finding {
    let Standbys { names, connected } = standbys;
    let says = match (found, names.is_empty()) {
        (Commits::Confirmed, true) => "confirmed; they wait for no standby".to_owned(),
        (Commits::Confirmed, false) => {
            format!(
                "confirmed; they wait for standbys (synchronous_standby_names = {names}), {connected} are connected"
            )
        }
        (Commits::Hang(time), true) => format!(
            "none was confirmed within {}: is the disk of the database slow or full, or are all connections in use?",
            whole(time)
        ),
        (Commits::Hang(time), false) => format!(
            "none was confirmed within {}, so nothing runs: they wait for a synchronous standby (synchronous_standby_names = \
             {names}), and {connected} standbys are connected. Start it again, or take it out of the setting and reload: \
             commits are then confirmed without it",
            whole(time)
        ),
    };
    Finding { what: "commits", good: found == Commits::Confirmed, says }
}

/// In seconds, for people.
fn whole(time: Duration) -> String {
    duration::format(Duration::from_secs(time.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_that_hang_are_a_fault_and_the_missing_standby_is_named() {
        let standbys = |names: &str, connected| Standbys { names: names.into(), connected };
        let hang = Commits::Hang(Duration::from_secs(2));
        let found = judge(hang, &standbys("FIRST 1 (s1)", 0));
        assert!(
            !found.good && found.says.contains("FIRST 1 (s1)") && found.says.contains("0 standbys"),
            "{}",
            found.says
        );
        assert!(!judge(hang, &standbys("", 0)).says.contains("synchronous"));
        assert!(judge(Commits::Confirmed, &standbys("s1", 1)).good);
    }
}

//! The broker, and whether its queues are as declared.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Finding;
use crate::app::App;
use crate::broker::{self, Compared, without_password};
use crate::store::instances;

/// The time limit for the connection to the broker.
const BROKER_FOR: Duration = Duration::from_secs(6);

pub(super) async fn check(app: &App) -> Vec<Finding> {
    if tokio::time::timeout(BROKER_FOR, app.broker.connected()).await.is_err() {
        let says = format!("{} does not answer", without_password(&app.config.broker.url));
        return vec![Finding { what: "broker", good: false, says }];
    }
    let queues = match look(app).await {
        Ok(seen) => judge(&seen),
        Err(error) => Finding { what: "queues", good: false, says: error.to_string() },
    };
    let parked = match app.broker.parked().await {
        Ok(count) => parked(&app.config.broker.prefix, count),
        Err(error) => Finding { what: "parked", good: false, says: error.to_string() },
    };
    vec![Finding { what: "broker", good: true, says: "connected".into() }, queues, parked]
}

/// Nothing reads parked messages: a person decides.
fn parked(prefix: &str, count: u64) -> Finding {
    let says = match count {
        0 => "none".into(),
        count => format!(
            "{count} in `{prefix}.parked`: their queue was deleted while they were delayed, or every reader they were delivered to lost \
             its connection. See \"Parked messages\" in docs/operations.md"
        ),
    };
    Finding { what: "parked", good: count == 0, says }
}

/// What exists, by who declares it.
#[derive(Default)]
struct Seen {
    /// What every process declares.
    base: Compared,
    /// The queues in which ready branches wait.
    awaited: Compared,
    /// The other queues of the settings.
    listed: Compared,
}

async fn look(app: &App) -> Result<Seen, broker::Error> {
    let awaited: BTreeSet<String> = match app.store.background().await {
        Ok(mut conn) => instances::ready_step_queues(&mut conn).await.unwrap_or_default().into_iter().collect(),
        Err(_) => BTreeSet::new(),
    };
    let listed: Vec<String> =
        app.config.worker.step_queues().into_iter().filter(|step_queue| !awaited.contains(step_queue)).collect();
    let awaited: Vec<String> = awaited.into_iter().collect();
    let (base, awaited, listed) =
        tokio::join!(app.broker.verify(), app.broker.verify_steps(&awaited), app.broker.verify_steps(&listed));
    Ok(Seen { base: base?, awaited: awaited?, listed: listed? })
}

/// What nothing has needed yet may be missing: the first process that starts declares it.
fn judge(seen: &Seen) -> Finding {
    let Seen { base, awaited, listed } = seen;
    let says = |good, says| Finding { what: "queues", good, says };
    let of = |each: fn(&Compared) -> &[String]| [base, awaited, listed].map(each).concat();
    let different = of(|compared| &compared.different);
    let down = of(|compared| &compared.down);
    if !down.is_empty() {
        let down = down.iter().chain(&different).cloned().collect::<Vec<_>>().join("; ");
        return says(
            false,
            format!(
                "{down}. Is a node of the broker down? `rabbitmqctl list_queues name leader members online` shows where each is; \
                 docs/high-availability.md says what to do"
            ),
        );
    }
    if !different.is_empty() {
        return says(false, different.join("; "));
    }
    let has_waiting = awaited.equal + awaited.missing.len() > 0;
    let lost = [if base.equal > 0 || has_waiting { &base.missing[..] } else { &[] }, &awaited.missing].concat();
    if !lost.is_empty() {
        let lost = lost.join(", ");
        return says(false, format!("missing: {lost}. A process that starts, or connects again, declares them"));
    }
    if base.equal == 0 {
        return says(true, "none is declared yet: the first process of `leveret serve` declares them".into());
    }
    says(
        true,
        match listed.missing.is_empty() {
            true => "match their declaration".into(),
            false => format!(
                "match their declaration; {} is declared by the first worker that serves it",
                listed.missing.join(", ")
            ),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(equal: usize, missing: &[&str]) -> Compared {
        Compared { equal, missing: missing.iter().map(|name| (*name).to_owned()).collect(), ..Compared::default() }
    }

    #[test]
    fn a_queue_that_nothing_has_needed_yet_is_no_fault() {
        let fresh = Seen { base: compared(0, &["l.commands"]), listed: compared(0, &["l.steps.a"]), ..Seen::default() };
        assert!(judge(&fresh).good);
        let unserved = Seen { base: compared(9, &[]), listed: compared(0, &["l.steps.a"]), ..Seen::default() };
        assert!(judge(&unserved).good && judge(&unserved).says.contains("l.steps.a"));
    }

    #[test]
    fn a_queue_that_is_needed_and_missing_is_a_fault() {
        let deleted = Seen { base: compared(9, &["l.commands"]), ..Seen::default() };
        assert!(!judge(&deleted).good && judge(&deleted).says.contains("l.commands"));
        let wiped =
            Seen { base: compared(0, &["l.commands"]), awaited: compared(0, &["l.steps.a"]), ..Seen::default() };
        assert!(!judge(&wiped).good && judge(&wiped).says.contains("l.steps.a"));
    }

    #[test]
    fn a_queue_that_does_not_answer_is_a_fault_and_is_named() {
        let other = Compared { down: vec!["`l.commands`: no answer within 2s".into()], ..Compared::default() };
        let found = judge(&Seen { base: other, ..Seen::default() });
        assert!(
            !found.good && found.says.contains("l.commands") && found.says.contains("list_queues"),
            "{}",
            found.says
        );
    }

    #[test]
    fn a_queue_with_other_arguments_is_named() {
        let other = Compared { different: vec!["inequivalent arg".into()], ..Compared::default() };
        assert!(!judge(&Seen { listed: other, ..Seen::default() }).good);
    }
}

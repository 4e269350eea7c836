//! `leveret history verify`: chain after chain, and against a seal.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::key::PublicKey;
use super::seal::{Seal, SealedHead};
use super::{CHAINS_MAX, Progress};
use crate::app::App;
use crate::cli::output::{self, Output};
use crate::engine::InstanceId;
use crate::roles::cleaner::retention::{Rule, keeps, rules};
use crate::store::history::{self, Broken, Sealed};
use crate::time::retention::Retention;

/// Chains that are named; then the verification ends.
const BROKEN_MAX: usize = 1_000;

#[derive(Args)]
pub(in crate::cli) struct Arguments {
    /// The history of this instance.
    #[arg(long, value_name = "ID", conflicts_with_all = ["all", "seal"], required_unless_present_any = ["all", "seal"])]
    instance: Option<Uuid>,
    /// The history of every instance.
    #[arg(long)]
    all: bool,
    /// The same, and that each chain still contains the head that this file has sealed.
    #[arg(long, value_name = "FILE", requires = "key")]
    seal: Option<PathBuf>,
    /// The file with the public key of the seal.
    #[arg(long, value_name = "FILE", requires = "seal")]
    key: Option<PathBuf>,
}

/// What was found.
#[derive(Default)]
struct Found {
    chains: usize,
    rows: u64,
    broken: Vec<(InstanceId, Option<i64>, String)>,
    sealed: Option<AgainstSeal>,
}

/// What a seal says about the chains.
struct AgainstSeal {
    sealed_at: Timestamp,
    chains: usize,
    /// Instances that are gone, as they may be by their retention.
    deleted: usize,
}

impl Found {
    fn add(&mut self, instance: InstanceId, why: &Broken) {
        self.broken.push((instance, why.row(), why.to_string()));
    }

    fn is_full(&self) -> bool {
        self.broken.len() >= BROKEN_MAX
    }
}

pub(super) async fn run(app: &App, arguments: Arguments, output: Output) -> Result<ExitCode> {
    // A seal that proves nothing is refused before anything is read.
    let seal = match (&arguments.seal, &arguments.key) {
        (Some(seal), Some(key)) => Some(Seal::open(seal, &PublicKey::read(key)?)?),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => bail!("a seal is proved with a key: say both --seal and --key"),
    };
    let mut found = Found::default();
    match arguments.instance {
        Some(id) => one(app, InstanceId(id), &mut found).await?,
        None => all(app, &mut found).await?,
    }
    if let Some(seal) = seal {
        compare(app, seal, &mut found).await?;
    }
    report(&found, output)?;
    Ok(if found.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn one(app: &App, id: InstanceId, found: &mut Found) -> Result<()> {
    let mut conn = app.store.background().await?;
    let Some(head) = history::find_head(&mut conn, id).await? else { bail!("there is no instance {id}") };
    (found.chains, found.rows) = (1, u64::try_from(head.number).unwrap_or_default());
    match history::verify(&mut conn, id).await {
        Ok(()) => Ok(()),
        Err(Broken::Unread(error)) => Err(error.into()),
        Err(why) => {
            found.add(id, &why);
            Ok(())
        }
    }
}

/// Walks over all chains in the order of their instances, a bounded number at once.
async fn all(app: &App, found: &mut Found) -> Result<()> {
    let (mut after, mut progress) = (Uuid::nil(), Progress::new());
    while !found.is_full() {
        let mut conn = app.store.background().await?;
        let heads = history::heads(&mut conn, after, CHAINS_MAX).await?;
        let full = heads.len() as i64 == CHAINS_MAX;
        // The last page also looks at rows behind the last instance.
        let upto = heads.last().filter(|_| full).map_or(Uuid::max(), |last| last.instance.0);
        let verified = history::verify_between(&mut conn, &heads, after, upto).await?;
        found.chains += heads.len();
        found.rows += verified.rows;
        verified.broken.iter().for_each(|(instance, why)| found.add(*instance, why));
        if !full {
            break;
        }
        after = upto;
        progress.show(|| format!("verified {} chains with {} rows", found.chains, found.rows));
    }
    Ok(())
}

/// Compares every chain with its sealed head.
async fn compare(app: &App, mut seal: Seal, found: &mut Found) -> Result<()> {
    let rules = rules(app).await?;
    let now = app.store.probe().await?.now;
    let mut against = AgainstSeal { sealed_at: seal.sealed_at, chains: 0, deleted: 0 };
    let mut progress = Progress::new();
    loop {
        let heads = seal.next(CHAINS_MAX as usize)?;
        if heads.is_empty() || found.is_full() {
            break;
        }
        let ids: Vec<_> = heads.iter().map(|head| head.instance).collect();
        let numbers: Vec<_> = heads.iter().map(|head| head.number).collect();
        let mut conn = app.store.background().await?;
        let there = history::find_sealed(&mut conn, &ids, &numbers).await?;
        drop(conn);
        against.chains += heads.len();
        for head in &heads {
            let state = there.get(&head.instance).unwrap_or(&Sealed::Gone);
            match judge(head, state, kept_until(&rules, head, seal.sealed_at), now) {
                Judged::Contained => {}
                Judged::Deleted => against.deleted += 1,
                Judged::Broken(why) => found.broken.push((head.instance, Some(head.number), why)),
            }
        }
        progress.show(|| format!("compared {} chains with the seal", against.chains));
    }
    found.sealed = Some(against);
    Ok(())
}

/// Until when an instance is kept, by the settings now; none for ever. What lived when it was sealed is kept from then on at least.
fn kept_until(rules: &[Rule], head: &SealedHead, sealed_at: Timestamp) -> Option<Timestamp> {
    match keeps(rules, &head.definition) {
        Retention::Forever => None,
        // A time that cannot be counted is never reached.
        Retention::For(time) => head.ended_at.unwrap_or(sealed_at).checked_add(time).ok(),
    }
}

/// What a sealed head says about its chain.
#[derive(Debug, PartialEq, Eq)]
enum Judged {
    /// The chain contains it.
    Contained,
    /// The instance is gone, and its retention was over.
    Deleted,
    /// Somebody has changed the chain, or removed it.
    Broken(String),
}

fn judge(head: &SealedHead, there: &Sealed, kept_until: Option<Timestamp>, now: Timestamp) -> Judged {
    let number = head.number;
    match there {
        Sealed::Hash(hash) if hex::encode(hash) == head.hash => Judged::Contained,
        Sealed::Hash(_) => {
            Judged::Broken(format!("the chain does not contain the sealed head: row {number} has another hash"))
        }
        Sealed::Missing => {
            Judged::Broken(format!("the chain does not contain the sealed head: row {number} is missing"))
        }
        Sealed::Gone => match kept_until {
            Some(until) if until <= now => Judged::Deleted,
            Some(until) => Judged::Broken(format!("the instance is gone, and was to be kept until {until}")),
            None => Judged::Broken("the instance is gone, and was to be kept for ever".into()),
        },
    }
}

fn report(found: &Found, output: Output) -> Result<()> {
    match output {
        Output::Json => {
            let broken = found.broken.iter();
            let broken: Vec<Value> =
                broken.map(|(id, row, why)| json!({ "instance": id, "row": row, "why": why })).collect();
            let sealed = found.sealed.as_ref().map(
                |sealed| json!({ "sealed_at": sealed.sealed_at, "chains": sealed.chains, "deleted": sealed.deleted }),
            );
            output::json(&json!({
                "chains": found.chains, "rows": found.rows, "broken": broken, "more": found.is_full(), "sealed": sealed,
            }))?;
        }
        Output::Table => {
            for (id, _, why) in &found.broken {
                output::line(format!("{id}: {why}"));
            }
            if found.is_full() {
                output::line(format!("ended after {BROKEN_MAX} findings; there may be more"));
            }
            output::line(format!("verified {} chains with {} rows", found.chains, found.rows));
            if let Some(sealed) = &found.sealed {
                output::line(format!(
                    "compared {} chains sealed at {}; {} of them were deleted since, as their retention allows",
                    sealed.chains,
                    output::moment(sealed.sealed_at),
                    sealed.deleted
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_head_is_contained_deleted_in_time_or_broken() {
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let now = at("2026-06-01T00:00:00Z");
        let head = SealedHead {
            instance: InstanceId(Uuid::nil()),
            definition: "order".into(),
            ended_at: None,
            number: 4,
            hash: "07".repeat(32),
        };
        let over = Some(at("2026-05-01T00:00:00Z"));
        let not_over = Some(at("2026-07-01T00:00:00Z"));
        let is_broken = |there: &Sealed, until| matches!(judge(&head, there, until, now), Judged::Broken(_));
        assert_eq!(judge(&head, &Sealed::Hash([7; 32]), None, now), Judged::Contained);
        assert_eq!(judge(&head, &Sealed::Gone, over, now), Judged::Deleted);
        assert!(is_broken(&Sealed::Gone, not_over) && is_broken(&Sealed::Gone, None));
        assert!(is_broken(&Sealed::Hash([8; 32]), over) && is_broken(&Sealed::Missing, over));
    }
}

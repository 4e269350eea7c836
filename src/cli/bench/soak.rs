//! `leveret bench soak`: instances of random definitions for as long as is wanted, if wanted under a rain of faults. Nothing may get
//! lost, happen twice, or grow.

mod crew;
mod documents;
mod growth;
mod ledger;
mod rain;
mod series;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::arena::Arena;
use crate::app::App;
use crate::cli::output::{self, Output};
use crate::definition::Definition;
use crate::roles::cleaner::retention;
use crate::store::bench::{self, soak};
use crate::store::definitions;
use crate::time::retention::Retention;
use crew::{Worker, settings};
use documents::Document;
use growth::Growth;
use ledger::Ledger;
use rain::Rain;
use series::Series;

/// Random definitions.
const DOCUMENTS: usize = 30;
/// Workers that are killed; one more is not, so that its memory can be watched.
const MORTALS: usize = 2;
/// The pause between two rounds of starts, messages and looks at what has ended.
const ROUND: Duration = Duration::from_millis(500);
/// The pause between two samples.
const SAMPLE_EVERY: Duration = Duration::from_secs(5);
/// The pause between two deletions of what is not kept any more.
const CLEAN_EVERY: Duration = Duration::from_secs(30);
/// The pause between two lines of progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(60);
/// After the last start everything has ended within this time.
const ENDED_WITHIN: Duration = Duration::from_secs(180);
/// After the last end everything is published within this time.
const EMPTY_WITHIN: Duration = Duration::from_secs(60);

/// What is wanted.
pub(super) struct Wanted {
    /// For how long instances are started.
    pub(super) time: Duration,
    /// Instances per second.
    pub(super) rate: u64,
    /// Whether faults fall.
    pub(super) faults: bool,
    /// What chance does follows from it.
    pub(super) seed: u64,
}

/// Runs it, and prints what it saw. Fails if something got lost, happened twice or grew.
pub(super) async fn run(arena: &Arena, wanted: &Wanted, output: Output) -> Result<ExitCode> {
    let mut chance = fastrand::Rng::with_seed(wanted.seed);
    let documents: Vec<Document> = (0..DOCUMENTS).map(|number| Document::random(&mut chance, number)).collect();
    let (database, url) = arena.database().await?;
    let mut config = arena.config(&database, &url);
    // As that of the workers.
    config.retention.inbox = Retention::parse("1m").map_err(|why| anyhow::anyhow!("{why}"))?;
    let app = App::for_inspection(config, "leveret bench soak")?;
    prepare(&app, &documents).await?;
    let settings = settings(arena, &database, &url)?;
    let steady = Worker::start(&settings, "steady")?;
    let mortals = (0..MORTALS).map(|number| Worker::start(&settings, &format!("mortal-{number}")));
    let mortals = mortals.collect::<Result<Vec<_>>>()?;
    output::progress(&format!(
        "soak: {DOCUMENTS} definitions from the seed {}, {} instances/s on {} workers for {}; their logs are in {}",
        wanted.seed,
        wanted.rate,
        MORTALS + 1,
        crate::time::duration::format(wanted.time),
        settings.directory.display()
    ));
    let (progress, seen) = watch::channel(0);
    let over = CancellationToken::new();
    if !wanted.faults {
        over.cancel();
    }
    let rain = Rain::new(arena, mortals, settings.clone(), chance.fork())?;
    let rain = app.tasks.spawn(rain.fall(app.clone(), seen, over.clone()));
    let ledger = Ledger::new(documents, chance);
    let mut soak = Soak { app: &app, ledger, series: Series::all(), tables: Growth::over(wanted.time), progress };
    soak.wet(wanted, steady.pid()?).await?;
    over.cancel();
    let fallen = rain.await?;
    let mut problems = fallen.problems;
    problems.extend(soak.dry().await);
    problems.extend(fallen.crew.end(steady, &settings).await?);
    let told = Told {
        wanted,
        ledger: &soak.ledger,
        series: &soak.series,
        tables: soak.tables.told(),
        faults: &fallen.counts,
        recovered: &fallen.recovered,
    };
    problems.extend(told.grown());
    told.print(&problems, output)?;
    app.stop.cancel();
    if problems.is_empty() {
        arena.sandbox.drop_database(&database).context("cannot drop the database of the soak")?;
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}

async fn prepare(app: &App, documents: &[Document]) -> Result<()> {
    let mut conn = app.store.background().await?;
    bench::create_rows(&mut conn).await?;
    for document in documents {
        let parsed = Definition::parse(&document.text).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
        definitions::apply(&mut conn, &parsed).await?;
    }
    Ok(())
}

/// What is going on.
struct Soak<'a> {
    app: &'a App,
    ledger: Ledger,
    series: Vec<Series>,
    tables: Growth,
    /// How many have ended, for the task that waits until work goes on.
    progress: watch::Sender<u64>,
}

impl Soak<'_> {
    /// Starts instances for the wanted time. What the database does not take now is sent again in the next round.
    async fn wet(&mut self, wanted: &Wanted, steady: u32) -> Result<()> {
        let began = Instant::now();
        let (mut sample_at, mut clean_at, mut tell_at) = (SAMPLE_EVERY, CLEAN_EVERY, PROGRESS_EVERY);
        while began.elapsed() < wanted.time {
            let round = Instant::now();
            let per_round = wanted.rate as f64 * ROUND.as_secs_f64();
            self.ledger.plan(per_round.round() as usize);
            self.turn().await;
            if began.elapsed() >= sample_at {
                self.sample(began.elapsed(), steady).await;
                sample_at = began.elapsed() + SAMPLE_EVERY;
            }
            if began.elapsed() >= clean_at {
                // As the role cleaner does every ten minutes: what is not kept goes, so that the tables can stay as large as they are.
                if let Err(error) = self.clean().await {
                    tracing::debug!(%error, "nothing is deleted while the database is away");
                }
                clean_at = began.elapsed() + CLEAN_EVERY;
            }
            if began.elapsed() >= tell_at {
                output::progress(&format!("soak: {}", self.ledger.brief()));
                tell_at += PROGRESS_EVERY;
            }
            tokio::time::sleep(ROUND.saturating_sub(round.elapsed())).await;
        }
        Ok(())
    }

    /// Deletes what is not kept any more. A crash of PostgreSQL discards what autovacuum knows of dead rows, and here one comes every
    /// minute or two: so its work is done here.
    async fn clean(&self) -> Result<()> {
        retention::pass(self.app).await?;
        let mut conn = self.app.store.background().await?;
        Ok(soak::vacuum(&mut conn).await?)
    }

    /// Waits until all have ended; says what has not, and what should not be there.
    async fn dry(&mut self) -> Vec<String> {
        let until = Instant::now() + ENDED_WITHIN;
        while !self.ledger.is_empty() && Instant::now() < until {
            self.turn().await;
            tokio::time::sleep(ROUND).await;
        }
        let mut problems = self.ledger.problems();
        let until = Instant::now() + EMPTY_WITHIN;
        loop {
            match self.left().await {
                Ok(left) if left.is_empty() => return problems,
                // What has not ended explains what is left.
                Ok(_) if !self.ledger.is_empty() => return problems,
                // What the last ones have published is on its way.
                _ if Instant::now() < until => tokio::time::sleep(ROUND).await,
                Ok(left) => {
                    problems.extend(left);
                    return problems;
                }
                Err(error) => {
                    problems.push(format!("the database cannot be read at the end: {error}"));
                    return problems;
                }
            }
        }
    }

    async fn left(&self) -> Result<Vec<String>> {
        let mut conn = self.app.store.background().await?;
        let left = soak::left(&mut conn).await?;
        let named = [
            (left.rows, "rows were written by instances that had ended"),
            (left.outbox, "outbox rows were not published"),
            (left.dead_letters, "messages are dead letters"),
        ];
        Ok(named.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect())
    }

    async fn turn(&mut self) {
        let turned = async {
            let mut conn = self.app.store.background().await?;
            self.ledger.turn(&mut conn).await
        };
        match turned.await {
            Ok(()) => drop(self.progress.send(self.ledger.ended())),
            Err(error) => tracing::debug!(%error, "the database is away; this round is repeated"),
        }
    }

    async fn sample(&mut self, at: Duration, steady: u32) {
        let sampled = async {
            let mut conn = self.app.store.background().await?;
            Ok::<_, crate::store::Error>((soak::sizes(&mut conn).await?, soak::tables(&mut conn).await?))
        };
        if let Ok((sizes, tables)) = sampled.await {
            self.tables.add(at, tables);
            let at = at.as_secs_f64();
            let values =
                [super::report::memory_mb(steady), crew::files(steady), sizes.connections as f64, sizes.tables_mb];
            for (series, value) in self.series.iter_mut().zip(values) {
                series.add(at, value);
            }
        }
    }
}

/// What is told at the end.
struct Told<'a> {
    wanted: &'a Wanted,
    ledger: &'a Ledger,
    series: &'a [Series],
    /// The tables that have grown most.
    tables: Option<String>,
    faults: &'a [(&'static str, usize)],
    recovered: &'a [Duration],
}

impl Told<'_> {
    /// What has grown by more than noise.
    fn grown(&self) -> Vec<String> {
        let grown = self.series.iter().filter_map(|series| series.trend(self.wanted.time));
        grown.filter(|trend| !trend.is_flat()).map(|trend| format!("not flat: {trend}")).collect()
    }

    fn print(&self, problems: &[String], output: Output) -> Result<()> {
        let trends: Vec<_> = self.series.iter().filter_map(|series| series.trend(self.wanted.time)).collect();
        let mut recovered: Vec<f64> = self.recovered.iter().map(Duration::as_secs_f64).collect();
        recovered.sort_by(f64::total_cmp);
        let at =
            |quantile: f64| recovered.get((recovered.len() as f64 * quantile) as usize).or(recovered.last()).copied();
        let (p50, p99) = (at(0.5), at(0.99));
        if let Output::Json = output {
            return output::json(&json!({
                "seed": self.wanted.seed, "seconds": self.wanted.time.as_secs(), "started": self.ledger.started(),
                "ended": self.ledger.ended(), "faults": self.faults.iter().copied().collect::<std::collections::BTreeMap<_, _>>(),
                "recovered_p50_s": p50, "recovered_p99_s": p99,
                "trends": trends.iter().map(ToString::to_string).collect::<Vec<_>>(), "tables": self.tables, "problems": problems,
            }));
        }
        output::line(format!("{}; seed {}", self.ledger.brief(), self.wanted.seed));
        let rows = self
            .faults
            .iter()
            .filter(|(_, times)| *times > 0)
            .map(|(name, times)| vec![(*name).to_owned(), times.to_string()]);
        output::table(&["FAULT", "TIMES"], rows.collect());
        if let (Some(p50), Some(p99)) = (p50, p99) {
            output::line(format!("an instance ended again {p50:.1} s after a fault (p50), {p99:.1} s (p99)"));
        }
        trends.iter().for_each(|trend| output::line(trend.to_string()));
        self.tables.iter().for_each(output::line);
        problems.iter().for_each(|problem| output::line(format!("PROBLEM: {problem}")));
        Ok(())
    }
}

//! Tasks: rate and latency of opening, claiming and completing them, next to 100,000 open ones.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::arena::{Arena, Run};
use super::report::Row;
use crate::command::{self, Applied, Follow, Origin};
use crate::contract::Start;
use crate::engine::{Act, Person};
use crate::store::bench;

/// Open tasks of other candidates.
const OTHERS: i64 = 100_000;
/// Tasks that are opened, claimed and completed.
const COUNT: usize = 2_000;
/// People working at once.
const PEOPLE: usize = 16;
/// The time limit for opening all of them.
const OPEN_WITHIN: Duration = Duration::from_secs(120);
/// The pause between two polls.
const POLL_EVERY: Duration = Duration::from_millis(20);

const ASK: &str = "name: ask
activities:
  - { id: ask, task: { title: Decide, candidates: { groups: [clerks] }, decisions: [good, bad] }, next: { good: exit, bad: exit } }
";

pub(super) async fn run(arena: &Arena) -> Result<Vec<Row>> {
    let run = arena.start(&[ASK.into()], |_| {}).await?;
    let mut conn = run.server.app.store.background().await?;
    bench::offer_tasks(&mut conn, OTHERS).await?;
    bench::settle(&mut conn).await?;
    drop(conn);
    let began = Instant::now();
    let started = futures_util::future::try_join_all((0..PEOPLE).map(|_| start(&run, COUNT / PEOPLE)));
    started.await?;
    all_open(&run, began).await?;
    let opened = rate(COUNT, began.elapsed());

    let began = Instant::now();
    let workers = (0..PEOPLE).map(|number| work(&run, number));
    let done: Vec<Times> = futures_util::future::try_join_all(workers).await?;
    let finished = rate(COUNT, began.elapsed());
    arena.finish(run).await?;
    let (claims, completions): (Vec<_>, Vec<_>) = done.into_iter().unzip();
    let (claims, completions): (Vec<f64>, Vec<f64>) = (claims.concat(), completions.concat());
    if claims.len() != COUNT {
        bail!("{} of {COUNT} tasks were claimed", claims.len());
    }
    Ok(vec![
        Row::of("tasks, opened").with_rate(opened),
        Row::of("tasks, claim-next").with_rate(finished).with_times(claims),
        Row::of("tasks, complete").with_rate(finished).with_times(completions),
    ])
}

/// Milliseconds of each claim, and of each completion.
type Times = (Vec<f64>, Vec<f64>);

fn rate(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

fn origin() -> Origin {
    Origin::new("bench", &format!("{:032x}", fastrand::u128(..)), b"", Follow::Always)
}

async fn start(run: &Run, count: usize) -> Result<()> {
    for _ in 0..count {
        let command = Start { definition: "ask".into(), input: json!({}), ..Start::default() };
        command::start(&run.server.app, command, &origin()).await?;
    }
    Ok(())
}

async fn all_open(run: &Run, began: Instant) -> Result<()> {
    let mut conn = run.server.app.store.background().await?;
    while bench::open_tasks(&mut conn, "ask").await? < COUNT {
        if began.elapsed() > OPEN_WITHIN {
            bail!("not all tasks were open within {OPEN_WITHIN:?}");
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
    Ok(())
}

/// One person claims and completes tasks until none is left.
async fn work(run: &Run, number: usize) -> Result<Times> {
    let app = &run.server.app;
    let person = Person { user: format!("clerk{number}"), groups: vec!["clerks".into()] };
    let (mut claims, mut completions) = (Vec::new(), Vec::new());
    loop {
        let began = Instant::now();
        let claimed = command::task_next(app, person.clone(), None, app.config.tasks.lease_for, &origin()).await;
        let id = match claimed {
            Ok(Applied::New(Some(claimed))) => claimed.id,
            Ok(Applied::New(None) | Applied::Repeated(_)) => return Ok((claims, completions)),
            // Others are claiming all candidates at this moment: try again.
            Err(command::Error::Store(crate::store::Error::Busy(_))) => continue,
            Err(error) => return Err(error.into()),
        };
        claims.push(began.elapsed().as_secs_f64() * 1_000.0);
        let began = Instant::now();
        let act = Act::Complete { decision: Some("good".into()), form: Value::Null, comment: None };
        command::task(app, id, person.clone(), None, act, &origin()).await?;
        completions.push(began.elapsed().as_secs_f64() * 1_000.0);
    }
}

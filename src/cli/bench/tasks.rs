//! Tasks: how many can be opened, claimed and completed a second, and how long each takes, beside 100,000 open ones.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::arena::{Arena, Ring};
use super::report::Row;
use crate::contract::Start;
use crate::engine::{Act, Person};
use crate::step::{self, Applied, Follow, Origin};
use crate::store::bench;

/// Open tasks of others, who are asked for nothing.
const OTHERS: i64 = 100_000;
/// Tasks that are opened, claimed and completed.
const COUNT: usize = 2_000;
/// People who work at once.
const PEOPLE: usize = 16;
/// All of them are open after this.
const OPEN_WITHIN: Duration = Duration::from_secs(120);
/// The pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

const ASK: &str = "name: ask
activities:
  - { id: ask, task: { title: Decide, candidates: { groups: [clerks] }, decisions: [good, bad] }, next: { good: exit, bad: exit } }
";

pub(super) async fn run(arena: &Arena) -> Result<Vec<Row>> {
    let ring = arena.ring(&[ASK.into()], |_| {}).await?;
    let mut conn = ring.running.app.store.background().await?;
    bench::offer_tasks(&mut conn, OTHERS).await?;
    bench::settle(&mut conn).await?;
    drop(conn);
    let began = Instant::now();
    let started = futures_util::future::try_join_all((0..PEOPLE).map(|_| start(&ring, COUNT / PEOPLE)));
    started.await?;
    all_open(&ring, began).await?;
    let opened = rate(COUNT, began.elapsed());

    let began = Instant::now();
    let workers = (0..PEOPLE).map(|number| work(&ring, number));
    let done: Vec<Done> = futures_util::future::try_join_all(workers).await?;
    let finished = rate(COUNT, began.elapsed());
    arena.leave(ring).await?;
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

/// Milliseconds of the claims, and of the completions.
type Done = (Vec<f64>, Vec<f64>);

fn rate(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

fn origin() -> Origin {
    Origin::new("bench", &format!("{:032x}", fastrand::u128(..)), b"", Follow::Always)
}

async fn start(ring: &Ring, count: usize) -> Result<()> {
    for _ in 0..count {
        let command = Start { definition: "ask".into(), input: json!({}), ..Start::default() };
        step::start(&ring.running.app, command, &origin()).await?;
    }
    Ok(())
}

async fn all_open(ring: &Ring, began: Instant) -> Result<()> {
    let mut conn = ring.running.app.store.background().await?;
    while bench::open_tasks(&mut conn, "ask").await? < COUNT {
        if began.elapsed() > OPEN_WITHIN {
            bail!("not all tasks were open within {OPEN_WITHIN:?}");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// One person claims and completes until nothing is left.
async fn work(ring: &Ring, number: usize) -> Result<Done> {
    let app = &ring.running.app;
    let person = Person { user: format!("clerk{number}"), groups: vec!["clerks".into()] };
    let (mut claims, mut completions) = (Vec::new(), Vec::new());
    loop {
        let began = Instant::now();
        let claimed = step::task_next(app, person.clone(), None, app.config.tasks.lease_for, &origin()).await;
        let id = match claimed {
            Ok(Applied::New(Some(claimed))) => claimed.id,
            Ok(Applied::New(None) | Applied::Repeated(_)) => return Ok((claims, completions)),
            // All that could be next are being taken by others: the next look finds the rest.
            Err(step::Error::Store(crate::store::Error::Busy(_))) => continue,
            Err(error) => return Err(error.into()),
        };
        claims.push(began.elapsed().as_secs_f64() * 1_000.0);
        let began = Instant::now();
        let act = Act::Complete { decision: Some("good".into()), form: Value::Null, comment: None };
        step::task(app, id, person.clone(), None, act, &origin()).await?;
        completions.push(began.elapsed().as_secs_f64() * 1_000.0);
    }
}

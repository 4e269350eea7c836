//! Breakers, rates and concurrency of processes that share nothing but the database.

use std::time::Duration;

use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection};
use leveret::app::App;
use leveret::config::Config;
use leveret::handlers::Handlers;
use leveret::limits::rate::Rate;
use leveret::roles::caller::limits::{Admission, LimitKey, Limits, Permit, Reason, TargetOutcome};
use leveret::store::{Connection, targets};
use tokio::time::Instant;

use super::PATIENCE;
use crate::support::{Fresh, eventually};

const TARGET: &str = "https://shop.test:443";

/// A process that shares only the database with others.
fn process(fresh: &Fresh, open_for: Duration) -> Limits {
    let mut config = Config::default();
    config.database.url = fresh.database_url.clone();
    config.breaker.open_for = open_for;
    Limits::new(&App::without_publisher(config, Handlers::new(), "limits").unwrap())
}

async fn connect(fresh: &Fresh) -> Connection {
    Connection::establish(&fresh.database_url).await.unwrap()
}

async fn may_go(limits: &Limits) -> bool {
    goes(limits, TARGET, &LimitKey::default()).await
}

async fn goes(limits: &Limits, target: &str, limit_key: &LimitKey) -> bool {
    matches!(limits.admit(target, limit_key).await.unwrap(), Admission::Go(_))
}

/// The end of an attempt that began after every probe.
async fn ends(limits: &Limits, target: &str, outcome: TargetOutcome) {
    let began_at = jiff::Timestamp::MAX;
    let permit = Permit { target: target.into(), limit_key: LimitKey::default(), began_at, opened: None };
    limits.observe(&permit, outcome).await;
}

fn failed() -> TargetOutcome {
    TargetOutcome::Failed("http.503".into())
}

async fn state(fresh: &Fresh) -> (String, u32) {
    let page = targets::list(&mut connect(fresh).await, None, 10).await.unwrap();
    (page.items[0].breaker.clone(), page.items[0].opened)
}

#[tokio::test]
async fn a_breaker_that_one_process_opens_is_known_to_others_within_a_second() {
    let fresh = Fresh::database().await;
    let (one, two) = (process(&fresh, Duration::from_secs(600)), process(&fresh, Duration::from_secs(600)));
    assert!(may_go(&one).await && may_go(&two).await);
    for _ in 0..5 {
        ends(&one, TARGET, failed()).await;
    }
    assert!(!may_go(&one).await);
    assert_eq!(state(&fresh).await, ("open".into(), 1));
    let began = Instant::now();
    eventually("the other leaves it alone", PATIENCE, async || !may_go(&two).await).await;
    assert!(began.elapsed() < Duration::from_secs(3));
    assert_eq!(two.narrow(), [(TARGET.to_owned(), 0)]);
    let page = targets::list(&mut connect(&fresh).await, None, 10).await.unwrap();
    assert_eq!(page.items[0].last_failure.as_deref(), Some("http.503"));
}

#[tokio::test]
async fn failures_are_counted_across_processes() {
    let fresh = Fresh::database().await;
    let processes: Vec<Limits> = (0..5).map(|_| process(&fresh, Duration::from_secs(600))).collect();
    // No process knows the row yet, so each writes its outcome at once.
    for process in &processes {
        ends(process, TARGET, failed()).await;
    }
    assert_eq!(state(&fresh).await, ("open".into(), 1));
    assert!(!may_go(&processes[4]).await && !may_go(&process(&fresh, Duration::from_secs(600))).await);
}

#[tokio::test]
async fn after_the_pause_one_process_probes_for_all() {
    let fresh = Fresh::database().await;
    let pause = Duration::from_secs(3);
    let (one, two) = (process(&fresh, pause), process(&fresh, pause));
    for _ in 0..5 {
        ends(&one, TARGET, failed()).await;
    }
    eventually("one is let through", PATIENCE, async || may_go(&one).await).await;
    // No second attempt of this process, none of the other, none of a new process.
    let third = process(&fresh, pause);
    assert!(!may_go(&one).await && !may_go(&two).await && !may_go(&third).await);
    // An attempt that began long before does not count when it ends now, in any process.
    for (process, outcome) in [(&one, failed()), (&two, TargetOutcome::Answered), (&third, TargetOutcome::Nothing)] {
        let began_at = jiff::Timestamp::UNIX_EPOCH;
        let permit = Permit { target: TARGET.into(), limit_key: LimitKey::default(), began_at, opened: None };
        process.observe(&permit, outcome).await;
        assert_eq!(state(&fresh).await, ("half_open".into(), 1));
    }
    ends(&one, TARGET, failed()).await;
    assert_eq!(state(&fresh).await, ("open".into(), 2));
    eventually("the other is let through", PATIENCE, async || may_go(&two).await).await;
    ends(&two, TARGET, TargetOutcome::Answered).await;
    assert_eq!(state(&fresh).await, ("closed".into(), 0));
    assert!(may_go(&two).await);
    eventually("all processes let attempts through", PATIENCE, async || may_go(&one).await && may_go(&third).await)
        .await;
}

#[tokio::test]
async fn a_probe_that_sends_nothing_is_replaced_by_another() {
    let fresh = Fresh::database().await;
    let (one, two) = (process(&fresh, Duration::from_secs(5)), process(&fresh, Duration::from_secs(5)));
    for _ in 0..5 {
        ends(&one, TARGET, failed()).await;
    }
    eventually("one is let through", PATIENCE, async || may_go(&one).await).await;
    assert!(!may_go(&two).await);
    let began = Instant::now();
    ends(&one, TARGET, TargetOutcome::Nothing).await;
    eventually("the other is let through", PATIENCE, async || may_go(&two).await).await;
    assert!(began.elapsed() < Duration::from_millis(4_900), "only what was let through before ended");
}

#[tokio::test]
async fn an_external_worker_has_no_breaker() {
    let fresh = Fresh::database().await;
    let one = process(&fresh, Duration::from_secs(600));
    for _ in 0..20 {
        ends(&one, "work:pack", failed()).await;
    }
    assert!(goes(&one, "work:pack", &LimitKey::default()).await);
}

#[tokio::test]
async fn two_processes_together_keep_a_rate() {
    let fresh = Fresh::database().await;
    let processes = [process(&fresh, Duration::from_secs(1)), process(&fresh, Duration::from_secs(1))];
    let rate = Rate { count: 20, per: Duration::from_secs(1) };
    let limit_key = LimitKey { rate: Some(rate), ..LimitKey::default() };
    let began = Instant::now();
    let mut begun = [0u32; 2];
    while began.elapsed() < Duration::from_secs(3) {
        for (process, begun) in processes.iter().zip(&mut begun) {
            match process.admit(TARGET, &limit_key).await.unwrap() {
                Admission::Go(_) => *begun += 1,
                Admission::NotBefore(_, reason) => assert_eq!(reason, Reason::Rate),
            }
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let all: u32 = begun.iter().sum();
    // At most the attempts of three seconds plus one burst, not far fewer, and some of each process.
    let most = 20.0 * (1.0 + began.elapsed().as_secs_f64());
    assert!(f64::from(all) <= most && all >= 30 && begun.iter().all(|one| *one > 0), "{begun:?} of {most}");
}

#[tokio::test]
async fn each_key_has_its_own_rate() {
    let fresh = Fresh::database().await;
    let one = process(&fresh, Duration::from_secs(1));
    let rate = Rate { count: 1, per: Duration::from_secs(3_600) };
    for key in [Some("eu"), Some("us"), None] {
        let limit_key = LimitKey { rate: Some(rate), concurrency: Some(3), key: key.map(str::to_owned), group: 1 };
        assert!(goes(&one, TARGET, &limit_key).await);
        let again = one.admit(TARGET, &limit_key).await.unwrap();
        assert!(matches!(again, Admission::NotBefore(_, Reason::Rate)), "{key:?}: {again:?}");
    }
    let page = targets::list(&mut connect(&fresh).await, None, 2).await.unwrap();
    assert_eq!(page.items.iter().map(|one| one.key.as_deref()).collect::<Vec<_>>(), [None, Some("eu")]);
    let cursor = page.next.unwrap().parse().unwrap();
    let rest = targets::list(&mut connect(&fresh).await, Some(&cursor), 10).await.unwrap();
    assert_eq!((rest.items.len(), rest.items[0].key.as_deref(), rest.next), (1, Some("us"), None));
    let said = rest.items[0].rate.clone().unwrap();
    assert_eq!((said.count, said.per.as_str(), rest.items[0].concurrency), (1, "1h", Some(3)));
}

/// Inserts calls with these states and keys.
async fn calls(conn: &mut Connection, rows: &[(&str, Option<&str>)]) {
    for (state, key) in rows {
        let limits = key.map_or("NULL".to_owned(), |key| format!("jsonb_build_object('key', '{key}')"));
        conn.batch_execute(&format!(
            "INSERT INTO leveret.calls (id, instance_id, bookmark, definition, activity, kind, target, state, attempt, dispatch, \
             purpose, request, callback, limits, opened_at, next_at) VALUES (gen_random_uuid(), gen_random_uuid(), 1, 'd', \
             'a', 'http', '{TARGET}', '{state}', 1, 1, 'attempt', '{{}}', false, {limits}, now(), now())"
        ))
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn running_calls_are_counted_for_the_target_and_for_a_key() {
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    calls(conn, &[("running", Some("eu")), ("waiting", Some("us")), ("pending", Some("eu")), ("unknown", None)]).await;
    for (key, limit, room) in
        [(None, 2, false), (None, 3, true), (Some("eu"), 1, false), (Some("eu"), 2, true), (Some("x"), 1, true)]
    {
        let found = conn
            .transaction::<_, leveret::store::Error, _>(async |conn| targets::has_room(conn, TARGET, key, limit).await)
            .await;
        assert_eq!(found.unwrap(), room, "{key:?} {limit}");
    }
    // The list shows the last limit of each key, and its waiting and running calls.
    let page = targets::list(conn, None, 10).await.unwrap();
    let seen = |one: &leveret::contract::api::TargetView| (one.key.clone(), one.concurrency, one.waiting, one.running);
    let expected = [(None, Some(3), 1, 2), (Some("eu".into()), Some(2), 1, 1), (Some("x".into()), Some(1), 0, 0)];
    assert_eq!(page.items.iter().map(seen).collect::<Vec<_>>(), expected);
    assert_eq!(page.items[0].breaker, "closed");
}

#[tokio::test]
async fn concurrent_attempts_do_not_exceed_the_concurrency() {
    let fresh = Fresh::database().await;
    calls(&mut connect(&fresh).await, &[("pending", None); 20]).await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let mut conn = connect(&fresh).await;
        asking.spawn(async move {
            let begun = conn
                .transaction::<_, leveret::store::Error, _>(async |conn| {
                    let room = targets::has_room(conn, TARGET, None, 3).await?;
                    if room {
                        let begin = "UPDATE leveret.calls SET state = 'running' WHERE id = (SELECT id FROM leveret.calls \
                                     WHERE state = 'pending' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)";
                        assert_eq!(diesel::sql_query(begin).execute(conn).await?, 1);
                    }
                    Ok(room)
                })
                .await;
            begun.unwrap()
        });
    }
    let begun = asking.join_all().await;
    assert_eq!(begun.into_iter().filter(|begun| *begun).count(), 3);
}

#[tokio::test]
async fn rows_of_unused_targets_are_deleted() {
    let fresh = Fresh::database().await;
    let one = process(&fresh, Duration::from_secs(600));
    assert!(may_go(&one).await);
    let conn = &mut connect(&fresh).await;
    let far: jiff::Timestamp = "2100-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(targets::delete_unused_before(conn, "2000-01-01T00:00:00Z".parse().unwrap(), 10).await.unwrap(), 0);
    for _ in 0..5 {
        ends(&one, "https://away.test:443", failed()).await;
    }
    // An open breaker whose pause is over is deleted too, one that stays open is kept.
    let later = "UPDATE leveret.targets SET until = '2200-01-01' WHERE breaker = 'open'";
    assert_eq!(diesel::sql_query(later).execute(conn).await.unwrap(), 1);
    assert_eq!(targets::delete_unused_before(conn, far, 10).await.unwrap(), 1);
    assert_eq!(diesel::sql_query("UPDATE leveret.targets SET until = now()").execute(conn).await.unwrap(), 1);
    assert_eq!(targets::delete_unused_before(conn, far, 10).await.unwrap(), 1);
}

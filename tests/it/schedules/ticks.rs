//! Ticks: started once, missed, overlapping, refused.

use std::time::Duration;

use jiff::SignedDuration;
use leveret::command::schedule;
use leveret::handlers::Handlers;
use leveret::roles::Role;
use leveret::roles::timers;
use serde_json::json;

use super::{REPORT, SOON, operator, with_report};
use crate::support::{Fresh, InProcess, Program, count, eventually, lines};

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_starts_one_instance_with_its_tick_and_its_schedule() {
    let leveret = with_report().await;
    leveret.plan("hourly", json!({ "input": { "at": "${ scheduled_at }", "by": "${ schedule }" } })).await;
    assert_eq!(leveret.run_due().await, 0, "nothing has come yet");
    let tick = leveret.misses_tick("hourly", "0").await;
    assert_eq!(leveret.run_due().await, 1);
    let hour = SignedDuration::from_hours(1);
    let seen = leveret.schedule("hourly").await;
    assert_eq!((seen.started, seen.skipped, seen.failed, seen.last_error), (1, 0, 0, None));
    assert_eq!((seen.last_tick_at, seen.next_at), (Some(tick), tick.checked_add(hour).ok()));
    let started = leveret.lines("started_by || ' ' || key || ' ' || (input->>'by')", "leveret.instances").await;
    assert_eq!(started, ["leveret.schedule/hourly hourly hourly"]);
    assert_eq!(leveret.lines("input->>'at'", "leveret.instances").await, [tick.to_string()]);
    assert_eq!(leveret.lines("id", "leveret.instances").await, [seen.last_instance.unwrap().to_string()]);
    let known = leveret.lines("app_id || ' ' || message_id || ' ' || outcome", "leveret.inbox").await;
    assert_eq!(known, [format!("leveret.schedule/hourly {tick} accepted")]);
    leveret.close_schedules().await;
}

/// Three processes run an hour of ticks of several schedules at once.
#[tokio::test(flavor = "multi_thread")]
async fn each_tick_starts_one_instance_however_many_processes_run() {
    let leveret = with_report().await;
    let often = json!({ "cron": "*/5 * * * *", "overlap": "allow", "missed": "all", "catch_up": "1d" });
    for name in ["one", "two", "three"] {
        leveret.plan(name, often.clone()).await;
        leveret.misses_tick(name, "2 hours").await;
    }
    let due = leveret
        .lines(
            "name || ' ' || to_char(tick AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')",
            "leveret.schedules, generate_series(next_at, clock_timestamp(), interval '5 minutes') AS tick ORDER BY 1",
        )
        .await;
    assert!(due.len() >= 3 * 24, "{due:?}");
    let (second, third) = (leveret.another(), leveret.another());
    let busy = async |app| while timers::schedule::run_once(app).await.unwrap() > 0 {};
    tokio::join!(busy(leveret.app()), busy(&second), busy(&third));
    // A tick of a moment ago may have come while they were busy.
    leveret.run_due().await;
    let started = leveret.lines("key", "leveret.instances").await;
    let lost: Vec<&String> = due.iter().filter(|key| !started.contains(key)).collect();
    assert_eq!(lost, [""; 0], "ticks without an instance");
    let twice = "(SELECT key FROM leveret.instances GROUP BY key HAVING count(*) > 1) AS twice";
    assert_eq!(leveret.count(twice).await, 0);
    for name in ["one", "two", "three"] {
        let seen = leveret.schedule(name).await;
        let its = started.iter().filter(|key| key.starts_with(&format!("{name} "))).count();
        assert_eq!((seen.started, seen.skipped, seen.failed), (i64::try_from(its).unwrap(), 0, 0), "{name}");
    }
    leveret.close_schedules().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_after_the_start_does_not_cause_a_second_start() {
    let leveret = with_report().await;
    leveret.plan("hourly", json!({ "overlap": "allow" })).await;
    let tick = leveret.misses_tick("hourly", "0").await;
    let mut doomed = Program::start(
        &leveret.fresh,
        &["serve", "--roles", "timers"],
        &[("FAILPOINTS", "schedule::started=1*return"), ("LEVERET_OUTBOX__PUBLISH_QUEUE_FOR", "1s")],
    );
    doomed.dies_at("schedule::started", SOON).await;
    let seen = leveret.schedule("hourly").await;
    assert_eq!((leveret.instances().await.len(), seen.started, seen.next_at), (1, 0, Some(tick)));
    // The claim of the dead process holds for half a minute.
    assert_eq!(leveret.run_due().await, 0);
    leveret.run_due_later().await;
    let seen = leveret.schedule("hourly").await;
    assert_eq!((leveret.instances().await.len(), seen.started, seen.last_tick_at), (1, 1, Some(tick)));
    leveret.close_schedules().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_with_the_role_timers_start_a_tick_once() {
    let fresh = Fresh::new().await;
    let mut config = InProcess::config(&fresh);
    config.timers.sweep_every = Duration::from_millis(200);
    let leveret = InProcess::on(fresh, config, Handlers::new(), Role::ALL).await;
    leveret.apply(REPORT).await;
    let mut other = Program::start(&leveret.fresh, &["serve", "--roles", "worker,timers,relay"], &[]);
    leveret.plan("hourly", json!({})).await;
    other.serves().await;
    let tick = leveret.waits_for("hourly", "clock_timestamp() + interval '1 second'").await;
    eventually("it has come", SOON, async || leveret.schedule("hourly").await.last_tick_at == Some(tick)).await;
    assert_eq!(leveret.count("leveret.instances").await, 1);
    let early = format!("leveret.instances WHERE started_at < '{tick}'");
    assert_eq!(leveret.count(&early).await, 0, "started before its moment");
    other.stops_in_order().await;
    leveret.close_schedules().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_long_stop_the_newest_missed_tick_within_the_window_is_started() {
    let leveret = with_report().await;
    leveret.plan("hourly", json!({ "catch_up": "3h" })).await;
    leveret.misses_tick("hourly", "5 hours").await;
    leveret.run_due().await;
    let seen = leveret.schedule("hourly").await;
    assert_eq!((seen.started, seen.skipped), (1, 5));
    assert_eq!(seen.last_tick_at.unwrap() + SignedDuration::from_hours(1), seen.next_at.unwrap());

    // The window passed before the schedule ran: five hours are too old for it.
    leveret.plan("nightly", json!({ "cron": "0 0 1 1 *", "catch_up": "2h" })).await;
    leveret.misses_tick("nightly", "5 hours").await;
    leveret.run_due().await;
    let seen = leveret.schedule("nightly").await;
    assert_eq!((seen.started, seen.skipped, seen.last_tick_at), (0, 1, None));
    leveret.close_schedules().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_missed_tick_within_the_window_is_started_if_configured() {
    let leveret = with_report().await;
    leveret.plan("hourly", json!({ "catch_up": "3h", "missed": "all", "overlap": "allow" })).await;
    let oldest = leveret.misses_tick("hourly", "5 hours").await;
    leveret.run_due().await;
    let seen = leveret.schedule("hourly").await;
    // The oldest two or, at the whole hour itself, one are beyond the window.
    let after = |hours| (oldest + SignedDuration::from_hours(hours)).to_string();
    let started = leveret.lines("input->>'at'", "leveret.instances ORDER BY id").await;
    assert_eq!(started, [after(3), after(4), after(5)]);
    assert_eq!((seen.started, seen.skipped), (3, 3));
    leveret.close_schedules().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overlapping_tick_is_skipped_by_default() {
    let leveret = with_report().await;
    leveret.plan("hourly", json!({})).await;
    for _ in 0..2 {
        leveret.misses_tick("hourly", "0").await;
        leveret.run_due().await;
        // Another tick, not the same again.
        leveret.execute("UPDATE leveret.inbox SET message_id = message_id || ' before'").await;
    }
    let seen = leveret.schedule("hourly").await;
    assert_eq!((leveret.instances().await, seen.started, seen.skipped), (vec!["hourly running".into()], 1, 1));
    leveret.figures("hourly").await;
    leveret.misses_tick("hourly", "0").await;
    leveret.run_due().await;
    assert_eq!(leveret.instances().await, ["hourly completed", "hourly running"]);
    leveret.close_schedules().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_overlapping_tick_can_wait_for_the_running_instance() {
    let leveret = with_report().await;
    leveret.plan("hourly", json!({ "overlap": "queue", "missed": "all", "catch_up": "1d" })).await;
    leveret.misses_tick("hourly", "2 hours").await;
    leveret.run_due().await;
    let seen = leveret.schedule("hourly").await;
    let queued = seen.queued_at.expect("one waits");
    assert_eq!((seen.started, seen.skipped), (1, 1), "the third finds the second waiting");
    assert_eq!(leveret.instances().await, ["hourly running"]);
    leveret.run_due_later().await;
    let seen = leveret.schedule("hourly").await;
    assert_eq!((seen.queued_at, seen.started, seen.skipped), (Some(queued), 1, 1));
    leveret.figures("hourly").await;
    leveret.run_due_later().await;
    let seen = leveret.schedule("hourly").await;
    assert_eq!((seen.queued_at, seen.started, seen.last_tick_at), (None, 2, Some(queued)));
    assert_eq!(leveret.instances().await, ["hourly completed", "hourly running"]);
    let at = leveret.lines("input->>'at'", "leveret.instances ORDER BY id DESC LIMIT 1").await;
    assert_eq!(at, [queued.to_string()]);
    leveret.close_schedules().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overlapping_tick_can_cancel_the_running_instance() {
    let leveret = with_report().await;
    leveret.plan("hourly", json!({ "overlap": "cancel", "missed": "all", "catch_up": "1d" })).await;
    leveret.misses_tick("hourly", "1 hour").await;
    leveret.run_due().await;
    assert_eq!(leveret.instances().await, ["hourly cancelled", "hourly running"]);
    let why = leveret.lines("details->>'by'", "leveret.history WHERE kind = 'InstanceCancelled'").await;
    assert_eq!(why, ["leveret.schedule/hourly"]);
    assert_eq!(leveret.schedule("hourly").await.started, 2);
    leveret.close_schedules().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_schedule_starts_nothing_and_catches_up_on_nothing() {
    let leveret = with_report().await;
    leveret.plan("hourly", json!({ "catch_up": "1d" })).await;
    let paused = schedule::pause(leveret.app(), "hourly", &operator()).await.unwrap();
    assert!(paused.paused_at.is_some());
    leveret.execute("UPDATE leveret.schedules SET next_at = clock_timestamp() - interval '3 hours'").await;
    assert_eq!(leveret.run_due().await, 0);
    // A change does not wake it.
    leveret.plan("hourly", json!({ "catch_up": "2d" })).await;
    assert_eq!((leveret.run_due().await, leveret.count("leveret.instances").await), (0, 0));
    let resumed = schedule::resume(leveret.app(), "hourly", &operator()).await.unwrap();
    assert_eq!(resumed.paused_at, None);
    leveret.run_due().await;
    let seen = leveret.schedule("hourly").await;
    assert_eq!((seen.started, seen.skipped, leveret.count("leveret.instances").await), (0, 0, 0));
    assert!(seen.next_at > resumed.updated_at.into());
    leveret.misses_tick("hourly", "0").await;
    leveret.run_due().await;
    assert_eq!(leveret.schedule("hourly").await.started, 1);
    leveret.close_schedules().await;
}

/// A schedule that is put again and again, as by a deployment, must not lose a tick that is due.
#[tokio::test(flavor = "multi_thread")]
async fn putting_a_schedule_again_does_not_lose_a_tick_that_is_due() {
    let leveret = with_report().await;
    leveret.plan("hourly", json!({})).await;
    let tick = leveret.misses_tick("hourly", "0").await;
    leveret.plan("hourly", json!({ "input": { "at": "changed" } })).await;
    leveret.run_due().await;
    assert_eq!(leveret.schedule("hourly").await.last_tick_at, Some(tick));
    assert_eq!(leveret.lines("input->>'at'", "leveret.instances").await, ["changed"]);
    leveret.close_schedules().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_start_is_reported_and_not_retried_before_the_next_tick() {
    let leveret = with_report().await;
    leveret.plan("retired", json!({})).await;
    leveret.plan("stricter", json!({ "input": { "at": "${ scheduled_at }" } })).await;
    leveret.plan("failing", json!({})).await;
    leveret.apply(&REPORT.replace("[at]", "[at, by, total]")).await;
    for (name, why) in
        [("stricter", "total"), ("retired", "no active definition `report`"), ("failing", "scheduled_at")]
    {
        if name == "retired" {
            leveret.execute("UPDATE leveret.definitions SET status = 'retired'").await;
        }
        if name == "failing" {
            leveret.execute(
                "UPDATE leveret.schedules SET input = '{\"at\": \"${ scheduled_at.nothing }\"}' WHERE name = 'failing'",
            )
            .await;
        }
        let tick = leveret.misses_tick(name, "0").await;
        assert_eq!(leveret.run_due().await, 1, "{name}");
        assert_eq!(leveret.run_due().await, 0, "{name} is tried again");
        let seen = leveret.schedule(name).await;
        assert_eq!((seen.failed, seen.started, seen.last_tick_at), (1, 0, Some(tick)), "{name}");
        assert!(seen.next_at > Some(tick), "{name}");
        let error = seen.last_error.unwrap_or_default();
        assert!(error.contains(why) && seen.last_error_at.is_some(), "{name}: {error}");
    }
    assert_eq!(leveret.count("leveret.instances").await, 0);
    // A success clears the last error.
    leveret.execute("UPDATE leveret.definitions SET status = 'active' WHERE version = 1").await;
    leveret.execute("UPDATE leveret.inbox SET message_id = message_id || ' before'").await;
    leveret.misses_tick("retired", "0").await;
    leveret.run_due().await;
    let seen = leveret.schedule("retired").await;
    assert_eq!((seen.started, seen.last_error, seen.last_error_at), (1, None, None));
    leveret.close_schedules().await;
}

/// The clock of a process is an hour ahead or behind: only the database's clock counts.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_whose_clock_is_an_hour_wrong_changes_nothing() {
    let leveret = with_report().await;
    leveret.plan("hourly", json!({})).await;
    let hour = SignedDuration::from_hours(1);
    let (ahead, behind) = (leveret.another(), leveret.another());
    let now = leveret.app().store.probe().await.unwrap().now;
    ahead.clock.observe(now + hour);
    behind.clock.observe(now - hour);

    leveret.waits_for("hourly", "clock_timestamp() + interval '30 minutes'").await;
    assert_eq!(timers::schedule::run_once(&ahead).await.unwrap(), 0, "half an hour too early");
    let tick = leveret.waits_for("hourly", "clock_timestamp()").await;
    assert_eq!(timers::schedule::run_once(&behind).await.unwrap(), 1, "it is time");
    let seen = leveret.schedule("hourly").await;
    assert_eq!((seen.started, seen.last_tick_at), (1, Some(tick)));
    let late =
        "leveret.instances WHERE started_at NOT BETWEEN clock_timestamp() - interval '1 minute' AND clock_timestamp()";
    assert_eq!(leveret.count(late).await, 0);
    leveret.close_schedules().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_schedule_leaves_its_instances() {
    let leveret = with_report().await;
    leveret.plan("hourly", json!({})).await;
    leveret.misses_tick("hourly", "0").await;
    leveret.run_due().await;
    schedule::delete(leveret.app(), "hourly", &operator()).await.unwrap();
    assert_eq!(leveret.count("leveret.schedules").await, 0);
    assert_eq!(leveret.instances().await, ["hourly running"]);
    let mut conn = leveret.app().store.background().await.unwrap();
    assert_eq!(count(&mut conn, "leveret.dead_letters").await, 0);
    assert_eq!(lines(&mut conn, "name", "leveret.schedules").await, [""; 0]);
    drop(conn);
    leveret.close_schedules().await;
}

/// The process has cached the previous version, which would refuse the input.
#[tokio::test(flavor = "multi_thread")]
async fn a_tick_uses_the_newest_version_of_its_definition() {
    let leveret = with_report().await;
    leveret.plan("hourly", json!({ "overlap": "allow" })).await;
    leveret.misses_tick("hourly", "1 hour").await;
    leveret.run_due().await;
    let started = leveret.count("leveret.instances").await;
    leveret.apply(&REPORT.replace("[at]", "[by]")).await;
    leveret.plan("hourly", json!({ "overlap": "allow", "input": { "by": "me" } })).await;
    let next = schedule::run_now(leveret.app(), "hourly", "today", &operator()).await.unwrap();
    let version = leveret.lines("version", &format!("leveret.instances WHERE id = '{}'", next.0)).await;
    assert_eq!((version, leveret.count("leveret.instances").await), (vec!["2".into()], started + 1));
    leveret.close_schedules().await;
}

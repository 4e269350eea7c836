//! Interventions: a suspended instance does not move, messages in the meantime are not lost, and nothing is stuck.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{CommandLine, InProcess, SOON, Sender, eventually};

/// Rounds of a race without a certain winner.
const ROUNDS: i64 = 20;
/// Sooner than any sweep: the claim of a timer holds for 30 s.
const AT_ONCE: Duration = Duration::from_secs(10);

const NAP: &str = "
name: nap
activities:
  - { id: nap, wait: { for: 700ms } }
  - { id: after, run: { handler: book } }
";
const LOOP: &str = "
name: loop
variables: { n: 0 }
output: ${ n }
activities:
  - { id: count, set: { n: n + 1 }, next: [{ when: n < 4000, to: count }, { to: exit }] }
";
const DEADLINE: &str = "
name: deadline
timeout: 1s
on_error: [{ code: timeout, to: late }]
activities:
  - { id: gate, run: { handler: wait_for_gate }, retry: none }
  - { id: late, end: { output: late } }
";

fn target(definition: &str, key: &str) -> Value {
    json!({ "definition": definition, "key": key, "note": "the test" })
}

async fn control(leveret: &InProcess, what: &str, definition: &str, key: &str) -> Value {
    let id = format!("{what} {key} {:08x}", fastrand::u32(..));
    leveret.sender.ask(what, &id, &target(definition, key)).await;
    leveret.sender.answer().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_instance_is_listed_and_resumes_with_the_message_it_received() {
    let leveret = InProcess::with_ledger().await;
    leveret.start("paid", "A").await;
    leveret.reaches("A", "running at payment").await;
    let id = leveret.id("A").await.unwrap();
    let said = leveret.post(&format!("/instances/{id}/suspend"), &json!({ "note": "is it paid?" })).await.ok(200);
    assert_eq!(said["status"], "suspended");
    let incidents = leveret.get("/incidents?definition=paid").await.ok(200);
    let one = &incidents["items"][0];
    assert_eq!(
        (&one["kind"], &one["note"], &one["by"]),
        (&json!("suspended"), &json!("is it paid?"), &json!("leveret.http"))
    );
    assert_eq!((&one["instance"], &one["failure"]), (&json!(id.0), &Value::Null));
    leveret.pay("first", "A", 1).await;
    leveret.pay("second", "A", 2).await;
    leveret.count_becomes(2, "leveret.messages").await;
    assert_eq!(leveret.position("A").await, "suspended at payment");
    leveret.post(&format!("/instances/{id}/retry"), &json!({})).await.problem(409, "refused");
    leveret.post(&format!("/instances/{id}/suspend"), &json!({})).await.problem(409, "refused");
    leveret.post(&format!("/instances/{id}/resume"), &json!({ "reason": "it is" })).await.ok(200);
    leveret.reaches("A", "completed").await;
    assert_eq!(leveret.lines("output", "leveret.instances").await, ["1"], "the oldest");
    assert_eq!((leveret.count("leveret.messages").await, leveret.booked("A", "after").await), (1, 1));
    leveret.post(&format!("/instances/{id}/resume"), &json!({})).await.problem(409, "refused");
    assert_eq!(leveret.get("/incidents").await.ok(200)["items"], json!([]));
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_that_passed_during_a_suspension_fires_with_the_resume() {
    let leveret = InProcess::with_ledger().await;
    leveret.apply(NAP).await;
    for key in ["slept", "cancelled"] {
        leveret.start("nap", key).await;
        leveret.reaches(key, "running at nap").await;
        assert_eq!(control(&leveret, "suspend", "nap", key).await["outcome"], "suspended");
    }
    leveret
        .count_becomes(
            2,
            "leveret.bookmarks WHERE kind = 'timer' AND consumed_at IS NULL AND due_at < now() - interval '6 s'",
        )
        .await;
    assert_eq!(leveret.count("leveret.history WHERE kind = 'TimerFired'").await, 0);
    assert_eq!(control(&leveret, "cancel", "nap", "cancelled").await["outcome"], "cancelled");
    let resumed = Instant::now();
    assert_eq!(control(&leveret, "resume", "nap", "slept").await["outcome"], "resumed");
    leveret.reaches("slept", "completed").await;
    assert!(resumed.elapsed() < AT_ONCE, "{:?}", resumed.elapsed());
    assert_eq!(leveret.count("ledger").await, 1);
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_passed_during_a_suspension_fires_with_the_retry() {
    let leveret = InProcess::with_ledger().await;
    leveret.apply(DEADLINE).await;
    leveret.start("deadline", "A").await;
    leveret.reaches("A", "suspended at gate").await;
    leveret.count_becomes(1, "leveret.bookmarks WHERE kind = 'timer' AND due_at < now() - interval '6 s'").await;
    let retried = Instant::now();
    assert_eq!(control(&leveret, "retry", "deadline", "A").await["outcome"], "retried");
    leveret.reaches("A", "completed").await;
    assert!(retried.elapsed() < AT_ONCE, "{:?}", retried.elapsed());
    assert_eq!(leveret.lines("output", "leveret.instances").await, ["\"late\""]);
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_suspended_between_two_steps_resumes_at_the_same_step() {
    let leveret = InProcess::with_ledger().await;
    leveret.apply(LOOP).await;
    leveret.start("loop", "A").await;
    leveret.count_becomes(1, "leveret.instances WHERE (variables->>'n')::int > 50").await;
    assert_eq!(control(&leveret, "suspend", "loop", "A").await["outcome"], "suspended");
    let before = leveret.lines("variables->>'n'", "leveret.instances").await;
    // Its step command is acknowledged and not published again: no message is queued.
    let queues = leveret.queues().await;
    eventually("no message is queued", AT_ONCE, async || queues.not_empty().await.is_empty()).await;
    leveret::roles::timers::run_once(leveret.app()).await.unwrap();
    assert_eq!(leveret::store::stuck::list(&mut *leveret.conn().await, 10).await.unwrap(), []);
    assert_eq!(leveret.lines("variables->>'n'", "leveret.instances").await, before);
    assert_eq!(leveret.position("A").await, "suspended before count");
    assert_eq!(control(&leveret, "resume", "loop", "A").await["outcome"], "resumed");
    leveret.reaches("A", "completed").await;
    assert_eq!(leveret.lines("output", "leveret.instances").await, ["4000"]);
    // The worker that lost its step to the suspension may try again only while the resume drives: then its command is delayed.
    eventually("the delayed command has come back", SOON, async || queues.not_empty().await.is_empty()).await;
    leveret.close().await;
}

/// In either order, the payment is taken: before the suspension, or by the resume.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_at_the_moment_of_a_suspension_or_a_resume_is_never_missed() {
    let leveret = InProcess::with_ledger().await;
    let other = Sender::connect(&leveret.fresh.amqp_url, &leveret.fresh.prefix).await;
    for round in 0..ROUNDS {
        leveret.start("paid", &format!("{round:02}")).await;
    }
    leveret.count_becomes(ROUNDS, "leveret.bookmarks WHERE kind = 'message' AND consumed_at IS NULL").await;
    for round in 0..ROUNDS {
        let key = format!("{round:02}");
        let (id, body) = (format!("paid {key}"), json!({ "name": "paid", "key": key, "data": { "amount": 1 } }));
        if round % 2 == 0 {
            let (suspend, body_of) = (format!("suspend {key}"), target("paid", &key));
            tokio::join!(leveret.sender.command("suspend", &suspend, &body_of), other.command("message", &id, &body));
        } else {
            assert_eq!(control(&leveret, "suspend", "paid", &key).await["outcome"], "suspended");
            let (resume, body_of) = (format!("resume {key}"), target("paid", &key));
            tokio::join!(leveret.sender.command("resume", &resume, &body_of), other.command("message", &id, &body));
        }
    }
    leveret.count_becomes(ROUNDS, "leveret.inbox WHERE message_id LIKE 'paid %'").await;
    for what in ["suspend", "resume"] {
        leveret.count_becomes(ROUNDS / 2, &format!("leveret.inbox WHERE message_id LIKE '{what} __'")).await;
    }
    for key in leveret.lines("key", "leveret.instances WHERE status = 'suspended'").await {
        assert_eq!(control(&leveret, "resume", "paid", &key).await["outcome"], "resumed");
    }
    leveret.count_becomes(ROUNDS, "leveret.instances WHERE status = 'completed'").await;
    assert_eq!(
        (leveret.count("leveret.messages").await, leveret.count("ledger WHERE activity = 'after'").await),
        (0, ROUNDS)
    );
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_suspends_lists_watches_and_resumes() {
    let leveret = InProcess::with_ledger().await;
    let command_line = CommandLine::on(&leveret.fresh);
    leveret.start("paid", "A").await;
    leveret.reaches("A", "running at payment").await;
    let id = leveret.id("A").await.unwrap();
    let note = ["instance", "suspend", &id.to_string(), "--note", "is it paid?"];
    assert_eq!(command_line.run(note).await.good(), format!("{id} is suspended\n"));
    let watched = command_line.say(&format!("instance watch {id}")).await;
    assert_eq!(watched.code, 1);
    assert!(watched.err.contains(&format!("leveret instance resume {id}")), "{}", watched.err);
    assert!(command_line.say("incident list").await.good().contains("is it paid?"));
    assert_eq!(command_line.json("incident list").await["items"][0]["kind"], "suspended");
    assert!(command_line.say(&format!("instance show {id}")).await.good().contains("is it paid?"));
    assert_eq!(command_line.say("incident list --definition other").await.good(), "no open incidents\n");
    command_line.say(&format!("instance resume {id}")).await.good();
    leveret.pay("paid", "A", 1).await;
    leveret.reaches("A", "completed").await;
    leveret.apply("name: broken\nactivities: [{ id: a, raise: { code: broken } }]").await;
    let failed = command_line.say("instance start broken --watch").await;
    assert!(failed.code == 1 && failed.err.contains("instance retry"), "{failed:?}");
    assert!(command_line.say("incident list").await.good().contains("broken"));
    leveret.close().await;
}

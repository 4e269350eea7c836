//! People who step in: what is suspended stands still, what comes meanwhile is not lost, and nothing is stuck.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{ENDS_WITHIN, House, Leveret, Sender, eventually};

/// Rounds of a race whose winner nobody can foretell.
const ROUNDS: i64 = 20;
/// Sooner than any sweep: a claimed timer is left alone for 30 s.
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
  - { id: door, run: { handler: knock }, retry: none }
  - { id: late, end: { output: late } }
";

fn target(definition: &str, key: &str) -> Value {
    json!({ "definition": definition, "key": key, "note": "the test" })
}

async fn control(house: &House, what: &str, definition: &str, key: &str) -> Value {
    let id = format!("{what} {key} {:08x}", fastrand::u32(..));
    house.sender.ask(what, &id, &target(definition, key)).await;
    house.sender.answers(1).await.pop().unwrap().1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_instance_is_listed_and_goes_on_with_what_came_meanwhile() {
    let house = House::open().await;
    house.start("paid", "A").await;
    house.stands("A", "running at payment").await;
    let id = house.id("A").await.unwrap();
    let said = house.process.post(&format!("/instances/{id}/suspend"), &json!({ "note": "is it paid?" })).await.ok(200);
    assert_eq!(said["status"], "suspended");
    let incidents = house.process.get("/incidents?definition=paid").await.ok(200);
    let one = &incidents["items"][0];
    assert_eq!(
        (&one["kind"], &one["note"], &one["by"]),
        (&json!("suspended"), &json!("is it paid?"), &json!("leveret.http"))
    );
    assert_eq!((&one["instance"], &one["failure"]), (&json!(id.0), &Value::Null));
    house.pay("first", "A", 1).await;
    house.pay("second", "A", 2).await;
    house.becomes(2, "leveret.messages").await;
    assert_eq!(house.standing("A").await, "suspended at payment");
    house.process.post(&format!("/instances/{id}/retry"), &json!({})).await.problem(409, "refused");
    house.process.post(&format!("/instances/{id}/suspend"), &json!({})).await.problem(409, "refused");
    house.process.post(&format!("/instances/{id}/resume"), &json!({ "reason": "it is" })).await.ok(200);
    house.stands("A", "completed").await;
    assert_eq!(house.lines("output", "leveret.instances").await, ["1"], "the oldest");
    assert_eq!((house.count("leveret.messages").await, house.booked("A", "after").await), (1, 1));
    house.process.post(&format!("/instances/{id}/resume"), &json!({})).await.problem(409, "refused");
    assert_eq!(house.process.get("/incidents").await.ok(200)["items"], json!([]));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_that_passed_meanwhile_fires_with_the_resume() {
    let house = House::open().await;
    house.apply(NAP).await;
    for key in ["slept", "cancelled"] {
        house.start("nap", key).await;
        house.stands(key, "running at nap").await;
        assert_eq!(control(&house, "suspend", "nap", key).await["outcome"], "suspended");
    }
    house
        .becomes(
            2,
            "leveret.bookmarks WHERE kind = 'timer' AND consumed_at IS NULL AND due_at < now() - interval '6 s'",
        )
        .await;
    assert_eq!(house.count("leveret.history WHERE kind = 'TimerFired'").await, 0);
    assert_eq!(control(&house, "cancel", "nap", "cancelled").await["outcome"], "cancelled");
    let resumed = Instant::now();
    assert_eq!(control(&house, "resume", "nap", "slept").await["outcome"], "resumed");
    house.stands("slept", "completed").await;
    assert!(resumed.elapsed() < AT_ONCE, "{:?}", resumed.elapsed());
    assert_eq!(house.count("ledger").await, 1);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_passed_meanwhile_fires_with_the_retry() {
    let house = House::open().await;
    house.apply(DEADLINE).await;
    house.start("deadline", "A").await;
    house.stands("A", "suspended at door").await;
    house.becomes(1, "leveret.bookmarks WHERE kind = 'timer' AND due_at < now() - interval '6 s'").await;
    let retried = Instant::now();
    assert_eq!(control(&house, "retry", "deadline", "A").await["outcome"], "retried");
    house.stands("A", "completed").await;
    assert!(retried.elapsed() < AT_ONCE, "{:?}", retried.elapsed());
    assert_eq!(house.lines("output", "leveret.instances").await, ["\"late\""]);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_suspended_between_two_steps_goes_on_where_it_stood() {
    let house = House::open().await;
    house.apply(LOOP).await;
    house.start("loop", "A").await;
    house.becomes(1, "leveret.instances WHERE (variables->>'n')::int > 50").await;
    assert_eq!(control(&house, "suspend", "loop", "A").await["outcome"], "suspended");
    let before = house.lines("variables->>'n'", "leveret.instances").await;
    // Its step command is acknowledged, and nobody bounces it: nothing is on its way.
    let fresh = &house.process.fresh;
    let queues = crate::support::Queues::connect(&fresh.amqp_url, &fresh.prefix).await;
    eventually("nothing is on its way", AT_ONCE, async || queues.not_empty().await.is_empty()).await;
    leveret::roles::timers::run_once(house.app()).await.unwrap();
    assert_eq!(leveret::store::stuck::list(&mut *house.conn().await, 10).await.unwrap(), []);
    assert_eq!(house.lines("variables->>'n'", "leveret.instances").await, before);
    assert_eq!(house.standing("A").await, "suspended before count");
    assert_eq!(control(&house, "resume", "loop", "A").await["outcome"], "resumed");
    house.stands("A", "completed").await;
    assert_eq!(house.lines("output", "leveret.instances").await, ["4000"]);
    // Whoever lost its step to the suspension may have looked again only when the resume was driving: then its command went down the ladder.
    eventually("what was sent down the ladder has come back", ENDS_WITHIN, async || {
        queues.not_empty().await.is_empty()
    })
    .await;
    house.close().await;
}

/// Whoever wins, the payment is taken: before the suspension, or by the resume.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_at_the_moment_of_a_suspension_or_a_resume_is_never_missed() {
    let house = House::open().await;
    let other = Sender::connect(&house.process.fresh.amqp_url, &house.process.fresh.prefix).await;
    for round in 0..ROUNDS {
        house.start("paid", &format!("{round:02}")).await;
    }
    house.becomes(ROUNDS, "leveret.bookmarks WHERE kind = 'message' AND consumed_at IS NULL").await;
    for round in 0..ROUNDS {
        let key = format!("{round:02}");
        let (id, body) = (format!("paid {key}"), json!({ "name": "paid", "key": key, "data": { "amount": 1 } }));
        if round % 2 == 0 {
            let (suspend, body_of) = (format!("suspend {key}"), target("paid", &key));
            tokio::join!(house.sender.command("suspend", &suspend, &body_of), other.command("message", &id, &body));
        } else {
            assert_eq!(control(&house, "suspend", "paid", &key).await["outcome"], "suspended");
            let (resume, body_of) = (format!("resume {key}"), target("paid", &key));
            tokio::join!(house.sender.command("resume", &resume, &body_of), other.command("message", &id, &body));
        }
    }
    house.becomes(ROUNDS, "leveret.inbox WHERE message_id LIKE 'paid %'").await;
    for what in ["suspend", "resume"] {
        house.becomes(ROUNDS / 2, &format!("leveret.inbox WHERE message_id LIKE '{what} __'")).await;
    }
    for key in house.lines("key", "leveret.instances WHERE status = 'suspended'").await {
        assert_eq!(control(&house, "resume", "paid", &key).await["outcome"], "resumed");
    }
    house.becomes(ROUNDS, "leveret.instances WHERE status = 'completed'").await;
    assert_eq!(
        (house.count("leveret.messages").await, house.count("ledger WHERE activity = 'after'").await),
        (0, ROUNDS)
    );
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_suspends_lists_watches_and_resumes() {
    let house = House::open().await;
    let leveret = Leveret::on(&house.process.fresh);
    house.start("paid", "A").await;
    house.stands("A", "running at payment").await;
    let id = house.id("A").await.unwrap();
    let note = ["instance", "suspend", &id.to_string(), "--note", "is it paid?"];
    assert_eq!(leveret.run(note).await.good(), format!("{id} is suspended\n"));
    let watched = leveret.say(&format!("instance watch {id}")).await;
    assert_eq!(watched.code, 1);
    assert!(watched.err.contains(&format!("leveret instance resume {id}")), "{}", watched.err);
    assert!(leveret.say("incident list").await.good().contains("is it paid?"));
    assert_eq!(leveret.json("incident list").await["items"][0]["kind"], "suspended");
    assert!(leveret.say(&format!("instance show {id}")).await.good().contains("is it paid?"));
    assert_eq!(leveret.say("incident list --definition other").await.good(), "no open incidents\n");
    leveret.say(&format!("instance resume {id}")).await.good();
    house.pay("paid", "A", 1).await;
    house.stands("A", "completed").await;
    house.apply("name: broken\nactivities: [{ id: a, raise: { code: broken } }]").await;
    let failed = leveret.say("instance start broken --watch").await;
    assert!(failed.code == 1 && failed.err.contains("instance retry"), "{failed:?}");
    assert!(leveret.say("incident list").await.good().contains("broken"));
    house.close().await;
}

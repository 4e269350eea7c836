//! Schedules over HTTP and on the command line.

use reqwest::Method;
use serde_json::{Value, json};

use super::Desk;
use crate::support::{Leveret, Reply};

async fn put(desk: &Desk, name: &str, body: &Value) -> Reply {
    desk.process.send(Method::PUT, &format!("/schedules/{name}"), None, body.to_string()).await
}

fn monthly() -> Value {
    json!({ "definition": "report", "cron": "0 6 1 * *", "zone": "Europe/Berlin", "input": { "at": "${ scheduled_at }" } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_made_changed_shown_and_deleted_over_http() {
    let desk = Desk::open().await;
    let made = put(&desk, "monthly", &monthly()).await.ok(201);
    assert_eq!(
        (&made["overlap"], &made["missed"], &made["catch_up"]),
        (&"skip".into(), &"newest".into(), &"1h".into())
    );
    assert_eq!((&made["revision"], &made["started"], &made["paused_at"]), (&1.into(), &0.into(), &Value::Null));
    let again = put(&desk, "monthly", &monthly()).await.ok(200);
    assert_eq!(again["revision"], 1, "nothing was changed");
    let mut other = monthly();
    other["overlap"] = "queue".into();
    other["catch_up"] = "2d".into();
    let changed = put(&desk, "monthly", &other).await.ok(200);
    assert_eq!((&changed["revision"], &changed["overlap"]), (&2.into(), &"queue".into()));
    assert_eq!(changed["next_at"], made["next_at"]);
    assert_eq!(desk.process.get("/schedules/monthly").await.ok(200), changed);
    let http = reqwest::Client::new();
    let guarded = async |revision: &str, body: &Value| {
        let request = http.put(desk.process.url("/schedules/monthly")).header("if-match", revision);
        let response = request.body(body.to_string()).send().await.unwrap();
        let tag = response.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned());
        (response.status().as_u16(), tag)
    };
    assert_eq!(guarded("\"1\"", &monthly()).await, (409, None), "somebody has changed it since");
    assert_eq!(guarded("\"2\"", &other).await, (200, Some("\"2\"".into())));
    assert_eq!(guarded("two", &other).await, (400, None));

    let next = desk.process.get("/schedules/monthly/next").await.ok(200);
    let next = next["items"].as_array().unwrap();
    assert_eq!((next.len(), &next[0]["at"]), (10, &made["next_at"]));
    assert!(next.iter().all(|tick| tick["local"].as_str().unwrap()[7..].starts_with("-01T06:00:00+0")), "{next:?}");
    assert_eq!(desk.process.get("/schedules/monthly/next?count=3").await.ok(200)["items"].as_array().unwrap().len(), 3);

    let paused = desk.process.post("/schedules/monthly/pause", &json!({})).await.ok(200);
    assert!(paused["paused_at"].is_string());
    let resumed = desk.process.post("/schedules/monthly/resume", &json!({})).await.ok(200);
    assert_eq!((&resumed["paused_at"], &resumed["next_at"]), (&Value::Null, &made["next_at"]));

    assert_eq!(desk.process.send(Method::DELETE, "/schedules/monthly", None, String::new()).await.status, 204);
    let gone = desk.process.get("/schedules/monthly").await.problem(404, "not-found");
    assert_eq!(gone, "there is no schedule `monthly`");
    for path in ["/schedules/monthly/pause", "/schedules/monthly/resume", "/schedules/monthly/run"] {
        desk.process.post(path, &json!({})).await.problem(404, "not-found");
    }
    desk.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_are_listed_by_name_page_by_page() {
    let desk = Desk::open().await;
    for name in ["c", "a", "b"] {
        put(&desk, name, &monthly()).await.ok(201);
    }
    let names = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    };
    let first = desk.process.get("/schedules?limit=2").await.ok(200);
    assert_eq!(names(&first), ["a", "b"]);
    let second =
        desk.process.get(&format!("/schedules?limit=2&cursor={}", first["next"].as_str().unwrap())).await.ok(200);
    assert_eq!((names(&second), &second["next"]), (vec!["c".into()], &Value::Null));
    desk.process.get("/schedules?limit=0").await.problem(400, "invalid");
    desk.process.get("/schedules/a/next?count=1001").await.problem(400, "invalid");
    desk.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_wrong_with_a_schedule_is_said_at_once_and_nothing_is_stored() {
    let desk = Desk::open().await;
    let wrong = json!({
        "definition": "reprot", "cron": "0 0 30 2 *", "zone": "Europe/Berln", "input": { "at": "${ amount }" }
    });
    let reply = put(&desk, "Monthly", &wrong).await;
    let places: Vec<&Value> = reply.body["errors"].as_array().unwrap().iter().map(|fault| &fault["pointer"]).collect();
    assert_eq!(places, ["/name", "/cron", "/zone", "/input/at", "/definition"]);
    assert_eq!(reply.body["errors"][2]["hint"], "did you mean `Europe/Berlin`?");
    reply.problem(422, "schedule");

    let mut unfit = monthly();
    unfit["input"] = json!({ "by": "me" });
    let reply = put(&desk, "monthly", &unfit).await;
    assert_eq!(reply.body["errors"][0]["pointer"], "/input");
    assert!(reply.body["errors"][0]["detail"].as_str().unwrap().contains("at"), "{}", reply.body);
    reply.problem(422, "schedule");
    let mut unknown = monthly();
    unknown["timezone"] = "UTC".into();
    assert!(put(&desk, "monthly", &unknown).await.problem(400, "invalid").contains("timezone"));
    unknown = monthly();
    unknown["catch_up"] = "soon".into();
    assert!(put(&desk, "monthly", &unknown).await.problem(400, "invalid").contains("catch_up"));
    assert_eq!(desk.count("leveret.schedules").await, 0);
    desk.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_runs_now_once_for_each_key_also_while_it_is_paused() {
    let desk = Desk::open().await;
    put(&desk, "monthly", &monthly()).await.ok(201);
    desk.process.post("/schedules/monthly/pause", &json!({})).await.ok(200);
    let first = desk.process.post_as("today", "/schedules/monthly/run", &json!({})).await.ok(201);
    let again = desk.process.post_as("today", "/schedules/monthly/run", &json!({})).await.ok(201);
    assert_eq!(first, again);
    let refused = desk.process.post("/schedules/monthly/run", &json!({})).await.problem(409, "refused");
    assert_eq!(refused, "an instance of schedule `monthly` is still running, and `overlap` is `skip`");
    let seen = desk.see("monthly").await;
    assert_eq!(
        (seen.started, seen.last_instance.map(|id| id.to_string())),
        (1, first["id"].as_str().map(str::to_owned))
    );
    assert_eq!(desk.instances().await, ["monthly running"]);
    desk.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_makes_and_steers_schedules() {
    let desk = Desk::open().await;
    let leveret = Leveret::on(&desk.process.fresh);
    let create = ["schedule", "create", "monthly", "report", "--cron", "0 6 1 * *", "--zone", "Europe/Berlin"];
    let input = ["--input", r#"{ "at": "${ scheduled_at }" }"#, "--overlap", "queue", "--catch-up", "2d"];
    let said = leveret.run(create.iter().chain(&input)).await.good();
    assert!(said.starts_with("monthly made; it comes next at "), "{said}");
    let again = leveret.run(create.iter().chain(&input)).await.failed();
    assert_eq!(again, "error: there is a schedule `monthly` already\n");
    let wrong = leveret.run(["schedule", "update", "monthly", "--cron", "0 25 * * *"]).await.failed();
    assert!(wrong.contains("cron: `0 25 * * *` is no cron expression: `25` is not from 0 to 23"), "{wrong}");
    leveret.say("schedule update nothing --zone UTC").await.failed();
    leveret.say("schedule update monthly --zone Asia/Kathmandu --missed all").await.good();

    let shown = leveret.json("schedule show monthly").await;
    assert_eq!(
        (&shown["zone"], &shown["missed"], &shown["overlap"]),
        (&"Asia/Kathmandu".into(), &"all".into(), &"queue".into())
    );
    assert_eq!(shown["next"].as_array().unwrap().len(), 10);
    assert!(shown["next"][0]["local"].as_str().unwrap().ends_with("-01T06:00:00+05:45"), "{shown}");
    let next = leveret.say("schedule next monthly --count 2").await.good();
    assert_eq!(next.matches("-01T06:00:00+05:45").count(), 2, "{next}");

    assert_eq!(leveret.say("schedule pause monthly").await.good(), "monthly paused\n");
    let listed = leveret.say("schedule list").await.good();
    assert!(listed.contains("monthly") && listed.contains("paused"), "{listed}");
    assert!(leveret.say("schedule resume monthly").await.good().starts_with("monthly goes on; it comes next at "));
    let run = leveret.json("schedule run monthly").await;
    assert_eq!(desk.lines("id", "leveret.instances").await, [run["id"].as_str().unwrap()]);
    assert_eq!(leveret.json("schedule list").await["items"][0]["started"], 1);
    assert_eq!(leveret.say("schedule delete monthly").await.good(), "monthly deleted\n");
    assert_eq!(leveret.say("schedule list").await.good(), "no schedules\n");
    leveret.say("schedule show monthly").await.failed();
    desk.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_tells_of_schedules_that_nobody_looks_at_and_of_starts_that_are_refused() {
    let desk = Desk::open().await;
    let leveret = Leveret::on(&desk.process.fresh);
    put(&desk, "monthly", &monthly()).await.ok(201);
    let says = |text: &str| -> String {
        let findings: Value = serde_json::from_str(text).unwrap();
        let finding =
            findings.as_array().unwrap().iter().find(|finding| finding["what"] == "schedules").unwrap().clone();
        finding["says"].as_str().unwrap().to_owned()
    };
    assert_eq!(says(&leveret.say("doctor -o json").await.good()), "1 of them, and each can be started");
    desk.missed("monthly", "2 hours").await;
    let late = says(&leveret.say("doctor -o json").await.failed());
    assert!(
        late.starts_with("one is due since ") && late.ends_with(": is a process with the role `timers` running?"),
        "{late}"
    );
    desk.execute("UPDATE leveret.definitions SET status = 'retired'").await;
    desk.missed("monthly", "0").await;
    desk.turn().await;
    let refused = says(&leveret.say("doctor -o json").await.failed());
    assert_eq!(refused, "monthly: there is no active definition `report`");
    desk.close().await;
}

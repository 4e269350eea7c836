//! Schedules over HTTP and on the command line.

use reqwest::Method;
use serde_json::{Value, json};

use super::with_report;
use crate::support::{CommandLine, InProcess, Reply};

async fn put(leveret: &InProcess, name: &str, body: &Value) -> Reply {
    leveret.send(Method::PUT, &format!("/schedules/{name}"), None, body.to_string()).await
}

fn monthly() -> Value {
    json!({ "definition": "report", "cron": "0 6 1 * *", "zone": "Europe/Berlin", "input": { "at": "${ scheduled_at }" } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_created_changed_shown_and_deleted_over_http() {
    let leveret = with_report().await;
    let made = put(&leveret, "monthly", &monthly()).await.ok(201);
    assert_eq!(
        (&made["overlap"], &made["missed"], &made["catch_up"]),
        (&"skip".into(), &"newest".into(), &"1h".into())
    );
    assert_eq!((&made["revision"], &made["started"], &made["paused_at"]), (&1.into(), &0.into(), &Value::Null));
    let again = put(&leveret, "monthly", &monthly()).await.ok(200);
    assert_eq!(again["revision"], 1, "nothing was changed");
    let mut other = monthly();
    other["overlap"] = "queue".into();
    other["catch_up"] = "2d".into();
    let changed = put(&leveret, "monthly", &other).await.ok(200);
    assert_eq!((&changed["revision"], &changed["overlap"]), (&2.into(), &"queue".into()));
    assert_eq!(changed["next_at"], made["next_at"]);
    assert_eq!(leveret.get("/schedules/monthly").await.ok(200), changed);
    let http = reqwest::Client::new();
    let guarded = async |revision: &str, body: &Value| {
        let request = http.put(leveret.url("/schedules/monthly")).header("if-match", revision);
        let response = request.json(body).send().await.unwrap();
        let tag = response.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned());
        (response.status().as_u16(), tag)
    };
    assert_eq!(guarded("\"1\"", &monthly()).await, (409, None), "it was changed since");
    assert_eq!(guarded("\"2\"", &other).await, (200, Some("\"2\"".into())));
    assert_eq!(guarded("two", &other).await, (400, None));

    let next = leveret.get("/schedules/monthly/next").await.ok(200);
    let next = next["items"].as_array().unwrap();
    assert_eq!((next.len(), &next[0]["at"]), (10, &made["next_at"]));
    assert!(next.iter().all(|tick| tick["local"].as_str().unwrap()[7..].starts_with("-01T06:00:00+0")), "{next:?}");
    assert_eq!(leveret.get("/schedules/monthly/next?count=3").await.ok(200)["items"].as_array().unwrap().len(), 3);

    let paused = leveret.post("/schedules/monthly/pause", &json!({})).await.ok(200);
    assert!(paused["paused_at"].is_string());
    let resumed = leveret.post("/schedules/monthly/resume", &json!({})).await.ok(200);
    assert_eq!((&resumed["paused_at"], &resumed["next_at"]), (&Value::Null, &made["next_at"]));

    assert_eq!(leveret.send(Method::DELETE, "/schedules/monthly", None, String::new()).await.status, 204);
    let gone = leveret.get("/schedules/monthly").await.problem(404, "not-found");
    assert_eq!(gone, "there is no schedule `monthly`");
    for path in ["/schedules/monthly/pause", "/schedules/monthly/resume", "/schedules/monthly/run"] {
        leveret.post(path, &json!({})).await.problem(404, "not-found");
    }
    leveret.close_schedules().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_are_listed_by_name_page_by_page() {
    let leveret = with_report().await;
    for name in ["c", "a", "b"] {
        put(&leveret, name, &monthly()).await.ok(201);
    }
    let names = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    };
    let first = leveret.get("/schedules?limit=2").await.ok(200);
    assert_eq!(names(&first), ["a", "b"]);
    let second = leveret.get(&format!("/schedules?limit=2&cursor={}", first["next"].as_str().unwrap())).await.ok(200);
    assert_eq!((names(&second), &second["next"]), (vec!["c".into()], &Value::Null));
    leveret.get("/schedules?limit=0").await.problem(400, "invalid");
    leveret.get("/schedules/a/next?count=1001").await.problem(400, "invalid");
    leveret.close_schedules().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_problem_of_a_schedule_is_reported_at_once_and_nothing_is_stored() {
    let leveret = with_report().await;
    let wrong = json!({
        "definition": "reprot", "cron": "0 0 30 2 *", "zone": "Europe/Berln", "input": { "at": "${ amount }" }
    });
    let reply = put(&leveret, "Monthly", &wrong).await;
    let places: Vec<&Value> = reply.body["errors"].as_array().unwrap().iter().map(|fault| &fault["pointer"]).collect();
    assert_eq!(places, ["/name", "/cron", "/zone", "/input/at", "/definition"]);
    assert_eq!(reply.body["errors"][2]["hint"], "did you mean `Europe/Berlin`?");
    reply.problem(422, "schedule");

    let mut unfit = monthly();
    unfit["input"] = json!({ "by": "me" });
    let reply = put(&leveret, "monthly", &unfit).await;
    assert_eq!(reply.body["errors"][0]["pointer"], "/input");
    assert!(reply.body["errors"][0]["detail"].as_str().unwrap().contains("at"), "{}", reply.body);
    reply.problem(422, "schedule");
    let mut unknown = monthly();
    unknown["timezone"] = "UTC".into();
    assert!(put(&leveret, "monthly", &unknown).await.problem(400, "invalid").contains("timezone"));
    unknown = monthly();
    unknown["catch_up"] = "soon".into();
    assert!(put(&leveret, "monthly", &unknown).await.problem(400, "invalid").contains("catch_up"));
    assert_eq!(leveret.count("leveret.schedules").await, 0);
    leveret.close_schedules().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_runs_on_request_once_for_each_key_even_while_paused() {
    let leveret = with_report().await;
    put(&leveret, "monthly", &monthly()).await.ok(201);
    leveret.post("/schedules/monthly/pause", &json!({})).await.ok(200);
    let first = leveret.post_as("today", "/schedules/monthly/run", &json!({})).await.ok(201);
    let again = leveret.post_as("today", "/schedules/monthly/run", &json!({})).await.ok(201);
    assert_eq!(first, again);
    let refused = leveret.post("/schedules/monthly/run", &json!({})).await.problem(409, "refused");
    assert_eq!(refused, "an instance of schedule `monthly` is still running, and `overlap` is `skip`");
    let seen = leveret.schedule("monthly").await;
    assert_eq!(
        (seen.started, seen.last_instance.map(|id| id.to_string())),
        (1, first["id"].as_str().map(str::to_owned))
    );
    assert_eq!(leveret.instances().await, ["monthly running"]);
    leveret.close_schedules().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_creates_and_controls_schedules() {
    let leveret = with_report().await;
    let command_line = CommandLine::on(&leveret.fresh);
    let create = ["schedule", "create", "monthly", "report", "--cron", "0 6 1 * *", "--zone", "Europe/Berlin"];
    let input = ["--input", r#"{ "at": "${ scheduled_at }" }"#, "--overlap", "queue", "--catch-up", "2d"];
    let said = command_line.run(create.iter().chain(&input)).await.good();
    assert!(said.starts_with("monthly created; next tick at "), "{said}");
    let again = command_line.run(create.iter().chain(&input)).await.failed();
    assert_eq!(again, "error: there is a schedule `monthly` already\n");
    let wrong = command_line.run(["schedule", "update", "monthly", "--cron", "0 25 * * *"]).await.failed();
    assert!(
        wrong.contains(
            "cron: `0 25 * * *` is not a valid cron expression: `25` in the hour field is not a number from 0 to 23"
        ),
        "{wrong}"
    );
    command_line.say("schedule update nothing --zone UTC").await.failed();
    command_line.say("schedule update monthly --zone Asia/Kathmandu --missed all").await.good();

    let shown = command_line.json("schedule show monthly").await;
    assert_eq!(
        (&shown["zone"], &shown["missed"], &shown["overlap"]),
        (&"Asia/Kathmandu".into(), &"all".into(), &"queue".into())
    );
    assert_eq!(shown["next"].as_array().unwrap().len(), 10);
    assert!(shown["next"][0]["local"].as_str().unwrap().ends_with("-01T06:00:00+05:45"), "{shown}");
    let next = command_line.say("schedule next monthly --count 2").await.good();
    assert_eq!(next.matches("-01T06:00:00+05:45").count(), 2, "{next}");

    assert_eq!(command_line.say("schedule pause monthly").await.good(), "monthly paused\n");
    let listed = command_line.say("schedule list").await.good();
    assert!(listed.contains("monthly") && listed.contains("paused"), "{listed}");
    assert!(command_line.say("schedule resume monthly").await.good().starts_with("monthly resumed; next tick at "));
    let run = command_line.json("schedule run monthly").await;
    assert_eq!(leveret.lines("id", "leveret.instances").await, [run["id"].as_str().unwrap()]);
    assert_eq!(command_line.json("schedule list").await["items"][0]["started"], 1);
    assert_eq!(command_line.say("schedule delete monthly").await.good(), "monthly deleted\n");
    assert_eq!(command_line.say("schedule list").await.good(), "no schedules\n");
    command_line.say("schedule show monthly").await.failed();
    leveret.close_schedules().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_reports_overdue_schedules_and_refused_starts() {
    let leveret = with_report().await;
    let command_line = CommandLine::on(&leveret.fresh);
    put(&leveret, "monthly", &monthly()).await.ok(201);
    let says = |text: &str| -> String {
        let findings: Value = serde_json::from_str(text).unwrap();
        let finding =
            findings.as_array().unwrap().iter().find(|finding| finding["what"] == "schedules").unwrap().clone();
        finding["says"].as_str().unwrap().to_owned()
    };
    assert_eq!(says(&command_line.say("doctor -o json").await.good()), "1 checked, none fails");
    leveret.misses_tick("monthly", "2 hours").await;
    let late = says(&command_line.say("doctor -o json").await.failed());
    assert!(
        late.starts_with("one is overdue by ") && late.ends_with(": is a process with the role `timers` running?"),
        "{late}"
    );
    leveret.execute("UPDATE leveret.definitions SET status = 'retired'").await;
    leveret.misses_tick("monthly", "0").await;
    leveret.run_due().await;
    let refused = says(&command_line.say("doctor -o json").await.failed());
    assert_eq!(refused, "monthly: there is no active definition `report`");
    leveret.close_schedules().await;
}

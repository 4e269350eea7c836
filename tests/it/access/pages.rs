//! The dashboard where keys are asked for: a person logs in with one, is who it says, and every form carries the token of the session.

use leveret::contract::scope::Scope;
use reqwest::Method;
use serde_json::json;

use super::{Answer, Guarded};

const HTML: (&str, &str) = ("accept", "text/html");
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const OWN: (&str, &str) = ("sec-fetch-site", "same-origin");

/// Waits for a person.
const ASKING: &str = "
name: asking
activities:
  - { id: look, task: { candidates: { groups: sales } } }
";

/// Logs in as a browser does; returns its cookie.
async fn log_in(guarded: &Guarded, key: &str) -> String {
    let answer = guarded.send(Method::POST, "/login", &[FORM], Some(&format!("key={key}&next=%2Ftasks"))).await;
    assert_eq!((answer.status, answer.header("location")), (303, "/tasks"), "{}", answer.body);
    answer.header("set-cookie").split(';').next().unwrap().to_owned()
}

async fn page(guarded: &Guarded, cookie: &str, path: &str) -> Answer {
    guarded.send(Method::GET, path, &[HTML, ("cookie", cookie)], None).await
}

fn text(answer: &Answer) -> &str {
    answer.body.as_str().unwrap_or_default()
}

/// The token in the first form that is posted.
fn token(answer: &Answer) -> String {
    let (_, rest) =
        text(answer).split_once(r#"name="csrf" value=""#).unwrap_or_else(|| panic!("no token: {}", answer.body));
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_person_without_a_session_is_led_to_the_login_and_back() {
    let guarded = Guarded::new().await;
    let led = guarded.send(Method::GET, "/instances?filter=status%3Arunning", &[HTML], None).await;
    let next = "/login?next=%2Finstances%3Ffilter%3Dstatus%253Arunning";
    assert_eq!((led.status, led.header("location")), (303, next));
    let login = guarded.send(Method::GET, next, &[HTML], None).await;
    assert_eq!(login.status, 200);
    assert!(text(&login).contains(r#"name="next" value="/instances?filter=status%3Arunning""#), "{}", login.body);
    let wrong = guarded.send(Method::POST, "/login", &[FORM], Some("key=lv_wrong&next=%2F")).await;
    let again = guarded.send(Method::GET, wrong.header("location"), &[HTML], None).await;
    assert!(text(&again).contains("the key does not exist, has expired or was revoked"), "{}", again.body);
    let refused = "/login?refused=%3Cb%3Ex%3C%2Fb%3E";
    assert!(!text(&guarded.send(Method::GET, refused, &[HTML], None).await).contains("<b>"), "markup stays text");
    guarded.leveret.stop().await;
}

#[tokio::test]
async fn who_is_logged_in_acts_and_their_forms_carry_the_token() {
    let guarded = Guarded::new().await;
    guarded.leveret.apply(ASKING).await;
    let key = |request: &mut leveret::command::api_key::KeyRequest| request.groups = vec!["sales".into()];
    let mia = guarded.key_with("mia", &[Scope::Read, Scope::Start, Scope::Task], key).await;
    mia.post("/api/v1/instances", &json!({ "definition": "asking", "key": "A" })).await.ok(201);
    guarded.leveret.reaches("A", "running at look").await;
    let task = mia.get("/api/v1/tasks?group=sales").await.ok(200)["items"][0]["id"].as_str().unwrap().to_owned();

    let cookie = log_in(&guarded, &mia.key).await;
    let seen = page(&guarded, &cookie, &format!("/tasks/{task}")).await;
    assert_eq!(seen.status, 200);
    assert!(text(&seen).contains("mia"), "the page says who looks");
    let posted = text(&seen).matches(r#"method="post""#).count();
    assert!(posted > 0 && posted == text(&seen).matches(r#"name="csrf""#).count(), "{}", seen.body);

    let claim = format!("/tasks/{task}/do/claim");
    let with = [HTML, FORM, OWN, ("cookie", cookie.as_str()), ("leveret-actor", "eve")];
    let forged = guarded.send(Method::POST, &claim, &with[..4], Some("key=a")).await;
    assert_eq!(forged.status, 403);
    assert!(text(&forged).contains("<h1>"), "a person is told with a page: {}", forged.body);
    let body = format!("key=a&csrf={}", token(&seen));
    let as_eve = guarded.send(Method::POST, &claim, &with, Some(&body)).await;
    assert_eq!(as_eve.status, 403, "nobody acts as another: {}", as_eve.body);
    let claimed = guarded.send(Method::POST, &claim, &with[..4], Some(&body)).await;
    assert!(claimed.status < 400, "{} {}", claimed.status, claimed.body);
    assert_eq!(mia.get(&format!("/api/v1/tasks/{task}")).await.ok(200)["claimed_by"], "mia");

    // Mia may not operate: the page of an operation tells which scope is missing.
    let operation = page(&guarded, &cookie, "/instances/0197e000-0000-7000-8000-000000000000/do/cancel").await;
    assert_eq!(operation.status, 403);
    assert!(text(&operation).contains("operate"), "{}", operation.body);

    let logout = guarded.send(Method::POST, "/logout", &with[..4], Some(&body)).await;
    assert_eq!((logout.status, logout.header("location")), (303, "/login"));
    assert_eq!(page(&guarded, &cookie, "/tasks").await.status, 303);
    guarded.leveret.stop().await;
}

#[tokio::test]
async fn a_clerk_sees_tasks_and_nothing_else() {
    let guarded = Guarded::new().await;
    let clerk = guarded.key("carl", &[Scope::Task]).await;
    let cookie = log_in(&guarded, &clerk.key).await;
    let home = page(&guarded, &cookie, "/").await;
    assert_eq!((home.status, home.header("location")), (303, "/tasks"));
    assert_eq!(page(&guarded, &cookie, "/tasks").await.status, 200);
    assert_eq!(page(&guarded, &cookie, "/instances").await.status, 403);
    guarded.leveret.stop().await;
}

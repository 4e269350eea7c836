//! Sessions of browsers: login, the token of forms, logout, and what ends a session.

use leveret::contract::scope::Scope;
use leveret::link::token;
use reqwest::Method;
use serde_json::json;

use super::{Answer, Guarded};
use crate::support::{SOON, eventually};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const LIST: &str = "/api/v1/instances";

/// The cookie that an answer sets, as a browser sends it back; its attributes.
fn cookie(answer: &Answer) -> (String, String) {
    let (pair, attributes) = answer.header("set-cookie").split_once("; ").unwrap();
    (pair.to_owned(), attributes.to_owned())
}

async fn logged_in(guarded: &Guarded, key: &str) -> String {
    let answer = guarded.send(Method::POST, "/login", &[], Some(&json!({ "key": key }).to_string())).await;
    assert_eq!(answer.status, 204, "{}", answer.body);
    cookie(&answer).0
}

fn csrf(cookie: &str) -> String {
    token::derived(cookie.split_once('=').unwrap().1, "csrf")
}

#[tokio::test]
async fn a_session_begins_with_a_key_and_ends_with_the_logout() {
    let guarded = Guarded::new().await;
    let ann = guarded.key("ann", &[Scope::Read, Scope::Operate]).await;
    let page = guarded.send(Method::GET, "/metrics", &[("accept", "text/html")], None).await;
    assert_eq!((page.status, page.header("location")), (303, "/login?next=%2Fmetrics"));

    let form = format!("key={}&next=%2Ftasks", ann.key);
    let opened = guarded.send(Method::POST, "/login", &[FORM], Some(&form)).await;
    assert_eq!((opened.status, opened.header("location")), (303, "/tasks"));
    let (cookie, attributes) = cookie(&opened);
    assert_eq!(attributes, "Path=/; Max-Age=43200; HttpOnly; SameSite=Strict");
    assert!(!cookie.contains(&ann.key));
    let secure = [FORM, ("origin", "https://localhost"), ("host", "localhost")];
    let secured = guarded.send(Method::POST, "/login", &secure, Some(&form)).await;
    assert!(secured.header("set-cookie").ends_with("; Secure"), "{}", secured.header("set-cookie"));

    let with = ("cookie", cookie.as_str());
    guarded.send(Method::GET, LIST, &[with], None).await.ok(200);
    guarded.send(Method::PUT, "/api/v1/definitions/a", &[with], Some("{}")).await.problem(403, "scope");
    let change = "/api/v1/dead-letters/drop";
    let forged = guarded.send(Method::POST, change, &[with], Some(r#"{"all":true}"#)).await;
    assert!(forged.problem(403, "csrf").contains("X-CSRF-Token"));
    let token = csrf(&cookie);
    guarded.send(Method::POST, change, &[with, ("x-csrf-token", &token)], Some(r#"{"all":true}"#)).await.ok(200);
    let noted = ann.get("/api/v1/audit?action=dead_letter.drop").await.ok(200);
    assert!(noted["items"].as_array().unwrap().iter().all(|entry| entry["actor"] == "ann"), "{noted}");
    assert_eq!(ann.get("/api/v1/audit?action=session.open").await.ok(200)["items"][0]["actor"], "ann");

    guarded.send(Method::POST, "/logout", &[with, FORM], Some("")).await.problem(403, "csrf");
    let body = format!("csrf={token}");
    let out = guarded.send(Method::POST, "/logout", &[with, FORM], Some(&body)).await;
    assert_eq!((out.status, out.header("location")), (303, "/login"));
    assert!(
        out.header("set-cookie").starts_with("leveret-session=; Path=/; Max-Age=0"),
        "{}",
        out.header("set-cookie")
    );
    let gone = guarded.send(Method::GET, LIST, &[with], None).await;
    assert!(gone.problem(401, "unauthenticated").contains("the session has ended"));
    guarded.leveret.stop().await;
}

#[tokio::test]
async fn a_session_ends_with_its_key_and_at_its_time() {
    let guarded = Guarded::new().await;
    let (ann, bob) = (guarded.key("ann", &[Scope::Read]).await, guarded.key("bob", &[Scope::Read]).await);
    let (of_ann, of_bob) = (logged_in(&guarded, &ann.key).await, logged_in(&guarded, &bob.key).await);
    let status = async |cookie: &str| guarded.send(Method::GET, LIST, &[("cookie", cookie)], None).await.status;
    assert_eq!((status(&of_ann).await, status(&of_bob).await), (200, 200));
    ann.revoke().await;
    guarded.leveret.execute("UPDATE leveret.sessions SET expires_at = now() - interval '1 s'").await;
    eventually("the session of Ann has ended", SOON, async || status(&of_ann).await == 401).await;
    eventually("the session of Bob has ended", SOON, async || status(&of_bob).await == 401).await;
    bob.get(LIST).await.ok(200);
    guarded.leveret.stop().await;
}

#[tokio::test]
async fn failed_logins_are_limited() {
    let guarded = Guarded::new().await;
    let ann = guarded.key("ann", &[Scope::Read]).await;
    let wrong = json!({ "key": format!("lv_{}", "x".repeat(43)) }).to_string();
    for _ in 0..10 {
        let said = guarded.send(Method::POST, "/login", &[], Some(&wrong)).await;
        assert!(said.header("set-cookie").is_empty());
        said.problem(401, "unauthenticated");
    }
    let right = json!({ "key": &ann.key }).to_string();
    for body in [&wrong, &right] {
        let limited = guarded.send(Method::POST, "/login", &[], Some(body)).await;
        let wait: u64 = limited.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
        limited.problem(429, "rate");
    }
    let form = format!("key={}", ann.key);
    let page = guarded.send(Method::POST, "/login", &[FORM], Some(&form)).await;
    assert!(
        page.status == 303 && page.header("location").starts_with("/login?next=%2F&refused="),
        "{}",
        page.header("location")
    );
    // Keys themselves are not limited by it.
    ann.get(LIST).await.ok(200);
    guarded.leveret.stop().await;
}

#[tokio::test]
async fn every_answer_says_what_a_browser_may_do_with_it() {
    let guarded = Guarded::new().await;
    for path in ["/livez", LIST, "/nothing"] {
        let answer = guarded.send(Method::GET, path, &[], None).await;
        assert!(answer.header("content-security-policy").starts_with("default-src 'none'"), "{path}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "same-origin"),
            ("cache-control", "no-store"),
            ("cross-origin-resource-policy", "same-origin"),
            ("strict-transport-security", ""),
        ] {
            assert_eq!(answer.header(name), value, "{path}: {name}");
        }
    }
    guarded.leveret.stop().await;
}

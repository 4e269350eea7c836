//! The life of a key: it is shown once, used, listed, revoked, and noted.

use std::time::{Duration, Instant};

use leveret::app::KNOWN_FOR;
use leveret::contract::scope::Scope;
use reqwest::Method;
use serde_json::json;

use super::Guarded;
use crate::support::{CommandLine, Fresh, Proxy, SOON, eventually};

#[tokio::test]
async fn a_key_is_shown_once_and_stored_as_a_hash() {
    let fresh = Fresh::database().await;
    let line = CommandLine::on(&fresh);
    assert!(line.say("key list").await.good().contains("no keys yet"));
    let made = line.json("key create web-shop --scope start,read --group sales --expires-in 90d").await;
    let key = made["key"].as_str().unwrap();
    assert!(key.starts_with("lv_") && key.len() == 46, "{made}");
    assert_eq!((&made["name"], &made["scopes"]), (&json!("web-shop"), &json!(["read", "start"])));
    let listed = line.json("key list").await;
    assert_eq!(listed["items"][0]["hint"], key[..7]);
    assert!(!listed.to_string().contains(key) && listed["items"][0]["expires_at"].is_string(), "{listed}");
    let shown = line.say("key create ann --role clerk --acts-for-others").await;
    assert!(shown.out.starts_with("lv_") && shown.out.trim().len() == 46, "the key alone: {}", shown.out);
    assert!(shown.err.contains("not shown again"), "{}", shown.err);
    let table = line.say("key list").await.good();
    assert!(table.contains("web-shop") && table.contains("never") && !table.contains(key), "{table}");
    assert_eq!(line.json("key list").await["items"][0]["acts_for_others"], true);

    let id = made["id"].as_str().unwrap();
    assert!(line.say(&format!("key revoke {id} --reason leaked")).await.good().contains("of web-shop is revoked"));
    let said = line.say(&format!("key revoke {id}")).await.failed();
    assert!(said.contains("is revoked already"), "{said}");
    let said = line.say("key revoke 0197e000-0000-7000-8000-000000000000").await.failed();
    assert!(said.contains("there is no key"), "{said}");
    assert!(line.say("key list").await.good().contains("revoked"));
    let noted = line.json("audit list --subject key").await;
    let actions: Vec<_> = noted["items"].as_array().unwrap().iter().map(|one| one["action"].clone()).collect();
    assert_eq!(actions, ["key.revoke", "key.create", "key.create"]);
    assert_eq!((&noted["items"][0]["reason"], &noted["items"][0]["object"]), (&json!("leaked"), &json!(id)));
    assert!(!noted.to_string().contains(key), "{noted}");

    for wrong in [
        "key create x",
        "key create x --scope fly",
        "key create x --role root",
        "key create x --scope read --expires-in 1d --expires-at 2100-01-01T00:00:00Z",
    ] {
        assert_eq!(line.say(wrong).await.code, 2, "{wrong}");
    }
    let said = line.say("key create x --scope read --expires-at 2020-01-01T00:00:00Z").await.failed();
    assert!(said.contains("would have expired already"), "{said}");
}

#[tokio::test]
async fn a_key_is_asked_for_and_a_revoked_one_is_refused_within_seconds() {
    let guarded = Guarded::new().await;
    let reader = guarded.key("reader", &[Scope::Read]).await;
    let list = "/api/v1/instances";
    let missing = guarded.send(Method::GET, list, &[], None).await;
    assert_eq!(missing.header("www-authenticate"), r#"Bearer realm="leveret""#);
    assert!(missing.problem(401, "unauthenticated").contains("leveret key create"));
    let counted = reader.get("/metrics").await.body;
    let counted = counted.as_str().unwrap_or_default();
    assert!(counted.contains(r#"leveret_access_refused_total{reason="no_proof"}"#), "{counted}");
    reader.get(list).await.ok(200);
    let used = "leveret.api_keys WHERE last_used_at IS NOT NULL";
    eventually("its use is noted", SOON, async || guarded.leveret.count(used).await == 1).await;

    // Another process revokes it.
    CommandLine::on(&guarded.leveret.fresh).say(&format!("key revoke {}", reader.id)).await.good();
    let revoked_at = Instant::now();
    eventually("it is refused", SOON, async || reader.get(list).await.status == 401).await;
    let took = revoked_at.elapsed();
    assert!(took < KNOWN_FOR + Duration::from_secs(2), "{took:?}");
    assert!(reader.get(list).await.problem(401, "unauthenticated").contains("was revoked"));
    // Health needs no key, and a path that does not exist is told to everybody.
    guarded.leveret.get("/readyz").await.ok(200);
    guarded.send(Method::GET, "/api/v1/nothing", &[], None).await.problem(404, "not-found");
    guarded.leveret.stop().await;
}

#[tokio::test]
async fn a_known_key_counts_while_the_database_is_away() {
    let fresh = Fresh::new().await;
    let (wire, url) = Proxy::before(&fresh.database_url).await;
    let guarded = Guarded::on(fresh, |config| config.database.url = url).await;
    let reader = guarded.key("prometheus", &[Scope::Read]).await;
    reader.get("/metrics").await.ok(200);
    // No connection is left, and no new one can be opened.
    wire.reset();
    drop(wire);
    tokio::time::sleep(KNOWN_FOR + Duration::from_millis(500)).await;
    let metrics = reader.get("/metrics").await;
    assert_eq!(metrics.status, 200, "what this process counts is needed now: {}", metrics.body);
    let invented = format!("Bearer lv_{}", "x".repeat(43));
    let unknown = guarded.send(Method::GET, "/metrics", &[("authorization", &invented)], None).await;
    unknown.problem(503, "unavailable");
}

#[tokio::test]
async fn a_caller_that_sends_too_much_waits_and_others_do_not() {
    let guarded = Guarded::with(|config| config.limits.requests_per_caller = 2).await;
    let (busy, calm) = (guarded.key("busy", &[Scope::Read]).await, guarded.key("calm", &[Scope::Read]).await);
    let mut refused = None;
    for _ in 0..50 {
        let answer = busy.get("/api/v1/targets").await;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("fifty requests are more than two per second");
    assert_eq!(refused.header("retry-after"), "1");
    refused.problem(429, "rate");
    calm.get("/api/v1/targets").await.ok(200);
    guarded.leveret.stop().await;
}

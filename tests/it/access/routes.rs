//! Every route of the router with no key, an unknown, an expired, a revoked one, one of another scope, and the right one.

use std::collections::HashMap;

use leveret::contract::scope::Scope;
use leveret::http::{Need, RULES, Rule};
use reqwest::Method;

use super::{Answer, Guarded, Holder};

/// A path of this route. What it names does not exist: here it only counts who may ask.
fn path(route: &str) -> String {
    let id = if route.contains("dead-letters") { "17" } else { "0197e000-0000-7000-8000-000000000000" };
    let parts = [
        ("{id}", id),
        ("{instance}", id),
        ("{bookmark}", "1"),
        ("{name}", "nothing"),
        ("{version}", "1"),
        ("{operation}", "cancel"),
        ("{change}", "pause"),
        ("{act}", "claim"),
        ("{deed}", "drop"),
    ];
    parts
        .iter()
        .fold(route.replace("{fingerprint}", "0000000000000000"), |path, (name, value)| path.replace(name, value))
}

async fn ask(guarded: &Guarded, rule: &Rule, key: Option<&str>) -> Answer {
    let method: Method = rule.method.parse().unwrap();
    let is_form = !rule.route.starts_with("/api/") && method == Method::POST;
    let body = (method != Method::GET).then_some(if is_form { "" } else { "{}" });
    let bearer = key.map(|key| format!("Bearer {key}"));
    let mut headers: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
    if is_form {
        headers.extend([("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")]);
    }
    guarded.send(method, &path(rule.route), &headers, body).await
}

#[tokio::test]
async fn every_route_asks_for_its_scope() {
    let guarded = Guarded::new().await;
    let expired = guarded.key("expired", &[Scope::Admin]).await;
    let revoked = guarded.key("revoked", &[Scope::Admin]).await;
    let expire = format!("UPDATE leveret.api_keys SET expires_at = now() - interval '1 s' WHERE id = '{}'", expired.id);
    guarded.leveret.execute(&expire).await;
    revoked.revoke().await;
    let unknown = format!("lv_{}", "x".repeat(43));
    let mut others: HashMap<&[Scope], Holder<'_>> = HashMap::new();
    let mut single: HashMap<Scope, Holder<'_>> = HashMap::new();
    for scope in Scope::ALL {
        single.insert(scope, guarded.key(scope.name(), &[scope]).await);
    }

    let mut asked = 0;
    for rule in RULES {
        let what = format!("{} {}", rule.method, rule.route);
        let Need::OneOf(scopes) = rule.need else {
            let open = ask(&guarded, rule, None).await;
            assert!(![401, 403].contains(&open.status) && open.status < 500, "{what}: {} {}", open.status, open.body);
            continue;
        };
        let none = ask(&guarded, rule, None).await;
        none.problem(401, "unauthenticated");
        assert_eq!(none.header("www-authenticate"), r#"Bearer realm="leveret""#, "{what}");
        for (key, why) in [(&unknown, "no such key"), (&expired.key, "has expired"), (&revoked.key, "was revoked")] {
            let refused = ask(&guarded, rule, Some(key)).await;
            let said = refused.problem(401, "unauthenticated");
            assert!(said.contains(why), "{what}: {said}");
            assert!(refused.header("www-authenticate").contains(r#"error="invalid_token""#), "{what}");
        }
        if !others.contains_key(scopes) {
            let rest: Vec<_> =
                Scope::ALL.into_iter().filter(|scope| *scope != Scope::Admin && !scopes.contains(scope)).collect();
            others.insert(scopes, guarded.key("other", &rest).await);
        }
        let wrong = ask(&guarded, rule, Some(&others[scopes].key)).await;
        let said = wrong.problem(403, "scope");
        assert!(said.contains(&format!("`{}`", scopes[0].name())), "{what}: {said}");
        let challenge = format!(r#"scope="{}""#, scopes[0].name());
        assert!(wrong.header("www-authenticate").contains(&challenge), "{what}");
        for scope in scopes.iter().copied().chain([Scope::Admin]) {
            let right = ask(&guarded, rule, Some(&single[&scope].key)).await;
            let admitted = ![401, 403, 405].contains(&right.status) && right.status < 500;
            assert!(admitted, "{what} with {scope:?}: {} {}", right.status, right.body);
        }
        asked += 1;
    }
    assert!(asked > 60, "{asked}");
    guarded.leveret.stop().await;
}

//! Tokens of an issuer whose keys are fetched: who they name may do what the role allows.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use leveret::contract::scope::Role;
use leveret::time::clock::Clock;
use reqwest::Method;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::{Answer, Guarded};
use crate::support::target::{Play, Target};

fn written(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn signed(pair: &Ed25519KeyPair, claims: &Value) -> String {
    let header = json!({ "alg": "EdDSA", "kid": "one" }).to_string();
    let message = format!("{}.{}", written(header.as_bytes()), written(claims.to_string().as_bytes()));
    format!("{message}.{}", written(pair.sign(message.as_bytes()).as_ref()))
}

#[tokio::test]
async fn a_token_of_the_issuer_opens_what_its_role_allows() {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
    let key = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "one", "x": written(pair.public_key().as_ref()) });
    let keys = json!({ "keys": [key] }).to_string();
    let issuer = Target::playing(move |_| Play::ok(&keys)).await;
    // Definitions may ask one other host only; the issuer is not theirs.
    let guarded = Guarded::with(|config| {
        config.outgoing.allow_hosts = vec!["api.example.com".into()];
        config.oidc.issuer = "https://id.example.org".into();
        config.oidc.audience = "leveret".into();
        config.oidc.jwks = issuer.url("/keys");
        config.oidc.user_claim = "preferred_username".into();
        config.oidc.roles = [("viewers".to_owned(), Role::Viewer), ("clerks".to_owned(), Role::Clerk)].into();
    })
    .await;
    let claims = |groups: &[&str]| {
        let exp = Clock::default().now().as_second() + 60;
        json!({ "iss": "https://id.example.org", "aud": "leveret", "exp": exp, "preferred_username": "ann", "groups": groups })
    };
    let ask = async |method: Method, path: &str, token: &str| -> Answer {
        let bearer = format!("Bearer {token}");
        let body = (method != Method::GET).then_some("{}");
        guarded.send(method, path, &[("authorization", &bearer)], body).await
    };
    let viewer = signed(&pair, &claims(&["viewers"]));
    ask(Method::GET, "/api/v1/instances", &viewer).await.ok(200);
    ask(Method::POST, "/api/v1/messages", &viewer).await.problem(403, "scope");
    let clerk = signed(&pair, &claims(&["clerks", "sales"]));
    ask(Method::POST, "/api/v1/tasks/claim-next", &clerk).await.ok(200);
    ask(Method::GET, "/api/v1/instances", &clerk).await.problem(403, "scope");
    ask(Method::GET, "/api/v1/instances", &signed(&pair, &claims(&[]))).await.problem(403, "scope");

    let mut expired = claims(&["viewers"]);
    expired["exp"] = json!(Clock::default().now().as_second() - 60);
    let said = ask(Method::GET, "/api/v1/instances", &signed(&pair, &expired)).await.problem(401, "unauthenticated");
    assert!(said.contains("has expired"), "{said}");
    let unknown =
        viewer.replace(&written(br#"{"alg":"EdDSA","kid":"one"}"#), &written(br#"{"alg":"EdDSA","kid":"two"}"#));
    for _ in 0..5 {
        ask(Method::GET, "/api/v1/instances", &unknown).await.problem(401, "unauthenticated");
    }
    assert_eq!(issuer.asked().len(), 1, "its keys were read once, whatever tokens name");
    guarded.leveret.stop().await;
}

//! Secrets at their bounds: how long one may be, and from which length on it is redacted.

use super::*;
use crate::support::target::{Play, Target};

const SECRET_MAX: usize = 64 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_may_be_as_long_as_is_said_and_is_redacted_from_six_bytes_on() {
    let (longest, too_long) = ("s".repeat(SECRET_MAX), "s".repeat(SECRET_MAX + 1));
    let settings = [
        ("LEVERET_OUTGOING__ALLOW_ADDRESSES", "127.0.0.0/8"),
        ("LEVERET_SECRETS__NAMES", "LONGEST,TOO_LONG,SIX,FIVE"),
        ("LONGEST", longest.as_str()),
        ("TOO_LONG", too_long.as_str()),
        ("SIX", "q1w2e3"),
        ("FIVE", "q1w2e"),
    ];
    let served = Served::with(&[], &settings).await;
    let target =
        Target::playing(|asked| Play::Answer(200, vec![("content-type", "text/plain".into())], asked.body.clone()))
            .await;
    for (name, expected) in
        [("LONGEST", "\"[secret]\""), ("TOO_LONG", "secrets"), ("SIX", "\"[secret]\""), ("FIVE", "\"q1w2e\"")]
    {
        let definition = name.to_lowercase().replace('_', "-");
        served
            .apply(&json!({
                "name": definition, "variables": { "got": null }, "output": "${ got }",
                "activities": [{
                    "id": "ask", "retry": "none",
                    "http": { "method": "POST", "url": target.url("/"), "headers": { "content-type": "text/plain" },
                              "body": format!("${{ secrets.{name} }}") },
                    "output": { "got": "result.body" }, "on_error": [{ "output": { "got": "error.code" } }],
                }],
            }))
            .await;
        assert_eq!(served.output(&definition, json!({})).await, expected, "{name}");
    }
}

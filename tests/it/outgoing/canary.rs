//! Canaries: secrets of requests that must not appear in any table, event, metric or log.

use std::time::Duration;

use base64::Engine as _;

use crate::support::target::{Asked, Play, Target, tempfile};
use crate::support::{Fresh, Processes, eventually};

const WITHIN: Duration = Duration::from_secs(60);
/// One from the environment, one from a file.
const TOKEN: &str = "canary-token-5b1e";
const PIN: &str = "canary pin/7&\"ü";

/// A secret in every place of a request, and an activity for every way an attempt can end.
fn definition(target: &Target) -> String {
    let ask = |id: &str, more: &str| {
        format!(
            "  - id: {id}\n    http:\n      method: POST\n      url: \"{}/${{ secrets.PIN }}\"\n      \
             query: {{ q: \"a ${{ secrets.TOKEN }}\" }}\n      \
             headers: {{ authorization: \"Bearer ${{ secrets.TOKEN }}\", x-both: \"${{ secrets.TOKEN }}:${{ secrets.TOKEN }}\" }}\n      \
             body: {{ pin: \"${{ secrets.PIN }}\", like: \"$${{ secrets.TOKEN }}\", parts: {{ $parts: [{{ secret: TOKEN }}] }} }}\n      \
             idempotent: true\n    timeout: 1s\n    retry: {{ attempts: 2, base: 10ms }}\n    on_error: [{{ output: {{ failed: error.message }} }}]\n{more}",
            target.url(&format!("/{id}"))
        )
    };
    let echoed = ask("echoed", "    output: { said: result.body, headed: result.headers }\n");
    let elsewise: String = ["elsewise-bytes", "elsewise-text", "elsewise-json"]
        .map(|id| ask(id, "    output: { said: result.body }\n"))
        .concat();
    let rest: String = ["failing", "broken", "silent", "garbage"].map(|id| ask(id, "")).concat();
    format!(
        "name: canaries\nevents: {{ activity: true }}\nvariables: {{ said: null, headed: null, failed: null }}\noutput: ${{ said }}\nactivities:\n{echoed}{elsewise}{rest}"
    )
}

/// Repeats a secret in the spellings of other languages.
fn echo_elsewise(asked: &Asked) -> Play {
    let body: serde_json::Value = serde_json::from_slice(&asked.body).unwrap();
    let pin = body["pin"].as_str().unwrap();
    // The defaults of PHP and Go, and a spelling that no library uses.
    let php = pin.replace('"', "\\\"").replace('/', "\\/").replace('ü', "\\u00fc");
    let go = pin.replace('"', "\\\"").replace('&', "\\u0026");
    let text = format!(r#"{{"php": "{php}", "go": "{go}", "{php}": 1, "spelled": "{}"}}"#, pin.replace('"', "\\u0022"));
    let json = asked.line.contains("json");
    let kind = if json { "application/json" } else { "text/plain" };
    let mut said = text.replace(r"\u0022", "\\\"").into_bytes();
    if asked.line.contains("bytes") {
        said.extend([0xff, 0xfe]);
    }
    Play::Answer(200, vec![("content-type", kind.to_owned())], said)
}

/// Repeats the whole request.
fn echo(asked: &Asked, status: u16) -> Play {
    let body = format!("{} {:?} {}", asked.line, asked.headers, String::from_utf8_lossy(&asked.body));
    let header = asked.header("authorization").unwrap_or_default().to_owned();
    Play::Answer(status, vec![("x-echo", header)], body.into_bytes())
}

/// The forms of a canary that are searched for.
fn forms() -> Vec<String> {
    let mut forms =
        vec![TOKEN.to_owned(), PIN.to_owned(), "canary%20pin".into(), "canary+pin".into(), "canary pin".into()];
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    forms.extend([hex("canary-token-"), hex("canary pin")]);
    // base64 has three forms of a text, by its offset.
    for skipped in 0..3 {
        forms.push(base64::engine::general_purpose::STANDARD.encode(&"canary pin"[skipped..])[..8].to_owned());
    }
    forms
}

#[tokio::test]
async fn no_secret_appears_in_tables_events_metrics_or_logs() {
    let target = Target::playing(|asked| match asked.line.split(['/', '?']).nth(1) {
        Some("echoed") => echo(asked, 200),
        Some(way) if way.starts_with("elsewise") => echo_elsewise(asked),
        Some("failing") => echo(asked, 503),
        Some("broken") => Play::Reset,
        Some("silent") => Play::Silent,
        _ => Play::Raw(b"no HTTP\r\n\r\n".to_vec()),
    })
    .await;
    let file = tempfile::File::with(PIN);
    let fresh = Fresh::new().await;
    let processes = Processes::on(fresh).await;
    let file_of_pin = file.path();
    let settings = [
        ("LEVERET_SECRETS__NAMES", "TOKEN,PIN"),
        ("TOKEN", TOKEN),
        ("PIN_FILE", file_of_pin.as_str()),
        ("LEVERET_OUTGOING__ALLOW_ADDRESSES", "127.0.0.1"),
        ("LEVERET_BREAKER__OPEN_FOR", "100ms"),
        ("LEVERET_LOG__FILTER", "trace,lapin=off"),
        // One panic while the secrets are in memory.
        ("FAILPOINTS", "caller::answered=1*panic"),
        ("RUST_BACKTRACE", "full"),
    ];
    let mut program = processes.serve_roles("worker,relay,timers,caller,api", &settings);
    processes.apply(&definition(&target)).await;
    processes.start("canaries", "one", serde_json::json!({})).await;
    processes.all_ended(1, WITHIN).await;
    let asked = target.asked();
    // The secrets arrived unchanged in every place, and data that looks like a placeholder was not resolved.
    let first = &asked[0];
    assert!(first.line.contains("canary%20pin") && first.line.contains(TOKEN), "{first:?}");
    assert_eq!(first.header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
    let body: serde_json::Value = serde_json::from_slice(&first.body).unwrap();
    assert_eq!((&body["pin"], &body["like"]), (&PIN.into(), &"${ secrets.TOKEN }".into()));
    assert_eq!(body["parts"], serde_json::json!({ "$parts": [{ "secret": "TOKEN" }] }));
    for way in ["echoed", "elsewise-json", "elsewise-text", "elsewise-bytes", "failing", "broken", "silent", "garbage"]
    {
        assert!(asked.iter().any(|asked| asked.line.contains(way)), "{way}");
    }

    let metrics =
        reqwest::get(format!("http://{}/metrics", program.address().unwrap())).await.unwrap().text().await.unwrap();
    let sent = async || processes.count("leveret.outbox").await == 0;
    eventually("everything is sent", WITHIN, sent).await;
    program.stops_in_order().await;
    let mut sinks = vec![("metrics".to_owned(), metrics), ("the log".to_owned(), program.output())];
    let tables =
        processes.lines("SELECT tablename AS line FROM pg_tables WHERE schemaname = 'leveret' ORDER BY 1").await;
    assert!(tables.len() > 10 && tables.contains(&"calls".to_owned()), "{tables:?}");
    for table in tables {
        let rows = processes.lines(&format!("SELECT t::text AS line FROM leveret.{table} AS t")).await;
        sinks.push((table, rows.join("\n")));
    }
    assert!(program.output().contains("panicked at"), "the log contains the panic");
    let events: Vec<String> = processes.queues.take_whole_events().await.into_iter().map(|(_, whole)| whole).collect();
    assert!(events.iter().any(|event| event.contains("[secret]")), "{events:#?}");
    sinks.push(("events".to_owned(), events.join("\n")));
    assert_no_canary(&sinks);
}

/// No sink contains a secret, and the echo that contained them was redacted.
fn assert_no_canary(sinks: &[(String, String)]) {
    let calls = sinks.iter().find(|(name, _)| name == "calls").unwrap();
    assert!(calls.1.contains("[secret]"), "the echo was redacted");
    for (sink, text) in sinks {
        for form in forms() {
            if let Some(at) = text.find(&form) {
                let begin = text[..at].char_indices().rev().nth(200).map_or(0, |(at, _)| at);
                panic!("{form} is in {sink}: …{}", &text[begin..at + form.len()]);
            }
        }
    }
}

//! Canaries: secrets of requests that must not appear in any table, event, metric or log.

use std::time::Duration;

use base64::Engine as _;

use crate::support::target::{Asked, Play, Target, tempfile};
use crate::support::{Fresh, Processes, eventually};

const WITHIN: Duration = Duration::from_secs(60);
/// One from the environment, one from a file, and one that JSON can repeat as a number.
const TOKEN: &str = "canary-token-5b1e";
const PIN: &str = "canary pin/7&\"ü";
const CODE: &str = "471147114711";
/// The longest body that is kept.
const RESPONSE_MAX: usize = 4_096;

/// What a server answers to a request.
type Answers = fn(&Asked) -> Play;
/// Ways to repeat a secret: the name of the activity, and what the server answers.
const WAYS: [(&str, Answers); 18] = [
    ("elsewise-bytes", echo_elsewise),
    ("elsewise-text", echo_elsewise),
    ("elsewise-json", echo_elsewise),
    ("numbers", |_| {
        json(&format!(
            r#"{{"is": {CODE}, "double": {CODE}.0, "power": 4.71147114711e11, "less": -{CODE}, "in": [9{CODE}]}}"#
        ))
    }),
    ("names", |_| json(&format!(r#"{{"{TOKEN}": 1, "{CODE}": 2}}"#))),
    ("header-names", |_| {
        raw(&format!("X-{TOKEN}: 1\r\nX-{}: 2\r\nSet-Cookie: {TOKEN}={CODE}", TOKEN.to_uppercase()), b"ok")
    }),
    ("reason", |_| Play::Raw(format!("HTTP/1.1 200 {TOKEN}\r\ncontent-length: 2\r\n\r\nok").into_bytes())),
    ("trailers", |_| {
        let chunks = format!("2\r\nok\r\n0\r\nx-trailer: {TOKEN}\r\n\r\n");
        Play::Raw(
            format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-trailer\r\n\r\n{chunks}").into_bytes(),
        )
    }),
    ("redirect-host", |_| Play::redirect(302, format!("http://{TOKEN}.example.org/{TOKEN}?q={TOKEN}#{TOKEN}"))),
    ("redirect-user", |_| Play::redirect(302, format!("http://{TOKEN}:{CODE}@127.0.0.1/"))),
    ("redirect-scheme", |_| Play::redirect(307, format!("{TOKEN}://{CODE}/"))),
    ("html", |_| text("&lt;p&gt;canary pin/7&amp;&quot;&#xFC;&lt;/p&gt; canary pin&#x2F;7&#38;&#34;ü")),
    ("escaped-twice", |_| {
        let once = format!("{PIN:?}");
        text(&format!("{once:?} canary%2520pin%252F7%2526%2522%25C3%25BC"))
    }),
    ("units", |_| text(&PIN.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect::<String>())),
    ("encoded", |_| {
        let base64 = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
        let hex: String = PIN.bytes().map(|byte| format!("{byte:02X}")).collect();
        let all = [base64(PIN.into()), base64(format!("u:{TOKEN}")), base64(format!("us:{TOKEN} ")), hex];
        text(&all.join(" "))
    }),
    ("charsets", |_| {
        let sixteen: Vec<u8> = PIN.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let latin: Vec<u8> = PIN.chars().map(|c| c as u8).collect();
        let header = [b"HTTP/1.1 200 OK\r\nx-latin: ".as_slice(), &latin, b"\r\n"].concat();
        let body = [b"\xff\xfe\xff".as_slice(), &latin, &sixteen].concat();
        Play::Raw([header, format!("content-length: {}\r\n\r\n", body.len()).into_bytes(), body].concat())
    }),
    ("cut", |_| text(&("x".repeat(RESPONSE_MAX - 6) + TOKEN))),
    ("aborted", |_| Play::Raw(format!("HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{TOKEN}").into_bytes())),
];

fn json(body: &str) -> Play {
    Play::Answer(200, vec![("content-type", "application/json".to_owned())], body.into())
}

fn text(body: &str) -> Play {
    Play::Answer(200, vec![("content-type", "text/plain".to_owned())], body.into())
}

/// An answer with these header lines.
fn raw(headers: &str, body: &[u8]) -> Play {
    let head = format!("HTTP/1.1 200 OK\r\n{headers}\r\ncontent-length: {}\r\n\r\n", body.len());
    Play::Raw([head.as_bytes(), body].concat())
}

/// A secret in every place of a request, and an activity for every way an attempt can end.
fn definition(target: &Target) -> String {
    let ask = |id: &str, more: &str| {
        format!(
            "  - id: {id}\n    http:\n      method: POST\n      url: \"{}/${{ secrets.PIN }}\"\n      \
             query: {{ q: \"a ${{ secrets.TOKEN }}\" }}\n      \
             headers: {{ authorization: \"Bearer ${{ secrets.TOKEN }}\", x-both: \"${{ secrets.TOKEN }}:${{ secrets.TOKEN }}\" }}\n      \
             body: {{ pin: \"${{ secrets.PIN }}\", code: \"${{ secrets.CODE }}\", like: \"$${{ secrets.TOKEN }}\", parts: {{ $parts: [{{ secret: TOKEN }}] }} }}\n      \
             idempotent: true\n    timeout: 1s\n    retry: {{ attempts: 2, base: 10ms }}\n    on_error: [{{ output: {{ failed: error.message }} }}]\n{more}",
            target.url(&format!("/{id}"))
        )
    };
    let echoed = ask("echoed", "    output: { said: result.body, headed: result.headers }\n");
    let keeps = "    output: { said: result.body, headed: result.headers }\n";
    let elsewise: String = WAYS.map(|(id, _)| ask(id, if id == "cut" { "" } else { keeps })).concat();
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
    // A part of each is enough, also of the one that is cut.
    let mut forms =
        vec![TOKEN.to_owned(), "canary-tok".into(), PIN.to_owned(), CODE.to_owned(), "4.71147114711".into()];
    forms.extend(["canary%20pin", "canary+pin", "canary pin", "canary%2520pin"].map(str::to_owned));
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    forms.extend([hex("canary-token-"), hex("canary pin")]);
    forms.push("canary pin".encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect());
    // base64 has three forms of a text, by its offset.
    let sixteen: Vec<u8> = "canary pin".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for text in ["canary pin".as_bytes(), "canary-token".as_bytes(), &sixteen] {
        for skipped in 0..3 {
            forms.push(base64::engine::general_purpose::STANDARD.encode(&text[skipped..])[..8].to_owned());
        }
    }
    // Names of headers and of hosts are in lower case.
    forms.iter().map(|form| form.to_lowercase()).collect()
}

/// A server that repeats secrets in every way, or ends without an answer.
async fn repeating() -> Target {
    Target::playing(|asked| match asked.line.split(['/', '?']).nth(1) {
        Some("echoed") => echo(asked, 200),
        Some("failing") => echo(asked, 503),
        Some("broken") => Play::Reset,
        Some("silent") => Play::Silent,
        Some("garbage") => Play::Raw(format!("no HTTP {TOKEN}\r\n\r\n").into_bytes()),
        way => WAYS.iter().find(|(known, _)| way == Some(*known)).map_or(Play::Reset, |(_, play)| play(asked)),
    })
    .await
}

#[tokio::test]
async fn no_secret_appears_in_tables_events_metrics_or_logs() {
    let target = repeating().await;
    let file = tempfile::File::with(PIN);
    let fresh = Fresh::new().await;
    let processes = Processes::on(fresh).await;
    let file_of_pin = file.path();
    let response_max = RESPONSE_MAX.to_string();
    let settings = [
        ("LEVERET_SECRETS__NAMES", "TOKEN,PIN,CODE"),
        ("TOKEN", TOKEN),
        ("CODE", CODE),
        ("PIN_FILE", file_of_pin.as_str()),
        ("LEVERET_OUTGOING__ALLOW_ADDRESSES", "127.0.0.1"),
        ("LEVERET_OUTGOING__ALLOW_HOSTS", "127.0.0.1"),
        ("LEVERET_OUTGOING__REDIRECTS_MAX", "1"),
        ("LEVERET_OUTGOING__RESPONSE_MAX", response_max.as_str()),
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
    let others = ["echoed", "failing", "broken", "silent", "garbage"];
    for way in WAYS.map(|(way, _)| way).into_iter().chain(others) {
        assert!(asked.iter().any(|asked| asked.line.contains(&format!("/{way}/"))), "{way}");
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
        // Base64 is compared in lower case, too: more is found, and nothing else is taken for it.
        let text = text.to_lowercase();
        for form in forms() {
            if let Some(at) = text.find(&form) {
                let begin = text[..at].char_indices().rev().nth(200).map_or(0, |(at, _)| at);
                panic!("{form} is in {sink}: …{}", &text[begin..at + form.len()]);
            }
        }
    }
}

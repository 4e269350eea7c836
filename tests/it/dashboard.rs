//! The dashboard in a real browser: every page, and what people do with it. Chromium comes from Debian's package, what drives it from npm.

mod seeds;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::{InProcess, Processes, Program};
use seeds::Shop;

/// All pages four times over, on a slow machine.
const RUN_WITHIN: Duration = Duration::from_secs(240);
const INSTALLED_WITHIN: Duration = Duration::from_secs(120);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser")
}

/// The browser, or a failure that says how to get it: a dashboard that no browser has seen is not tested.
fn chromium() -> &'static str {
    let known = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    known.into_iter().find(|path| Path::new(path).exists()).unwrap_or_else(|| {
        panic!("Chromium is not installed, so the dashboard is NOT TESTED: run scripts/install-servers, or apt-get install chromium")
    })
}

/// Installs what package-lock.json names, once: the first test does it.
async fn install() {
    let lock = std::fs::File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("npm-browser.lock")).unwrap();
    tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await.unwrap().unwrap();
    if !folder().join("node_modules/axe-core").exists() || !folder().join("node_modules/playwright-core").exists() {
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(folder()).stdin(Stdio::null());
        npm.env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1");
        let done = timeout(INSTALLED_WITHIN, npm.output()).await.expect("npm ends");
        let done = done.expect("npm is not installed, so the dashboard is NOT TESTED");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

/// Runs a script against a shop; `answer` does what the script asks for.
async fn browse(script: &str, base: &str, seeded: &Value, mut answer: impl AsyncFnMut(&str)) {
    install().await;
    let shots = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("screenshots");
    std::fs::create_dir_all(&shots).unwrap();
    let mut command = Command::new("node");
    command.arg(folder().join(script)).current_dir(folder()).kill_on_drop(true);
    command.env("BASE", base).env("SHOTS", &shots).env("CHROMIUM", chromium()).env("SEEDED", seeded.to_string());
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("node is not installed, so the dashboard is NOT TESTED");
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut stdin = child.stdin.take().unwrap();
    let mut told = String::new();
    let run = async {
        while let Some(line) = said.next_line().await.unwrap() {
            told.push_str(&format!("{line}\n"));
            if let Some(what) = line.strip_prefix("ask: ") {
                answer(what).await;
                stdin.write_all(b"done\n").await.unwrap();
            }
        }
        child.wait().await.unwrap()
    };
    let status = timeout(RUN_WITHIN, run).await.unwrap_or_else(|_| panic!("{script} takes longer than {RUN_WITHIN:?}"));
    assert!(status.success(), "{script} found problems; pictures are in {}:\n{told}", shots.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_clean_in_a_browser_wide_and_narrow_light_and_dark() {
    let shop = Shop::open().await;
    browse("pages.mjs", &shop.base, &shop.seeded, async |what| panic!("it asks to {what}")).await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_mend_decide_and_are_told_when_others_were_faster() {
    let mut shop = Shop::open().await;
    let (base, seeded) = (shop.base.clone(), shop.seeded.clone());
    browse("flows.mjs", &base, &seeded, async |what| match what {
        "start billing" => shop.bill("B-live").await,
        "stop" => shop.stop().await,
        "start again" => shop.start_again("after-the-restart").await,
        other => panic!("it asks to {other}"),
    })
    .await;
    shop.close().await;
}

#[tokio::test]
async fn a_form_is_taken_only_from_a_page_of_this_server() {
    let leveret = InProcess::new().await;
    let base = leveret.url("/livez").replace("/livez", "");
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let who = async |headers: &[(&str, &str)]| {
        let mut request = http.post(format!("{base}/who")).header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body("user=mia&groups=approvers").send().await.unwrap()
    };
    for headers in
        [&[][..], &[("sec-fetch-site", "same-site")], &[("sec-fetch-site", "none"), ("origin", base.as_str())]]
    {
        let refused = who(headers).await;
        assert_eq!((refused.status().as_u16(), refused.headers().get("set-cookie")), (403, None), "{headers:?}");
        assert!(refused.text().await.unwrap().contains("<h1>Foreign origin</h1>"), "{headers:?}");
    }
    let taken = who(&[("origin", base.as_str())]).await;
    assert_eq!((taken.status().as_u16(), &taken.headers()["location"]), (303, &"/tasks".parse().unwrap()));
    let cookies: Vec<&str> = taken.headers().get_all("set-cookie").iter().map(|one| one.to_str().unwrap()).collect();
    assert!(cookies.len() == 2 && cookies.iter().all(|one| one.contains("HttpOnly; SameSite=Lax")), "{cookies:?}");
    for (path, status) in [("/", 200), ("/instances/not-an-id", 404), ("/nowhere", 404), ("/instances?cursor=x", 400)] {
        let page = http.get(format!("{base}{path}")).header("accept", "text/html").send().await.unwrap();
        assert_eq!(page.status(), status, "{path}");
        assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"), "{path}");
        assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'none'"), "{path}");
        assert_eq!(page.headers()["cache-control"], "no-store", "{path}");
    }
    leveret.stop().await;
}

/// A program that serves, at a known address.
fn serve(processes: &Processes, listen: &str) -> Program {
    processes
        .serve_roles("worker,relay,timers,caller,bulk,cleaner,dead_letters,api", &[("LEVERET_HTTP__LISTEN", listen)])
}

/// The start of an instance.
fn start(definition: &str, key: &str, input: &Value) -> Value {
    json!({ "definition": definition, "key": key, "input": input })
}

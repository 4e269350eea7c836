//! History is exported before it is deleted: nothing goes that was not written, read back and noted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_compression::tokio::bufread::ZstdDecoder;
use leveret::config::Config;
use leveret::handlers::Handlers;
use leveret::roles::Role;
use leveret::roles::cleaner::retention;
use leveret::time::retention::Retention;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

use crate::support::target::{Asked, Play, Target};
use crate::support::{CommandLine, Fresh, InProcess};

const SHORT: &str = "
name: short
variables: { n: 0 }
activities:
  - { id: first, set: { n: 1.5 } }
";
/// Without the role cleaner: the test decides when it runs.
const ROLES: [Role; 6] = [Role::Worker, Role::Relay, Role::Timers, Role::Caller, Role::DeadLetters, Role::Api];

fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("leveret-export-{:016x}", fastrand::u64(..)));
    std::fs::create_dir(&folder).unwrap();
    folder
}

/// Two ended instances that are no longer kept.
async fn leveret(change: impl FnOnce(&mut Config)) -> InProcess {
    let fresh = Fresh::new().await;
    let mut config = InProcess::config(&fresh);
    config.retention.instances = Retention::For(Duration::from_millis(1));
    change(&mut config);
    let leveret = InProcess::on(fresh, config, Handlers::new(), &ROLES).await;
    leveret.apply(SHORT).await;
    for key in ["A", "B"] {
        leveret.start("short", key).await;
        leveret.reaches(key, "completed").await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    leveret
}

/// The files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

async fn lines(bytes: &[u8]) -> Vec<Value> {
    let mut text = String::new();
    ZstdDecoder::new(bytes).read_to_string(&mut text).await.unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Computes the hash of a line again, as docs/protocol.md tells it.
fn hash(line: &Value) -> String {
    let at: jiff::Timestamp = serde_json::from_value(line["at"].clone()).unwrap();
    let row = BTreeMap::from([
        ("instance", line["instance"].clone()),
        ("number", line["number"].clone()),
        ("at", json!(at.as_microsecond())),
        ("kind", line["what"].clone()),
        ("activity", line["activity"].clone()),
        ("branch", line["branch"].clone()),
        ("details", line["digest"].clone()),
        ("previous", line["previous_hash"].clone()),
    ]);
    hex::encode(Sha256::digest(serde_json::to_string(&row).unwrap()))
}

/// Every chain is whole, and ends with the hash that its instance had.
fn assert_whole(lines: &[Value], instances: usize, rows: usize) {
    let (mut seen, mut newest, mut expected) = (0, None, None);
    for line in lines {
        if line["kind"] == "instance" {
            assert_eq!(newest, expected, "the end of a chain");
            (newest, expected) = (Some("0".repeat(64)), Some(line["history_hash"].as_str().unwrap().to_owned()));
            seen += 1;
        } else {
            assert_eq!(line["previous_hash"].as_str(), newest.as_deref(), "{line}");
            newest = Some(hash(line));
        }
    }
    assert_eq!(newest, expected);
    assert_eq!((seen, lines.len()), (instances, instances + rows));
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_in_a_file_with_its_manifest_before_it_is_deleted() {
    let folder = folder();
    let leveret = leveret(|config| config.export.to = folder.display().to_string()).await;
    let rows = leveret.count("leveret.history").await;
    let cleaned = retention::pass(leveret.app()).await.unwrap();
    assert_eq!((cleaned.exported, cleaned.instances), (2, 2));
    assert_eq!(leveret.count("leveret.history").await, 0);
    assert_eq!(leveret.count("leveret.exported").await, 0, "what is deleted needs no mark");
    let [data, manifest] = files(&folder).try_into().unwrap();
    let bytes = std::fs::read(&data).unwrap();
    let manifest: Value = serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
    assert_eq!(manifest["sha256"], hex::encode(Sha256::digest(&bytes)));
    assert_eq!(
        (&manifest["instances"], &manifest["rows"], &manifest["bytes"]),
        (&json!(2), &json!(rows), &json!(bytes.len()))
    );
    assert!(data.ends_with(manifest["file"].as_str().unwrap()));
    assert_whole(&lines(&bytes).await, 2, usize::try_from(rows).unwrap());
    // Nothing more to do.
    assert_eq!(retention::pass(leveret.app()).await.unwrap(), retention::Cleaned::default());
    assert_eq!(files(&folder).len(), 2);
    std::fs::remove_dir_all(folder).unwrap();
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_exported_is_kept() {
    let folder = folder();
    let leveret = leveret(|config| config.export.to = folder.display().to_string()).await;
    std::fs::remove_dir(&folder).unwrap();
    let error = retention::pass(leveret.app()).await.unwrap_err().to_string();
    assert!(error.contains("is not a folder"), "{error}");
    assert_eq!(leveret.count("leveret.instances").await, 2);
    std::fs::create_dir(&folder).unwrap();
    // A file that is not as it was written counts for nothing: here none can be written, because a file is where a folder should be.
    std::fs::write(folder.join("history"), "in the way").unwrap();
    retention::pass(leveret.app()).await.unwrap_err();
    assert_eq!(leveret.count("leveret.instances").await, 2);
    std::fs::remove_file(folder.join("history")).unwrap();
    leveret.execute("UPDATE leveret.exports SET claimed_until = now()").await;
    let cleaned = retention::pass(leveret.app()).await.unwrap();
    assert_eq!((cleaned.exported, cleaned.instances), (2, 2));
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_goes_on_after_its_process_was_killed() {
    for point in ["export::before_file", "export::after_file", "export::before_verified"] {
        let folder = folder();
        let to = folder.display().to_string();
        let leveret = leveret(|config| config.export.to = to.clone()).await;
        let on = || {
            CommandLine::on(&leveret.fresh).with("LEVERET_RETENTION__INSTANCES", "1ms").with("LEVERET_EXPORT__TO", &to)
        };
        let killed = on().with("FAILPOINTS", &format!("{point}=return")).say("cleaner").await;
        assert_eq!(killed.code, -1, "{point}: {killed:?}");
        assert_eq!(leveret.count("leveret.instances").await, 2, "{point}");
        // The claim of the dead process holds for a while.
        let early = on().json("cleaner").await;
        assert_eq!((&early["exported"], &early["instances"]), (&json!(0), &json!(0)), "{point}");
        leveret.execute("UPDATE leveret.exports SET claimed_until = now()").await;
        let done = on().json("cleaner").await;
        assert_eq!((&done["exported"], &done["instances"]), (&json!(2), &json!(2)), "{point}");
        let found = files(&folder);
        assert_eq!(found.len(), 2, "{point}: one file and its manifest: {found:?}");
        assert_whole(&lines(&std::fs::read(&found[0]).unwrap()).await, 2, found_rows(&found[1]));
        std::fs::remove_dir_all(folder).unwrap();
    }
}

fn found_rows(manifest: &Path) -> usize {
    let manifest: Value = serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
    usize::try_from(manifest["rows"].as_u64().unwrap()).unwrap()
}

/// A bucket with as much of the protocol as is used: it keeps what is put, and gives it back whole or in parts.
#[derive(Clone, Default)]
struct Bucket(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

impl Bucket {
    fn answer(&self, asked: &Asked) -> Play {
        let mut words = asked.line.split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap().split('?').next().unwrap().to_owned());
        if !asked.header("authorization").is_some_and(|by| by.starts_with("AWS4-HMAC-SHA256 Credential=leveret/")) {
            return Play::status(403);
        }
        let mut kept = self.0.lock().unwrap();
        let dated = |bytes: &[u8], status: u16, more: &str| {
            format!(
                "HTTP/1.1 {status} OK\r\ncontent-length: {}\r\netag: \"x\"\r\nlast-modified: Sat, 28 Nov 2026 10:00:00 GMT\r\n{more}connection: close\r\n\r\n",
                bytes.len()
            )
        };
        match (method, kept.get(&path)) {
            ("PUT", _) => {
                kept.insert(path, asked.body.clone());
                Play::Answer(200, vec![("etag", "\"x\"".into())], vec![])
            }
            ("HEAD", Some(bytes)) => Play::Raw(dated(bytes, 200, "").into_bytes()),
            ("GET", Some(bytes)) => {
                let range = asked.header("range").unwrap().trim_start_matches("bytes=").to_owned();
                let (from, to) = range.split_once('-').unwrap();
                let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
                let part = &bytes[from..=to.min(bytes.len() - 1)];
                let more = format!("content-range: bytes {from}-{to}/{}\r\n", bytes.len());
                Play::Raw([dated(part, 206, &more).into_bytes(), part.to_vec()].concat())
            }
            (_, _) => Play::status(404),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_exported_to_a_bucket() {
    let (bucket, folder) = (Bucket::default(), folder());
    let answering = bucket.clone();
    let target = Target::playing(move |asked| answering.answer(asked)).await;
    let secret = folder.join("secret");
    std::fs::write(&secret, "hunter2-hunter2\n").unwrap();
    let leveret = leveret(|config| {
        config.export.to = "s3://archive/leveret".into();
        config.export.endpoint = format!("http://{}", target.address);
        config.export.access_key_id = "leveret".into();
        config.export.secret_key_file = secret.display().to_string();
        config.outgoing.allow_addresses = vec!["127.0.0.1".parse().unwrap()];
    })
    .await;
    let cleaned = retention::pass(leveret.app()).await.unwrap();
    assert_eq!((cleaned.exported, cleaned.instances), (2, 2));
    let kept = bucket.0.lock().unwrap().clone();
    let names: Vec<&String> = kept.keys().collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names.iter().all(|name| name.starts_with("/archive/leveret/history/")), "{names:?}");
    let manifest: Value = serde_json::from_slice(&kept[names[1]]).unwrap();
    assert_eq!(manifest["sha256"], hex::encode(Sha256::digest(&kept[names[0]])));
    assert_whole(&lines(&kept[names[0]]).await, 2, usize::try_from(manifest["rows"].as_u64().unwrap()).unwrap());
    std::fs::remove_dir_all(folder).unwrap();
}

//! The OpenAPI document: it tells what the router does, and what other programs make of it works.

mod client;
mod guards;
mod schemathesis;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::InProcess;

/// The first use installs the tools from PyPI.
const TOOLS_WITHIN: Duration = Duration::from_secs(240);

/// The folder with the programs of scripts/python-tools.
async fn tools() -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/python-tools");
    let made = Command::new(script).stdin(Stdio::null()).kill_on_drop(true).output();
    let made = timeout(TOOLS_WITHIN, made).await.expect("the tools are installed in time").unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    PathBuf::from(String::from_utf8(made.stdout).unwrap().trim()).join("bin")
}

/// A program of them runs to its end, successfully; what it has printed.
async fn run(command: &mut Command, within: Duration) -> String {
    let ended = timeout(within, command.stdin(Stdio::null()).kill_on_drop(true).output()).await;
    let ended = ended.unwrap_or_else(|_| panic!("it takes longer than {within:?}")).unwrap();
    let said = String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}");
    said
}

#[tokio::test]
async fn the_document_lists_the_methods_of_every_route() {
    let leveret = InProcess::new().await;
    let document = leveret.get("/openapi.json").await.ok(200);
    assert_eq!(document, leveret::http::openapi());
    for (pattern, methods) in document["paths"].as_object().unwrap() {
        let path = pattern.replace(['{', '}'], "");
        let path = path.strip_prefix("/api/v1").unwrap_or(&path);
        let refused = leveret.send(Method::OPTIONS, path, None, String::new()).await;
        let allowed: BTreeSet<String> =
            refused.allow.split(',').map(|method| method.trim().to_ascii_lowercase()).collect();
        let mut told: BTreeSet<String> = methods.as_object().unwrap().keys().cloned().collect();
        if told.contains("get") {
            // Every GET answers to HEAD as well.
            told.insert("head".into());
        }
        assert_eq!(allowed, told, "{pattern}");
        refused.problem(405, "method");
    }
    leveret.stop().await;
}

#[tokio::test]
async fn a_problem_names_its_page_its_places_and_its_trace() {
    let leveret = InProcess::new().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = reqwest::Client::new().post(leveret.url("/instances")).header("content-type", "application/json");
    let request = request.header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"));
    let answer = request.body(r#"{"definition": "line", "priority": "high"}"#).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let problem: Value = answer.json().await.unwrap();
    assert_eq!((&problem["trace_id"], &problem["errors"][0]["pointer"]), (&trace.into(), &"/priority".into()));
    let page = leveret.text(problem["help"].as_str().unwrap()).await;
    assert!(page.contains("urn:leveret:invalid") && page.contains("to do:"), "{page}");
    leveret.get("/problems/nothing").await.problem(404, "not-found");
    // What other layers add to a problem stays.
    let request = reqwest::Client::new().request(Method::DELETE, leveret.url("/instances"));
    let answer = request.header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01")).send().await.unwrap();
    assert_eq!(answer.headers()["allow"], "POST,GET,HEAD");
    let untraced: Value = leveret.get("/instances/x").await.body;
    assert_eq!(untraced.get("trace_id"), None);
    let document = "name: a\nactivities:\n  - { id: a, sett: {} }\n";
    let refused = leveret.send(Method::POST, "/definitions/check", None, document.into()).await.body;
    assert_eq!(refused["errors"][0]["pointer"], "/activities/0/sett", "{refused}");
    leveret.stop().await;
}

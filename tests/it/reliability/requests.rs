//! A client of the HTTP API whose connection is cut: it asks again with the same key, and gets the same answer.

use serde_json::{Value, json};

use crate::support::{Fault, InProcess, Lost, Proxy};

/// The first request, or its answer, is lost. Then there is this number of instances, and after the second request one.
async fn cut(mut fault: Fault, lost: Lost, committed: i64) {
    let leveret = InProcess::with_ledger().await;
    let (wire, url) = Proxy::before(&leveret.url("/instances")).await;
    let ask = async || {
        let request = reqwest::Client::new().post(&url).header("idempotency-key", "only");
        request.json(&json!({ "definition": "step", "key": "A" })).send().await
    };
    wire.arm(b"\"definition\"", lost);
    tokio::select! {
        answer = ask() => panic!("it was answered: {answer:?}"),
        () = wire.fired() => {}
    }
    assert_eq!(leveret.count("leveret.instances").await, committed);
    wire.cut();
    fault.fired(1);
    let first = ask().await.unwrap();
    fault.recovered();
    assert_eq!(first.status(), 201);
    let first: Value = first.json().await.unwrap();
    let again: Value = ask().await.unwrap().json().await.unwrap();
    assert_eq!(first, again);
    leveret.reaches("A", "completed").await;
    assert_eq!((leveret.count("leveret.instances").await, leveret.count("ledger").await), (1, 1));
    let id = leveret.id("A").await.unwrap();
    assert_eq!(first["id"], json!(id.0), "the answer names it");
    leveret.close().await;
    fault.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_cut_before_it_is_read_is_asked_again() {
    let fault =
        Fault::new("a client of the API is cut before its request is read, and asks again", "F63", "I1 I2 I3 I4 I17");
    cut(fault, Lost::Request, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_cut_after_its_commit_is_answered_again() {
    let fault = Fault::new("a client of the API is cut after the commit, and asks again", "F63", "I1 I2 I3 I4 I17");
    cut(fault, Lost::Answer, 1).await;
}

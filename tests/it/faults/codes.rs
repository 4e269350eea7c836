//! Codes with which an activity fails, where no other test raises them, and the count of panics.

#![expect(clippy::disallowed_methods, reason = "tasks of a test end with its runtime")]

use leveret::client::Worker;
use leveret::handlers::{HandlerInput, HandlerResult, Handlers};
use leveret::store::Connection;
use tokio_util::sync::CancellationToken;

use crate::support::InProcess;

const CAUGHT: &str = "on_error: [{ output: { code: error.code }, to: exit }]";

async fn code(leveret: &InProcess, activity: &str) -> String {
    let document = format!(
        "name: one\nvariables: {{ code: null }}\noutput: ${{ code }}\nactivities: [{{ id: a, {activity}, retry: none, {CAUGHT} }}]"
    );
    leveret.apply(&document).await;
    leveret.start("one", "A").await;
    leveret.reaches("A", "completed").await;
    leveret.lines("output #>> '{}'", "leveret.instances").await.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_not_allowed_fails_the_activity() {
    let leveret = InProcess::new().await;
    let said = code(&leveret, "http: { url: 'https://a.example/${ secrets.PIN }' }").await;
    assert_eq!(said, "secrets");
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_in_rust_that_panics_says_so() {
    let leveret = InProcess::new().await;
    let stop = CancellationToken::new();
    let worker = Worker::new(&leveret.fresh.amqp_url, &leveret.fresh.prefix, "panics", "panics");
    let stopped = stop.clone();
    let working =
        tokio::spawn(worker.run(async move { stopped.cancelled().await }, |_| async { panic!("as the test wants") }));
    assert_eq!(code(&leveret, "call: { name: panics }").await, "worker.unexpected");
    stop.cancel();
    working.await.unwrap();
    leveret.close().await;
}

async fn panics(_: &mut Connection, _: HandlerInput) -> HandlerResult {
    panic!("as the test wants")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_a_handler_is_counted_by_its_name() {
    let leveret = InProcess::with_handlers(Handlers::new().register("fragile", panics)).await;
    assert_eq!(code(&leveret, "run: { handler: fragile }").await, "handler.panic");
    let metrics = leveret.text("/metrics").await;
    let counted = metrics.lines().find(|line| line.starts_with("leveret_handler_panics_total"));
    assert_eq!(counted, Some("leveret_handler_panics_total{handler=\"fragile\"} 1"), "{metrics}");
    assert_eq!(leveret.lines("details", "leveret.history WHERE kind = 'ErrorCaught'").await.len(), 1);
    leveret.close().await;
}

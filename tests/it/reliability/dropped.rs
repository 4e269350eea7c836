//! Futures that are dropped at each of their awaits, and a handler that blocks the thread it runs on.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use leveret::command::{self, Applied, Delivered, Executed, Follow, Origin};
use leveret::contract::Message;
use leveret::handlers::{HandlerInput, HandlerResult, Handlers};
use leveret::store::Connection;
use serde_json::json;

use crate::support::{Fault, Fresh, InProcess, eventually};

/// More polls than any of the futures needs.
const POLLS_MAX: usize = 500;
/// The server notices within this that the connection of a dropped transaction is closed.
const ROLLED_BACK_WITHIN: Duration = Duration::from_secs(5);

/// Its steps are taken by the test alone.
const LONELY: &str = "
name: lonely
queue: nobody
activities:
  - { id: only, run: { handler: book } }
";

/// Polls a future this often, and drops it if it is not ready then.
async fn polled<F: Future>(times: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = times;
    poll_fn(|context| {
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Few connections, so that each drop meets the next user of its connection.
async fn leveret() -> InProcess {
    let leveret = InProcess::with_ledger_on(Fresh::new().await, |config| config.database.pool_max = 2).await;
    leveret.apply(LONELY).await;
    leveret
}

/// No transaction that was begun before now is open: it would hold its locks until the server ends it a minute later.
async fn nothing_is_open(leveret: &InProcess) {
    let now = leveret.lines("clock_timestamp()", "(SELECT 1) AS one").await.remove(0);
    let open = format!(
        "pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%' AND xact_start < '{now}'"
    );
    eventually("what was dropped is rolled back", ROLLED_BACK_WITHIN, async || leveret.count(&open).await == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_is_dropped_at_each_of_its_awaits_is_done_once() {
    let mut fault = Fault::new("a step with a handler is dropped at each of its awaits", "F7", "I1 I3 I4 I10");
    let leveret = leveret().await;
    leveret.start("lonely", "A").await;
    leveret.reaches("A", "running before only").await;
    let id = leveret.id("A").await.unwrap();
    for polls in 1.. {
        assert!(polls < POLLS_MAX, "it is never ready");
        let found = command::find(leveret.app(), id).await.unwrap().unwrap();
        // What was dropped after its commit was sent may have been committed.
        let Some(branch) = found.instance.ready_branch().map(|branch| branch.id) else { break };
        let step = command::step(leveret.app(), &found, branch, Follow::Always);
        match polled(polls, step).await {
            None => fault.fired_times(1, 1),
            Some(Ok(Executed::Committed(_))) => break,
            // An earlier one was committed meanwhile.
            Some(Ok(Executed::Conflict | Executed::Refused(_))) => {}
            Some(Err(error)) => panic!("after {polls} polls: {error}"),
        }
        nothing_is_open(&leveret).await;
    }
    leveret.reaches("A", "completed").await;
    assert_eq!(leveret.count("ledger").await, 1);
    leveret.close().await;
    fault.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_dropped_at_each_of_its_awaits_is_delivered_once() {
    let mut fault = Fault::new("the delivery of a message is dropped at each of its awaits", "F7", "I1 I2 I3 I4 I8");
    let leveret = leveret().await;
    leveret.start("paid", "A").await;
    leveret.reaches("A", "running at payment").await;
    let message =
        || Message { name: "paid".into(), key: "A".into(), data: json!({ "amount": 7 }), ttl: None, broadcast: false };
    let origin = Origin::new("the test", "only", b"only", Follow::Always);
    for polls in 1.. {
        assert!(polls < POLLS_MAX, "it is never ready");
        let delivery = Box::pin(command::message(leveret.app(), message(), &origin));
        match polled(polls, delivery).await {
            None => fault.fired_times(1, 1),
            Some(Ok(Applied::New(Delivered::To(_)) | Applied::Repeated(_))) => break,
            Some(other) => panic!("after {polls} polls: {:?}", other.map(|_| "kept")),
        }
        nothing_is_open(&leveret).await;
    }
    leveret.reaches("A", "completed").await;
    assert_eq!(leveret.lines("output", "leveret.instances").await, ["7"]);
    assert_eq!((leveret.count("leveret.messages").await, leveret.booked("A", "after").await), (0, 1));
    leveret.close().await;
    fault.held();
}

/// As a library would that knows nothing of asynchronous code.
async fn block(_: &mut Connection, _: HandlerInput) -> HandlerResult {
    std::thread::sleep(Duration::from_millis(1_500));
    Ok(json!(null))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_blocks_its_thread_delays_others_by_no_more_than_that() {
    let mut fault = Fault::new("a handler blocks a thread of the runtime for 1.5 s", "F9", "I1 I2 I3 I4 I13");
    let leveret = InProcess::with_handlers(Handlers::new().register("block", block)).await;
    leveret.apply("name: blocks\nactivities: [{ id: only, run: { handler: block } }]").await;
    leveret.apply("name: others\nvariables: { n: 0 }\nactivities: [{ id: only, set: { n: 1 } }]").await;
    leveret.start("blocks", "A").await;
    leveret.reaches("A", "running before only").await;
    fault.fired(10);
    for number in 0..10 {
        leveret.start("others", &format!("other-{number}")).await;
    }
    leveret.count_becomes(10, "leveret.instances WHERE definition = 'others' AND status = 'completed'").await;
    fault.recovered();
    leveret.reaches("A", "completed").await;
    leveret.close().await;
    fault.held();
}

//! The skeleton of an integration test, shown in CONTRIBUTING.md: a definition, commands, and what came of them.

use serde_json::json;

use crate::support::InProcess;

const GREETING: &str = "
name: greeting
variables: { heard: null }
output: ${ heard }
activities:
  - { id: listen, receive: { name: greeting }, output: { heard: result.data.text } }
";

#[tokio::test]
async fn an_instance_completes_with_the_message_it_waited_for() {
    // Every role in this process, with its own database and queue prefix.
    let leveret = InProcess::new().await;
    leveret.apply(GREETING).await;
    leveret.start("greeting", "A-1").await;
    leveret.reaches("A-1", "running at listen").await;
    let message = json!({ "name": "greeting", "key": "A-1", "data": { "text": "hello" } });
    leveret.post("/messages", &message).await.ok(200);
    leveret.reaches("A-1", "completed").await;
    assert_eq!(leveret.lines("output", "leveret.instances").await, ["\"hello\""]);
    // Fails if anything is stuck, unpublished, open or unacknowledged.
    leveret.close().await;
}

//! Tasks on the command line.

use serde_json::{Value, json};

use super::{id, with_approval};
use crate::support::CommandLine;

#[tokio::test]
async fn the_command_line_has_every_task_command() {
    let leveret = with_approval().await;
    let command_line = CommandLine::on(&leveret.fresh);
    let instance = leveret.post_instance("approval", "A-1", json!({})).await;
    let task = leveret.open_task(instance).await;
    let id = id(&task);
    let say = async |words: &str| command_line.json(&format!("task {words}")).await;

    assert_eq!(say("count --as bob").await, json!({ "count": 1, "more": false }));
    assert_eq!(say("list --groups managers --definition approval").await["items"][0]["id"], id);
    assert_eq!(say("list --as eve").await["items"], json!([]));
    let listed = command_line.say("task list --as bob").await.good();
    assert!(listed.contains("Approve what ann wants") && listed.contains("approval A-1"), "{listed}");
    assert_eq!(say("next --as mia --groups managers,heads --lease 10m").await["claimed_by"], "mia");
    assert_eq!(say("next --as mia --groups managers").await, Value::Null);
    let refused = command_line.say(&format!("task claim {id} --as bob")).await.failed();
    assert!(refused.contains("claimed by `mia`"), "{refused}");
    say(&format!("extend {id} --as mia --groups managers --lease 1h")).await;
    assert_eq!(say(&format!("draft {id} --as mia --form {{\"limit\":3}}")).await["draft"], json!({ "limit": 3 }));
    assert_eq!(say(&format!("release {id} --as mia")).await["claimed_by"], Value::Null);
    assert_eq!(say(&format!("reassign {id} --as boss --to zoe")).await["assignee"], "zoe");
    assert_eq!(say(&format!("delegate {id} --as zoe --to kim")).await["delegated_by"], "zoe");
    say(&format!("reassign {id} --as boss")).await;
    let claimed = say(&format!("claim {id} --as bob")).await;
    let stale =
        command_line.say(&format!("task complete {id} --as bob --decision approve --revision 1")).await.failed();
    assert!(stale.contains("has changed"), "{stale}");
    let shown = command_line.say(&format!("task show {id}")).await.good();
    for word in ["Approve what ann wants", "approve (Let it pass)", "claimed by", "excluded", "ann"] {
        assert!(shown.contains(word), "{word} in {shown}");
    }
    let revision = &claimed["revision"];
    let done = say(&format!("complete {id} --as bob --decision reject --comment no --revision {revision}")).await;
    assert_eq!((&done["state"], &done["result"]["comment"]), (&json!("completed"), &json!("no")));
    assert_eq!(say("list --closed --as bob").await["items"][0]["id"], id);
    let again = command_line.say(&format!("task complete {id} --as carl --decision reject")).await.failed();
    assert!(again.contains("completed by `bob`"), "{again}");
    let missing = command_line.say(&format!("task show {instance}")).await.failed();
    assert!(missing.contains("there is no task"), "{missing}");
    leveret.ended(instance).await;
    leveret.close_tasks().await;
}

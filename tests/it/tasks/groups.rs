//! Names of groups as directories have them: with commas, blanks and equals signs. Their members find their tasks.

use serde_json::json;

use crate::support::{CommandLine, InProcess, SOON, eventually};

const OFFERED: &str = "
name: offered
input: { type: object, properties: { group: { type: string } } }
activities:
  - { id: approve, task: { candidates: { groups: ['${ group }'] } } }
";
const NAMES: [&str; 5] = ["Sales, EMEA", "CN=Heads,OU=Sales,DC=example", " managers", "managers ", "Ärzte & Pflege"];

/// As a client would write it in an address.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn a_member_finds_the_task_whatever_the_group_is_called() {
    let leveret = InProcess::new().await;
    leveret.apply(OFFERED).await;
    for name in NAMES {
        leveret.start_with("offered", name, json!({ "group": name })).await;
    }
    let open = "leveret.tasks WHERE open";
    eventually("the tasks are open", SOON, async || leveret.count(open).await == NAMES.len() as i64).await;
    let line = CommandLine::on(&leveret.fresh);
    for name in NAMES {
        for parameter in ["group", "groups"] {
            let filter = format!("{parameter}={}", encoded(name));
            let page = leveret.get(&format!("/tasks?{filter}")).await.ok(200);
            let found: Vec<_> = page["items"].as_array().unwrap().iter().map(|task| task["key"].clone()).collect();
            assert_eq!(found, [name], "{filter}");
            let count = leveret.get(&format!("/tasks/count?{filter}&definition=offered")).await.ok(200);
            assert_eq!(count["count"], 1, "{filter}");
            let count = line.run(["task", "count", &format!("--{parameter}"), name]).await.good();
            assert!(count.contains('1'), "--{parameter} {name:?}: {count}");
        }
    }
    leveret.stop().await;
}

#[tokio::test]
async fn groups_are_listed_with_commas_or_one_by_one() {
    let leveret = InProcess::new().await;
    leveret.apply(OFFERED).await;
    for name in ["managers", "heads"] {
        leveret.start_with("offered", name, json!({ "group": name })).await;
    }
    eventually("the tasks are open", SOON, async || leveret.count("leveret.tasks WHERE open").await == 2).await;
    for filter in [
        "groups=managers,heads",
        "groups=managers,%20heads",
        "group=managers&group=heads",
        "group=heads&groups=managers",
    ] {
        assert_eq!(leveret.get(&format!("/tasks/count?{filter}")).await.ok(200)["count"], 2, "{filter}");
    }
    assert_eq!(leveret.get("/tasks/count?group=managers,heads").await.ok(200)["count"], 0, "exactly as written");
    leveret.get("/tasks?grupe=managers").await.problem(400, "invalid");
    leveret.get("/tasks?group=").await.problem(400, "invalid");
    leveret.stop().await;
}

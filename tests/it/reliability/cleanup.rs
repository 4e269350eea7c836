//! The cleaner is killed in the middle of a batch, and late duplicates come for what it has deleted.

use serde_json::json;

use super::{DIES_WITHIN, ENDS_WITHIN};
use crate::support::{Fault, Processes, Program};

/// Ended instances are not kept, but the ids of their commands are.
const AT_ONCE: [(&str, &str); 1] = [("LEVERET_RETENTION__INSTANCES", "1ms")];
const COUNT: i64 = 10;
const POINT: &str = "retention::instances_deleted";

/// What is left of instances that were deleted.
const REMAINS: &str = "(SELECT instance_id FROM leveret.history UNION ALL SELECT instance_id FROM leveret.bookmarks \
                       UNION ALL SELECT instance_id FROM leveret.tasks UNION ALL SELECT instance_id FROM leveret.calls \
                       UNION ALL SELECT instance_id FROM leveret.search_attributes) AS remains \
                       WHERE NOT EXISTS (SELECT FROM leveret.instances AS i WHERE i.id = remains.instance_id)";

#[tokio::test]
async fn a_cleaner_that_is_killed_leaves_no_half_and_late_duplicates_revive_nothing() {
    let mut fault = Fault::new("kill -9 of the cleaner in a batch; then late duplicates", "F41", "I1 I19");
    let processes = Processes::new().await;
    let mut program = processes.serve_roles("worker,relay,timers,dead_letters,api", &[]);
    let ask = async || {
        for number in 0..COUNT {
            processes.start("line", &format!("line-{number}"), json!({})).await;
        }
    };
    ask().await;
    processes.all_ended(COUNT, ENDS_WITHIN).await;
    // It waits for a message that does not come.
    processes.order("lives", "1h").await;
    let rows = processes.count("leveret.history").await;

    let settings: Vec<_> =
        AT_ONCE.into_iter().chain([("FAILPOINTS", "retention::instances_deleted=1*return")]).collect();
    let mut doomed = processes.serve_roles("cleaner", &settings);
    doomed.dies_at(POINT, DIES_WITHIN).await;
    fault.fired(1);
    assert!(processes.count("leveret.instances").await >= COUNT, "the batch was rolled back");
    assert!(processes.count("leveret.history").await >= rows);
    assert_eq!(processes.count(REMAINS).await, 0);

    let mut cleaner = Program::start(&processes.fresh, &["cleaner"], &AT_ONCE);
    assert!(cleaner.wait_within(ENDS_WITHIN).await.success(), "{}", cleaner.output());
    fault.recovered();
    assert_eq!(processes.count("leveret.instances WHERE ended_at IS NOT NULL").await, 0);
    assert_eq!(processes.count(REMAINS).await, 0);
    assert_eq!(processes.count("leveret.instances WHERE key = 'lives' AND ended_at IS NULL").await, 1);

    ask().await;
    processes.pay("lives").await;
    processes.all_ended(1, ENDS_WITHIN).await;
    assert_eq!(processes.lines("SELECT key AS line FROM leveret.instances").await, ["lives"], "nothing was revived");
    program.stops_in_order().await;
    processes.queues_are_empty().await;
    fault.held();
}

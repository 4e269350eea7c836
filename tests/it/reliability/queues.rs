//! Queues that lose what is in them: what is to be done is in the database.

use lapin::options::QueuePurgeOptions;
use leveret::roles::Role;
use leveret::server::Server;

use super::ENDS_WITHIN;
use crate::support::{Fault, InProcess, SOON, broker, eventually, ledger};

const COUNT: i64 = 30;

const ELSEWHERE: &str = "
name: elsewhere
queue: elsewhere
activities:
  - { id: one, run: { handler: book } }
  - { id: two, run: { handler: book } }
";

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_of_steps_that_is_purged_loses_no_instance() {
    let mut fault =
        Fault::new("a queue of steps is purged with every step command in it", "F45", "I1 I2 I3 I4 I12 I20");
    let leveret = InProcess::with_ledger().await;
    leveret.apply(ELSEWHERE).await;
    for number in 0..COUNT {
        leveret.start("elsewhere", &number.to_string()).await;
    }
    leveret.count_becomes(COUNT, "leveret.instances").await;
    leveret.count_becomes(0, "leveret.outbox").await;
    let channel = broker::raw(&leveret.fresh.amqp_url).await;
    let name = format!("{}.steps.elsewhere", leveret.fresh.prefix);
    let mut purged = 0;
    let all = async || {
        purged += channel.queue_purge(name.as_str().into(), QueuePurgeOptions::default()).await.unwrap();
        i64::from(purged) >= COUNT
    };
    eventually("every step command is purged", SOON, all).await;
    fault.fired(COUNT);
    let mut config = leveret.app().config.clone();
    config.worker.queues = vec!["elsewhere".into()];
    let worker = Server::start(config, ledger::handlers(), &[Role::Worker]).await.unwrap();
    let ended = async || leveret.count("leveret.instances WHERE status = 'completed'").await == COUNT;
    eventually("all have ended", ENDS_WITHIN, ended).await;
    fault.recovered();
    assert_eq!(leveret.count("ledger").await, 2 * COUNT);
    assert!(worker.stop().await, "it did not stop in time");
    leveret.close().await;
    fault.held();
}

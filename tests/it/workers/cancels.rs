//! The queue of external workers is deleted: they subscribe again, and the work of the moment is not lost.

use lapin::options::QueueDeleteOptions;

use super::*;
use crate::support::broker::raw;

async fn delete_queue(leveret: &InProcess) {
    let Fresh { amqp_url, prefix, .. } = &leveret.fresh;
    let queue = format!("{prefix}.work.pack");
    raw(amqp_url).await.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
}

async fn subscribes_again(language: Language) {
    let leveret = leveret().await;
    leveret.apply(&SHIPS.replace("heartbeat: 1s", "heartbeat: 20s")).await;
    let Some(mut worker) = Worker::start(language, &leveret.fresh, &journal()).await else {
        return leveret.close().await;
    };
    ships(&leveret, "before", json!({ "parcel": "A-1", "items": 1 })).await;
    assert_eq!(got(&leveret, "before").await["parcel"], "A-1");

    // It is idle, and the next request declares the queue again.
    delete_queue(&leveret).await;
    ships(&leveret, "idle", json!({ "parcel": "A-2", "items": 1 })).await;
    assert_eq!(got(&leveret, "idle").await["parcel"], "A-2");

    // It is at work. The request is gone, and nothing redelivers it: only this worker can reply.
    ships(&leveret, "busy", json!({ "parcel": "A-3", "items": 2, "seconds_per_item": 1 })).await;
    leveret.count_becomes(1, "leveret.history WHERE kind = 'CallProgressed'").await;
    delete_queue(&leveret).await;
    assert_eq!(got(&leveret, "busy").await["parcel"], "A-3");

    ships(&leveret, "after", json!({ "parcel": "A-4", "items": 1 })).await;
    assert_eq!(got(&leveret, "after").await["parcel"], "A-4");
    assert_eq!(leveret.lines("attempt", "leveret.calls").await, ["1"; 4], "no attempt more");
    assert_eq!(leveret.dead_letters().await, [""; 0]);
    worker.stops_in_order().await;
    leveret.close().await;
}

#[tokio::test]
async fn a_worker_in_python_subscribes_again_when_its_queue_is_deleted() {
    subscribes_again(Language::Python).await;
}

#[tokio::test]
async fn a_worker_in_javascript_subscribes_again_when_its_queue_is_deleted() {
    subscribes_again(Language::Node).await;
}

#[tokio::test]
async fn a_worker_in_rust_subscribes_again_when_its_queue_is_deleted() {
    subscribes_again(Language::Rust).await;
}

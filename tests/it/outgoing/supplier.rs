//! The example of a flaky supplier: orders succeed behind a breaker and a rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::target::{Play, Target};
use crate::support::{Fresh, InProcess, eventually};

const WITHIN: Duration = Duration::from_secs(120);
/// The number of orders.
const COUNT: i64 = 25;

#[tokio::test]
async fn orders_survive_an_outage_and_never_exceed_the_rate() {
    let down = Arc::new(AtomicBool::new(true));
    let (while_down, refused) = (down.clone(), Arc::new(AtomicUsize::new(0)));
    let asked_while_down = refused.clone();
    let supplier = Target::playing(move |asked| {
        if while_down.load(Ordering::SeqCst) {
            asked_while_down.fetch_add(1, Ordering::SeqCst);
            return Play::status(503);
        }
        match asked.number % 3 {
            0 => Play::Answer(429, vec![("retry-after", "1".into())], vec![]),
            _ => Play::ok(r#"{"price": 40}"#),
        }
    })
    .await;
    let leveret = InProcess::with_ledger_on(Fresh::new().await, |config| {
        config.outgoing.allow_addresses = vec!["127.0.0.1".parse().unwrap()];
        config.breaker.open_for = Duration::from_secs(2);
    })
    .await;
    leveret.apply_example("supplier").await;
    let began = Instant::now();
    for number in 0..COUNT {
        let input = json!({ "part": format!("bolt {number}"), "supplier": supplier.url("") });
        leveret.start_with("supplier", &format!("part-{number}"), input).await;
    }
    let open = "leveret.targets WHERE breaker <> 'closed' AND opened > 1";
    eventually("the breaker has opened again after a probe", WITHIN, async || leveret.count(open).await == 1).await;
    let listed = leveret.get("/targets").await.ok(200);
    let target = &listed["items"][0];
    assert_eq!(
        (&target["target"], &target["last_failure"]),
        (&format!("http://{}", supplier.address).into(), &"http.503".into())
    );
    assert_eq!((&target["rate"], &target["concurrency"]), (&json!({ "count": 5, "per": "1s" }), &json!(2)));
    assert!(target["waiting"].as_i64().unwrap() >= COUNT - 2, "{target}");
    let metrics = leveret.text("/metrics").await;
    assert!(metrics.contains("leveret_breaker_state") && metrics.contains("leveret_target_waiting"), "{metrics}");
    let seconds = began.elapsed().as_secs() + 1;
    let many = refused.load(Ordering::SeqCst) as u64;
    assert!(many <= 5 + 2 + seconds / 2, "a supplier that is down was asked {many} times in {seconds} s");

    down.store(false, Ordering::SeqCst);
    let offered = "leveret.instances WHERE output->>'outcome' = 'offered' AND output->>'price' = '40'";
    eventually("everything is offered", WITHIN, async || leveret.count(offered).await == COUNT).await;
    let seconds = began.elapsed().as_secs_f64();
    let all = supplier.asked().len() as f64;
    assert!(all <= 5.0 * (seconds + 1.0), "{all} requests in {seconds} s");
    assert!(supplier.asked()[0].line.starts_with("GET /offers/bolt%20"), "{:?}", supplier.asked()[0]);
}

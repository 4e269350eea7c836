//! Filters on a million instances: how long each of the documented ones takes. It generates its rows, and takes a few minutes:
//! `cargo nextest run --run-ignored only filters_on_a_million_instances --no-capture`

use std::time::{Duration, Instant};

use diesel_async::SimpleAsyncConnection;
use leveret::contract::filter::Filter;
use leveret::store::search;

use crate::support::InProcess;

/// Rounds of each filter.
const ROUNDS: usize = 40;
/// The goal, of the slowest filter.
const P95_MAX: Duration = Duration::from_millis(100);

/// Instances over 30 days: 30 definitions, of which `order` has half; one in a hundred lives, one in a thousand is suspended.
const INSTANCES: &str = "
INSERT INTO leveret.instances (id, definition, version, status, revision, ready, key, queue, priority, state_format, branches,
                               variables, input, error, started_at, ended_at, moved_at, history_count, history_hash)
SELECT (substr(leveret.uuid_at(at)::text, 1, 18) || '-8' || lpad(to_hex(n % 4096), 3, '0') || '-' || lpad(to_hex(n), 12, '0'))::uuid,
       CASE WHEN n % 2 = 0 THEN 'order' ELSE 'other-' || n % 29 END, 1, status, 7, false,
       CASE WHEN n % 50 = 0 THEN 'PO-' ELSE 'K-' END || n, CASE WHEN n % 10 = 0 THEN 'slow' ELSE 'default' END, 0, 1,
       CASE WHEN status IN ('running', 'suspended')
            THEN jsonb_build_object('branches', jsonb_build_array(jsonb_build_object(
                 'id', 0, 'sequence', 1, 'activity', 'step-' || n % 7, 'phase', 'ready', 'attempt', 1)))
            ELSE '{\"branches\": []}' END,
       jsonb_build_object('amount', n % 10000, 'customer', 'C-' || n % 5000, 'note', repeat('x', 200)), '{}',
       CASE WHEN status = 'failed' THEN jsonb_build_object('code', 'handler.code-' || n % 40, 'message', 'no') END,
       at, CASE WHEN status NOT IN ('running', 'suspended') THEN at + interval '1 minute' END, at, 1, '\\x00'
  FROM (SELECT n, now() - interval '30 days' + n * interval '2.5 seconds' AS at,
               CASE WHEN n % 1000 = 0 THEN 'suspended' WHEN n % 100 = 0 THEN 'running'
                    WHEN n % 200 = 1 THEN 'failed' ELSE 'completed' END AS status
          FROM generate_series({from}, {to}) AS n) AS made";
const ATTRIBUTES: &str = "
INSERT INTO leveret.search_attributes (instance_id, name, text_value, number_value, bool_value)
SELECT id, a.name, CASE a.name WHEN 'customer' THEN variables->>'customer' END,
       CASE a.name WHEN 'amount' THEN (variables->>'amount')::double precision END,
       CASE a.name WHEN 'large' THEN (variables->>'amount')::int > 9000 END
  FROM leveret.instances, unnest(ARRAY['customer', 'amount', 'large']) AS a (name)
 WHERE definition = 'order'";
const INCIDENTS: &str = "
INSERT INTO leveret.bookmarks (instance_id, number, branch, activity, kind, opened_at, details, fingerprint)
SELECT id, 1, 0, 'step', 'intervention', started_at, '{\"code\": \"handler.busy\", \"message\": \"no\"}', 'f-' || history_count
  FROM leveret.instances WHERE status = 'suspended'";

/// The documented terms, alone and together; those that match nearly everything, and those that match nothing.
const FILTERS: [&str; 20] = [
    "status:running definition:order key:PO-* var.amount>1000 started<1h",
    "status:running",
    "status:suspended definition:order",
    "status:completed",
    "status:running,suspended definition:order started>1d",
    "status:failed code:handler.code-1",
    "definition:order",
    "definition:other-3 started<7d",
    "key:K-123456",
    "key:PO-*",
    "key:K-12345*",
    "started<1h",
    "incident:f-1",
    "code:handler.busy definition:order",
    "var.customer:C-17",
    "var.customer:C-1* var.amount>9000",
    "var.amount>1000",
    "var.large:true status:running",
    "definition:order activity:step-3 status:running",
    "definition:order queue:slow var.amount<5 started<7d",
];

#[ignore = "it generates a million instances"]
#[tokio::test(flavor = "multi_thread")]
async fn filters_on_a_million_instances_take_less_than_a_tenth_of_a_second() {
    let leveret = InProcess::new().await;
    let begun = Instant::now();
    // Each statement within `database.statement_timeout`.
    for part in 0..50 {
        let (from, to) = (part * 20_000 + 1, (part + 1) * 20_000);
        let insert = INSTANCES.replace("{from}", &from.to_string()).replace("{to}", &to.to_string());
        leveret.execute(&insert).await;
    }
    let mut conn = leveret.conn().await;
    for statement in ["SET statement_timeout = 0", ATTRIBUTES, INCIDENTS, "VACUUM ANALYZE"] {
        conn.batch_execute(statement).await.unwrap();
    }
    println!("a million instances after {:?}", begun.elapsed());
    let mut slowest = Duration::ZERO;
    println!("| Filter | Rows | p50 | p95 |\n|---|---|---|---|");
    for text in FILTERS {
        let filter = Filter::read(text).unwrap();
        let (mut times, mut rows) = (Vec::new(), 0);
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            rows = search::page(&mut conn, &filter, None, 50, leveret.app().clock.now()).await.unwrap().ids.len();
            times.push(begun.elapsed());
        }
        times.sort();
        let (p50, p95) = (times[ROUNDS / 2], times[ROUNDS * 95 / 100]);
        println!("| `{text}` | {rows} | {:.1} ms | {:.1} ms |", p50.as_secs_f64() * 1e3, p95.as_secs_f64() * 1e3);
        slowest = slowest.max(p95);
    }
    drop(conn);
    leveret.stop().await;
    assert!(slowest < P95_MAX, "the slowest took {slowest:?}");
}

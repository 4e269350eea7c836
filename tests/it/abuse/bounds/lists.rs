//! Every list: as many rows as is said, and no more contents than fit into a page.

use std::collections::BTreeSet;

use super::*;

/// Rows of a page.
const LIST_MAX: usize = 500;
/// Bytes that the contents of a page take as JSON.
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// `[1, 1, …]` with this many numbers: 60 KB of JSON, and ten times as much in memory.
const NUMBERS: usize = 20_000;
const HTTP_TABLE: &str = "docs/operations.md";

/// Statements that write a whole page of rows with large contents.
const LARGE: [&str; 3] = [
    "INSERT INTO leveret.messages (name, key, data, app_id, expires_at)
     SELECT 'large', n::text, (SELECT jsonb_agg(1) FROM generate_series(1, 20000)), 'shop', now() + interval '1 day'
       FROM generate_series(1, 500) AS n RETURNING key AS line",
    "INSERT INTO leveret.schedules (name, definition, cron, zone, input, overlap, catch_up_for, missed, paused_at)
     SELECT 's' || n, 'line', '0 0 1 1 *', 'UTC', jsonb_build_object('a', (SELECT jsonb_agg(1) FROM generate_series(1, 20000))),
            'skip', 0, 'newest', now()
       FROM generate_series(1, 500) AS n RETURNING name AS line",
    "INSERT INTO leveret.calls (id, instance_id, bookmark, definition, activity, kind, target, state, attempt, dispatch,
            purpose, request, result, callback, opened_at, ended_at)
     SELECT gen_random_uuid(), gen_random_uuid(), n, 'ask', 'ask', 'http', 'https://a.test:443', 'succeeded', 1, 1, 'attempt',
            (SELECT jsonb_agg(1) FROM generate_series(1, 20000)), (SELECT jsonb_agg(1) FROM generate_series(1, 20000)), false,
            now() - n * interval '1 second', now()
       FROM generate_series(1, 500) AS n RETURNING bookmark::text AS line",
];

/// The lists of the API, as the documents name them: those that take a `limit`.
fn lists() -> Vec<String> {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(HTTP_TABLE);
    let text = std::fs::read_to_string(file).unwrap();
    let row = |line: &str| {
        let path = line.strip_prefix("| `GET` `")?.split('`').next()?;
        line.contains("`limit`").then(|| path.to_owned())
    };
    text.lines().filter_map(row).collect()
}

/// Follows the pages of a list to its end; returns the number of rows of each.
async fn pages(served: &Served, path: &str) -> Vec<usize> {
    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = served.get(&format!("{path}?limit={LIST_MAX}{cursor}")).await;
        let body = page.accepted(200);
        pages.push(body["items"].as_array().unwrap().len());
        match body["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return pages,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_list_shows_at_most_as_many_rows_as_is_said() {
    let served = Served::new().await;
    let id = served.start("line", json!({})).await.accepted(201)["id"].clone();
    let lists = lists();
    assert!(lists.len() > 8, "{lists:?}");
    let shown: BTreeSet<&str> = lists.iter().map(|path| path.split('/').nth(1).unwrap()).collect();
    for known in
        ["instances", "messages", "timers", "incidents", "calls", "definitions", "dead-letters", "tasks", "schedules"]
    {
        assert!(shown.contains(known), "{known} is not in {HTTP_TABLE}: {shown:?}");
    }
    let asked = json!({ "operation": "cancel", "filter": "definition:line" });
    let job = served.measured(Method::POST, "/api/v1/bulk", &asked).await.accepted(201)["id"].clone();
    for list in lists {
        let of = if list.starts_with("/bulk") { &job } else { &id };
        let path = list.replace("{id}", of.as_str().unwrap());
        served.get(&format!("{path}?limit={LIST_MAX}")).await.accepted(200);
        for limit in ["501", "0", "-1", "9223372036854775807"] {
            let refused = served.get(&format!("{path}?limit={limit}")).await;
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{path}");
            assert!(refused.body["detail"].as_str().unwrap().contains("from 1 to 500"), "{}", refused.body);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_large_rows_ends_before_it_takes_too_much_memory() {
    let served = Served::new().await;
    for statement in LARGE {
        let written = format!("WITH written AS ({statement}) SELECT line FROM written");
        assert_eq!(served.processes.lines(&written).await.len(), LIST_MAX);
    }
    let rows_max = PAGE_BYTES_MAX / (3 * NUMBERS);
    for list in ["/messages", "/schedules"] {
        let pages = pages(&served, list).await;
        assert_eq!(pages.iter().sum::<usize>(), LIST_MAX, "{list}: {pages:?}");
        assert!(pages[0] <= rows_max && pages[0] > rows_max - 3, "{list}: {pages:?}");
    }
    // Requests and results are not read at all.
    assert_eq!(pages(&served, "/calls").await, [LIST_MAX, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_timers_does_not_load_what_their_instances_hold_without_a_bound() {
    let served = Served::new().await;
    served.apply(&json!({ "name": "naps", "activities": [{ "id": "nap", "wait": { "for": "1d" } }] })).await;
    for _ in 0..3 {
        served.start("naps", json!({})).await.accepted(201);
    }
    let open = async || served.processes.count("leveret.bookmarks WHERE next_check_at IS NOT NULL").await == 3;
    eventually("all of them wait", SOON, open).await;
    assert_eq!(pages(&served, "/timers").await, [3]);
    // As if each held a result of three megabytes.
    let large = "WITH large AS (UPDATE leveret.instances SET branches = jsonb_set(branches, '{branches,0,held}', to_jsonb(repeat('x', 3000000))) \
                 WHERE definition = 'naps' RETURNING id::text AS line) SELECT line FROM large";
    assert_eq!(served.processes.lines(large).await.len(), 3);
    assert_eq!(pages(&served, "/timers").await, [2, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_history_is_bounded_by_its_rows_and_what_each_may_hold() {
    let served = Served::new().await;
    served
        .apply(&json!({
            "name": "tells", "variables": { "n": 0, "text": "" },
            "activities": [{
                "id": "round", "set": { "n": "n + 1", "text": "lists.range(200).map(i, 'x').join('')" },
                "next": [{ "when": "n < 520", "to": "round" }, { "to": "exit" }],
            }],
        }))
        .await;
    let id = served.start("tells", json!({})).await.accepted(201)["id"].clone();
    served.entry(&id, "InstanceCompleted").await;
    let path = format!("/instances/{}/history?limit={LIST_MAX}", id.as_str().unwrap());
    let page = served.get(&path).await;
    assert_eq!(page.accepted(200)["items"].as_array().unwrap().len(), LIST_MAX);
}

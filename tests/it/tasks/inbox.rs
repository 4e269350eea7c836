//! Inboxes over many tasks: in order, page by page, counted, and found by indexes alone.

use std::time::Duration;

use leveret::engine::Person;
use leveret::store::tasks::{self, Filter, Order};
use serde_json::json;

use super::with_approval;

/// Generated tasks, half of them closed.
const MANY: i64 = 100_000;

/// Every tenth open task is for `clerk7`, all are for the group `clerks`; a thousand definitions.
fn generated(many: i64) -> String {
    format!(
        "INSERT INTO leveret.tasks (id, instance_id, bookmark, definition, activity, revision, open, title, data, labels, \
           priority, users, groups, excluded, decisions, vote, ballots, due_at, opened_at, closed_at, outcome) \
         SELECT gen_random_uuid(), coalesce((SELECT id FROM leveret.instances LIMIT 1), gen_random_uuid()), 999, 'd' || (n % 1000), 'a', 1, n % 2 = 0, 'Task ' || n, 'null', '{{}}', \
           n % 7, ARRAY['clerk' || (n % 10)], ARRAY['clerks'], '{{}}', '[]', false, '[]', \
           CASE WHEN n % 3 = 0 THEN now() + n * interval '1 second' END, now() - n * interval '1 second', \
           CASE WHEN n % 2 = 1 THEN now() END, CASE WHEN n % 2 = 1 THEN 'completed' END \
         FROM generate_series(1, {many}) AS n; \
         INSERT INTO leveret.task_candidates (task_id, candidate, definition, priority, opened_at, due_at) \
         SELECT id, unnest(ARRAY['user:' || users[1], 'group:clerks']), definition, priority, opened_at, due_at \
         FROM leveret.tasks WHERE open; \
         ANALYZE leveret.tasks; ANALYZE leveret.task_candidates;"
    )
}

fn person(user: &str, groups: &[&str]) -> Person {
    Person { user: user.into(), groups: groups.iter().map(|group| (*group).to_owned()).collect() }
}

#[tokio::test]
async fn a_page_of_an_inbox_is_read_by_indexes() {
    let leveret = with_approval().await;
    leveret.execute(&generated(MANY)).await;
    let mut conn = leveret.app().store.background().await.unwrap();
    let somebody = Filter { person: person("clerk8", &["clerks", "others"]), limit: 50, ..Filter::default() };
    let middle = tasks::place(&somebody, &tasks::list(&mut conn, &somebody).await.unwrap()[40]);
    let soon = leveret.app().clock.now() + Duration::from_secs(60);
    let filters = [
        somebody.clone(),
        Filter { after: Some(middle), ..somebody.clone() },
        Filter { definition: Some("d8".into()), ..somebody.clone() },
        Filter { priority: Some(5), ..somebody.clone() },
        Filter { order: Order::Due, ..somebody.clone() },
        Filter { due_before: Some(soon), ..somebody.clone() },
        Filter { due_before: Some(soon), definition: Some("d8".into()), ..somebody.clone() },
        Filter { person: person("", &[]), closed: true, definition: Some("d9".into()), ..somebody.clone() },
        Filter { person: person("", &[]), ..somebody.clone() },
        Filter { person: person("", &[]), definition: Some("d8".into()), ..somebody.clone() },
        Filter { person: person("", &[]), order: Order::Due, ..somebody.clone() },
        Filter { person: person("", &[]), closed: true, ..somebody.clone() },
        Filter { person: person("bob", &[]), closed: true, ..somebody.clone() },
    ];
    for filter in &filters {
        let plan = tasks::explain(&mut conn, filter).await.unwrap();
        assert!(!plan.contains("Seq Scan"), "{filter:?}\n{plan}");
        assert!(plan.contains("Index"), "{filter:?}\n{plan}");
        // What is sorted is what came of the ranges, at most a page for each candidate.
        tasks::list(&mut conn, filter).await.unwrap();
    }
    let few = Filter { person: person("clerk8", &[]), definition: Some("d8".into()), ..Filter::default() };
    let few = tasks::count(&mut conn, &few).await.unwrap();
    assert_eq!((few.count, few.more), (MANY / 1_000, false));
    let many = tasks::count(&mut conn, &Filter { person: person("", &["clerks"]), ..Filter::default() }).await.unwrap();
    assert_eq!((many.count, many.more), (tasks::COUNT_MAX, true));
    leveret.stop().await;
}

/// `cargo nextest run --test it --run-ignored all a_million_tasks --no-capture` prints the figures of docs/waiting.md.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a million rows take minutes to make"]
async fn an_inbox_is_fast_with_a_million_tasks() {
    const LOOKS: usize = 50;
    let leveret = with_approval().await;
    leveret.post_instance("approval", "one", json!({})).await;
    for part in 0..20 {
        let rows = generated(50_000).replace("'Task ' || n", &format!("'Task {part} ' || n"));
        // Each part once: the earlier ones are offered already.
        leveret.execute(&rows.replace("FROM leveret.tasks WHERE open", "FROM leveret.tasks AS t WHERE open AND NOT EXISTS (SELECT FROM leveret.task_candidates WHERE task_id = t.id)")).await;
    }
    leveret.execute("VACUUM ANALYZE leveret.tasks").await;
    leveret.execute("VACUUM ANALYZE leveret.task_candidates").await;
    let mut conn = leveret.app().store.background().await.unwrap();
    let clerk = Filter { person: person("clerk8", &["clerks"]), limit: 50, ..Filter::default() };
    let mut middle = clerk.clone();
    for _ in 0..200 {
        let page = tasks::list(&mut conn, &Filter { limit: 500, ..middle.clone() }).await.unwrap();
        middle.after = page.last().map(|last| tasks::place(&middle, last));
    }
    for (name, filter) in [
        ("first page", clerk.clone()),
        ("a page after 100,000", middle),
        ("of one definition", Filter { definition: Some("d8".into()), ..clerk.clone() }),
        ("by due date", Filter { order: Order::Due, ..clerk.clone() }),
        ("all open", Filter { person: person("", &[]), ..clerk.clone() }),
        ("all closed", Filter { person: person("", &[]), closed: true, ..clerk.clone() }),
    ] {
        let mut times = Vec::new();
        for _ in 0..LOOKS {
            let began = std::time::Instant::now();
            tasks::list(&mut conn, &filter).await.unwrap();
            times.push(began.elapsed());
        }
        times.sort();
        eprintln!("{name}: p50 {:?}, p99 {:?}", times[LOOKS / 2], times[LOOKS - 1]);
        assert!(times[LOOKS / 2] < Duration::from_millis(50), "{name}");
    }
    let began = std::time::Instant::now();
    let many = tasks::count(&mut conn, &clerk).await.unwrap();
    eprintln!("count: {:?} for {} and more", began.elapsed(), many.count);
    let mut times = Vec::new();
    for number in 0..LOOKS {
        let began = std::time::Instant::now();
        let body = json!({ "user": format!("m{number}"), "groups": ["clerks"] });
        let reply = leveret.post("/tasks/claim-next", &body).await;
        // The instance knows nothing of the generated tasks: none can be claimed, and the search is what is timed.
        assert_eq!(reply.ok(200), json!(null));
        times.push(began.elapsed());
    }
    times.sort();
    eprintln!("search for the next, sixteen times in vain: p50 {:?}", times[LOOKS / 2]);
    drop(conn);
    leveret.stop().await;
}

#[tokio::test]
async fn pages_are_in_order_without_gap_or_repetition() {
    let leveret = with_approval().await;
    leveret.execute(&generated(400)).await;
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = leveret.get(&format!("/tasks?user=clerk4&groups=clerks&limit=30{cursor}")).await.ok(200);
        seen.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let mut ids: Vec<&str> = seen.iter().map(super::id).collect();
    assert_eq!(ids.len(), 200, "every open task, through the user or the group");
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 200, "and none twice");
    let place = |task: &serde_json::Value| {
        (-task["priority"].as_i64().unwrap(), task["opened_at"].as_str().unwrap().to_owned())
    };
    assert!(seen.windows(2).all(|pair| place(&pair[0]) <= place(&pair[1])), "the highest priority, then the oldest");
    let due = leveret.get("/tasks?groups=clerks&order=due&limit=500").await.ok(200);
    let due: Vec<&str> = due["items"].as_array().unwrap().iter().map(|task| task["due_at"].as_str().unwrap()).collect();
    assert!(due.is_sorted() && !due.is_empty());
    let closed = leveret.get("/tasks?state=closed&limit=10").await.ok(200);
    assert!(closed["items"].as_array().unwrap().iter().all(|task| task["state"] == "completed"), "{closed}");
    leveret.get("/tasks?cursor=nonsense").await.problem(400, "invalid");
    leveret.get("/tasks?state=odd").await.problem(400, "invalid");
    leveret.get("/tasks?wrong=1").await.problem(400, "invalid");
    assert_eq!(leveret.get("/tasks/count?definition=d4").await.ok(200), json!({ "count": 1, "more": false }));
    leveret.stop().await;
}

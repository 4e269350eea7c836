//! Graphs of documents, their drawings, and paths of instances.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use expect_test::expect_file;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::contract::api::{HistoryView, InstanceSummary};
use crate::definition::Definition;

const ORDER: &str = r#"
name: order
title: Orders <b>of all</b> & sundry
variables: { total: 0 }
on_error: [{ code: timeout, to: apologise }]
activities:
  - { id: check, set: { total: "${ 1 + 1 }" } }
  - id: large
    switch: [{ when: total > 1000, to: approve }, { to: ship }]
  - id: approve
    title: Approve the "order"
    task:
      candidates: { users: ann }
      decisions: [accept, reject]
    next: { accept: ship, reject: [{ when: total > 5, to: apologise }, { to: exit }] }
  - id: ship
    when: total > 0
    call: { name: carrier }
    on_error: [{ code: worker.carrier.full, to: approve }]
  - { id: done, end: {} }
  - { id: apologise, emit: { event: sorry } }
"#;

fn definition(text: &str) -> Definition {
    Definition::parse(text).map_or_else(|problems| panic!("{problems:?}"), |parsed| parsed.definition)
}

fn entry(number: i64, kind: &str, activity: Option<&str>) -> HistoryView {
    let at = jiff::Timestamp::UNIX_EPOCH + Duration::from_secs(10 * u64::try_from(number).unwrap_or(0));
    HistoryView {
        number,
        at,
        kind: kind.into(),
        activity: activity.map(str::to_owned),
        branch: Some(1),
        details: Value::Null,
    }
}

fn instance(status: &str, at: &[&str]) -> InstanceSummary {
    InstanceSummary {
        id: Uuid::nil(),
        definition: "order".into(),
        version: 1,
        key: None,
        status: status.into(),
        at: at.iter().map(ToString::to_string).collect(),
        started_at: jiff::Timestamp::UNIX_EPOCH,
        ended_at: None,
    }
}

/// To the approval, where an error of the carrier led back to.
fn walked() -> Vec<HistoryView> {
    vec![
        HistoryView { branch: None, ..entry(1, "InstanceStarted", None) },
        entry(2, "ActivityCompleted", Some("check")),
        entry(3, "ActivityCompleted", Some("large")),
        entry(4, "CallOpened", Some("ship")),
        entry(5, "ActivityFailed", Some("ship")),
        entry(6, "ErrorCaught", Some("ship")),
    ]
}

#[test]
fn every_way_of_a_document_is_an_edge_with_its_reason() {
    let graph = Graph::of(&definition(ORDER));
    let mut told = String::new();
    for edge in &graph.edges {
        let name = |at: usize| match &graph.nodes[at].shape {
            Shape::Activity { id, .. } => id.clone(),
            other => format!("({other:?})"),
        };
        let label = edge.label.as_deref().unwrap_or("-");
        writeln!(told, "{} → {} {:?} {label}", name(edge.from), name(edge.to), edge.way).unwrap();
    }
    expect_test::expect![[r#"
        (Start) → check Done -
        check → large Done -
        large → approve Done total > 1000
        large → ship Done else
        approve → ship Done accept
        approve → apologise Done reject, total > 5
        approve → (End) Done reject, else
        ship → done Done -
        ship → approve Error worker.carrier.full
        apologise → (End) Done -
        (Anywhere) → apologise Error timeout
    "#]]
    .assert_eq(&told);
}

#[test]
fn the_path_of_an_instance_has_its_times_and_its_present_place() {
    let overlay = Overlay::of_instance(&instance("running", &["approve"]), &walked());
    let walk = |from: Option<&str>, to: Option<&str>, way| {
        overlay.walk(&Passage { from: from.map(str::to_owned), to: to.map(str::to_owned), way })
    };
    assert_eq!(walk(None, Some("check"), Way::Done), Some(Walk { count: 1, time: Some(Duration::from_secs(10)) }));
    assert_eq!(
        walk(Some("large"), Some("ship"), Way::Done),
        Some(Walk { count: 1, time: Some(Duration::from_secs(30)) })
    );
    assert_eq!(walk(Some("ship"), Some("approve"), Way::Error), Some(Walk { count: 1, time: None }), "it stands there");
    assert_eq!(walk(Some("large"), Some("approve"), Way::Done), None);
    assert_eq!(overlay.mark("ship"), Some(Mark { visits: 1, state: State::Caught }));
    assert_eq!(overlay.mark("approve"), Some(Mark { visits: 0, state: State::Present }));
    let stuck = Overlay::of_instance(&instance("suspended", &["ship"]), &walked()[..5]);
    assert_eq!(stuck.mark("ship").map(|mark| mark.state), Some(State::Stuck));
    let failed = Overlay::of_instance(&instance("failed", &[]), &walked()[..5]);
    assert_eq!(failed.mark("ship").map(|mark| mark.state), Some(State::Failed));
}

#[test]
fn a_jump_leads_along_no_way() {
    let mut history = walked();
    history.push(entry(7, "BranchJumped", None));
    history.push(entry(8, "ActivityCompleted", Some("apologise")));
    history.push(entry(9, "InstanceCompleted", None));
    let overlay = Overlay::of_instance(&instance("completed", &[]), &history);
    let to =
        |from: &str, to: Option<&str>| Passage { from: Some(from.into()), to: to.map(str::to_owned), way: Way::Done };
    assert_eq!(overlay.walk(&to("ship", Some("apologise"))), None);
    assert_eq!(overlay.mark("apologise").map(|mark| mark.visits), Some(1));
}

#[test]
fn the_last_way_of_an_instance_leads_to_the_end() {
    let history = [
        entry(1, "InstanceStarted", None),
        entry(2, "ActivityCompleted", Some("apologise")),
        entry(3, "InstanceCompleted", None),
    ];
    let history =
        history.map(|entry| HistoryView { branch: if entry.activity.is_some() { Some(1) } else { None }, ..entry });
    let overlay = Overlay::of_instance(&instance("completed", &[]), &history);
    let end = Passage { from: Some("apologise".into()), to: None, way: Way::Done };
    assert_eq!(overlay.walk(&end), Some(Walk { count: 1, time: Some(Duration::from_secs(10)) }));
}

#[test]
fn the_drawings_of_a_document_stay_as_they_are() {
    let graph = Graph::of(&definition(ORDER));
    let overlay = Overlay::of_instance(&instance("running", &["approve"]), &walked());
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/graphs/");
    let lines = |svg: String| svg.replace("><", ">\n<") + "\n";
    expect_file![format!("{root}order.svg")].assert_eq(&lines(svg(&graph, &Overlay::default())));
    expect_file![format!("{root}order-walked.svg")].assert_eq(&lines(svg(&graph, &overlay)));
    expect_file![format!("{root}order.mmd")].assert_eq(&mermaid(&graph, &overlay));
}

#[test]
fn markup_in_a_document_stays_text() {
    let graph = Graph::of(&definition(ORDER));
    let drawn = svg(&graph, &Overlay::default());
    assert!(drawn.contains("Orders &lt;b&gt;of all&lt;/b&gt; &amp; sundry"), "{drawn}");
    assert!(!drawn.contains("<b>"), "{drawn}");
    let text = mermaid(&graph, &Overlay::default());
    assert!(text.contains("Approve the #34;order#34;") && text.contains("total #62; 1000"), "{text}");
}

/// A chain in which every tenth activity may go back or far ahead.
fn long(count: usize) -> Definition {
    let mut activities = Vec::new();
    for at in 0..count {
        activities.push(match at % 10 {
            5 => json!({ "id": format!("step_{at}"), "switch": [
                { "when": "total > 5", "to": format!("step_{}", (at + 23) % count) },
                { "when": "total > 3", "to": format!("step_{}", at - 3) },
                { "to": format!("step_{}", at + 1) },
            ] }),
            _ => json!({ "id": format!("step_{at}"), "set": { "total": "${ total + 1 }" } }),
        });
    }
    let document = json!({ "name": "long", "variables": { "total": 0 }, "activities": activities });
    definition(&document.to_string())
}

#[test]
fn no_box_covers_another_and_large_graphs_are_placed_in_bounded_time() {
    for count in [1, 5, 150, 1_000] {
        let graph = Graph::of(&long(count));
        let labels: Vec<Option<String>> = graph.edges.iter().map(|edge| edge.label.clone()).collect();
        let begun = Instant::now();
        let plan = place::place(&graph, &labels);
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(10), "{count} activities took {took:?}");
        assert_eq!((plan.nodes.len(), plan.edges.len()), (graph.nodes.len(), graph.edges.len()));
        for (at, one) in plan.nodes.iter().enumerate() {
            assert!(one.centre.x - one.width / 2.0 >= 0.0 && one.centre.x + one.width / 2.0 <= plan.width, "{one:?}");
            for other in &plan.nodes[at + 1..] {
                let apart = (one.centre.x - other.centre.x).abs() >= (one.width + other.width) / 2.0
                    || (one.centre.y - other.centre.y).abs() >= (one.height + other.height) / 2.0;
                assert!(apart, "{one:?} covers {other:?}");
            }
        }
        assert!(plan.edges.iter().all(|edge| edge.points.len() >= 2), "every way has two ends");
    }
}

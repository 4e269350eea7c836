//! A placed graph as SVG. Colours are attributes, so that the file shows them anywhere; a page overrides them by its own style sheet through
//! the classes.

use maud::{Markup, Render as _, html};

use super::outline::{Edge, Graph, Node, Shape, Way};
use super::overlay::{Mark, Overlay, Passage, State};
use super::place::{self, Placed, Point, Route};
use crate::time::duration;

/// The drawing as an SVG document.
pub fn svg(graph: &Graph, overlay: &Overlay) -> String {
    let labels: Vec<Option<String>> = graph.edges.iter().map(|edge| said(graph, edge, overlay)).collect();
    let plan = place::place(graph, &labels);
    let known = !overlay.is_empty();
    let drawing = html! {
        svg xmlns="http://www.w3.org/2000/svg" class={ "graph" @if known { " graph-walked" } } role="img" aria-label=(spoken(graph, overlay))
            viewBox={ "0 0 " (round(plan.width)) " " (round(plan.height)) } width=(round(plan.width)) height=(round(plan.height))
            font-family="system-ui, sans-serif" {
            title { (graph.title) }
            defs { (arrow("flow", "#8a94a6")) (arrow("walked", "#2457d6")) (arrow("error", "#b45309")) }
            @for (edge, route) in graph.edges.iter().zip(&plan.edges) { (way(graph, edge, route, overlay)) }
            @for (node, placed) in graph.nodes.iter().zip(&plan.nodes) { (boxed(node, *placed, overlay)) }
            // Above the ways that cross them.
            @for (label, (edge, route)) in labels.iter().zip(graph.edges.iter().zip(&plan.edges)) {
                @if let Some((text, at)) = label.as_deref().zip(route.label) { (written(text, at, edge.way)) }
            }
        }
    };
    drawing.render().into_string()
}

/// The way of an edge in an overlay.
pub(super) fn passage(graph: &Graph, edge: &Edge) -> Passage {
    let id = |at: usize| graph.nodes[at].id().map(str::to_owned);
    Passage { from: id(edge.from), to: id(edge.to), way: edge.way }
}

/// The label of an edge, with what is known of it: how often it was gone, and how long that took on average.
pub(super) fn said(graph: &Graph, edge: &Edge, overlay: &Overlay) -> Option<String> {
    // From any activity: no walk begins there.
    let walk = if graph.nodes[edge.from].shape == Shape::Anywhere { None } else { overlay.walk(&passage(graph, edge)) };
    let counted = walk.and_then(|walk| {
        let times = (walk.count > 1).then(|| format!("{}×", walk.count));
        let time = walk.time.filter(|time| time.as_millis() > 0).map(|time| duration::format(coarse(time)));
        match (times, time) {
            (Some(times), Some(time)) => Some(format!("{times} ⌀ {time}")),
            (times, time) => times.or(time),
        }
    });
    match (edge.label.as_deref(), counted) {
        (Some(label), Some(counted)) => Some(format!("{label} · {counted}")),
        (label, counted) => label.map(str::to_owned).or(counted),
    }
}

/// A time with as many digits as a drawing has room for.
fn coarse(time: std::time::Duration) -> std::time::Duration {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let step = match millis {
        0..10_000 => 1,
        10_000..600_000 => 1_000,
        600_000..86_400_000 => 60_000,
        _ => 3_600_000,
    };
    std::time::Duration::from_millis(millis / step * step)
}

/// What a screen reader says of the drawing.
fn spoken(graph: &Graph, overlay: &Overlay) -> String {
    let activities = graph.nodes.iter().filter(|node| node.id().is_some()).count();
    let at: Vec<&str> = graph
        .nodes
        .iter()
        .filter(|node| node.id().and_then(|id| overlay.mark(id)).is_some_and(|mark| is_here(mark.state)))
        .map(|node| node.title.as_str())
        .collect();
    let stands = if at.is_empty() { String::new() } else { format!("; it stands at {}", at.join(", ")) };
    format!("Graph of {}: {activities} activities{stands}", graph.title)
}

fn is_here(state: State) -> bool {
    matches!(state, State::Present | State::Stuck | State::Failed)
}

fn arrow(class: &str, colour: &str) -> Markup {
    html! {
        marker id={ "arrow-" (class) } class={ "arrow arrow-" (class) } viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7"
            orient="auto-start-reverse" { path d="M0 0 10 5 0 10z" fill=(colour) {} }
    }
}

fn way(graph: &Graph, edge: &Edge, route: &Route, overlay: &Overlay) -> Markup {
    let walked = overlay.walk(&passage(graph, edge)).is_some() && graph.nodes[edge.from].shape != Shape::Anywhere;
    let (class, colour) = match (walked, edge.way) {
        (true, _) => ("walked", "#2457d6"),
        (false, Way::Error) => ("error", "#b45309"),
        (false, Way::Done) => ("flow", "#8a94a6"),
    };
    html! {
        path class={ "way way-" (class) @if edge.way == Way::Error { " way-caught" } } d=(curve(&route.points)) fill="none" stroke=(colour)
            stroke-width=(if walked { "2.5" } else { "1.5" }) stroke-dasharray=[(edge.way == Way::Error).then_some("5 4")]
            marker-end={ "url(#arrow-" (class) ")" } {}
    }
}

/// A line through the bends, rounded at each.
fn curve(points: &[Point]) -> String {
    let Some((first, rest)) = points.split_first() else { return String::new() };
    let mut path = format!("M{} {}", round(first.x), round(first.y));
    for pair in rest.windows(2) {
        let middle = Point { x: (pair[0].x + pair[1].x) / 2.0, y: (pair[0].y + pair[1].y) / 2.0 };
        path += &format!("Q{} {} {} {}", round(pair[0].x), round(pair[0].y), round(middle.x), round(middle.y));
    }
    if let Some(last) = rest.last() {
        path += &format!("L{} {}", round(last.x), round(last.y));
    }
    path
}

/// A tenth of a pixel is as much as anyone sees.
fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn written(text: &str, at: Point, way: Way) -> Markup {
    let width = place::label_width(text);
    html! {
        g class={ "label" @if way == Way::Error { " label-error" } } {
            rect x=(round(at.x - width / 2.0)) y=(round(at.y - 9.0)) width=(round(width)) height="18" rx="4" fill="#ffffff" fill-opacity="0.92" {}
            text x=(round(at.x)) y=(round(at.y + 3.8)) text-anchor="middle" font-size="11" fill="#4b5566" { (text) }
        }
    }
}

fn boxed(node: &Node, placed: Placed, overlay: &Overlay) -> Markup {
    let Placed { centre, width, height } = placed;
    let (left, top) = (round(centre.x - width / 2.0), round(centre.y - height / 2.0));
    match &node.shape {
        Shape::Start | Shape::End => html! {
            g class="terminal" {
                title { @if node.shape == Shape::Start { "start" } @else { "end" } }
                circle cx=(round(centre.x)) cy=(round(centre.y)) r="10" fill="#ffffff" stroke="#5b6676" stroke-width="2" {}
                @if node.shape == Shape::End { circle cx=(round(centre.x)) cy=(round(centre.y)) r="5" fill="#5b6676" {} }
            }
        },
        Shape::Anywhere => html! {
            g class="anywhere" {
                title { "handlers of errors of the whole document" }
                rect x=(left) y=(top) width=(round(width)) height=(round(height)) rx="15" fill="#fff8ef" stroke="#b45309" stroke-dasharray="5 4" {}
                text x=(round(centre.x)) y=(round(centre.y + 4.0)) text-anchor="middle" font-size="12" fill="#7c3a06" { "any activity" }
            }
        },
        Shape::Activity { id, kind } => {
            activity(node, (id, kind), Point { x: left, y: top }, (width, height), overlay.mark(id))
        }
    }
}

fn activity(
    node: &Node,
    (id, kind): (&str, &str),
    at: Point,
    (width, height): (f64, f64),
    mark: Option<Mark>,
) -> Markup {
    let class = mark.map_or("untouched", |mark| mark.state.name());
    let (fill, stroke, line) = colours(mark.map(|mark| mark.state));
    let when = node.when.as_deref().map(|when| format!(" if {when}")).unwrap_or_default();
    let visits = mark.filter(|mark| mark.visits > 1).map(|mark| format!("{}×", mark.visits));
    html! {
        g class={ "activity activity-" (class) } data-activity=(id) {
            title { (node.title) " (" (id) "), " (kind) (when) @if let Some(mark) = mark { ": " (mark.state.name()) } @if let Some(visits) = &visits { " " (visits) } }
            rect class="box" x=(at.x) y=(at.y) width=(round(width)) height=(round(height)) rx="9" fill=(fill) stroke=(stroke) stroke-width=(line) {}
            path class="icon" transform={ "translate(" (round(at.x + 13.0)) " " (round(at.y + 14.0)) ")" } d=(icon(kind)) fill="none" stroke="#5b6676"
                stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" {}
            text class="name" x=(round(at.x + 43.0)) y=(round(at.y + 21.0)) font-size="13" font-weight="600" fill="#1c2330" { (cut(&node.title, place::title_max())) }
            text class="kind" x=(round(at.x + 43.0)) y=(round(at.y + 37.0)) font-size="11" fill="#5b6676" { (cut(&format!("{kind}{when}"), place::title_max() + 5)) }
            @if let Some(visits) = &visits {
                text class="visits" x=(round(at.x + width - 8.0)) y=(round(at.y + 37.0)) text-anchor="end" font-size="11" fill="#5b6676" { (visits) }
            }
        }
    }
}

fn cut(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.to_owned();
    }
    text.chars().take(characters.saturating_sub(1)).chain(['…']).collect()
}

/// Filling, border and its width.
fn colours(state: Option<State>) -> (&'static str, &'static str, &'static str) {
    match state {
        None => ("#ffffff", "#b6bfcc", "1.2"),
        Some(State::Done) => ("#f0f7f3", "#2f6f4f", "1.8"),
        Some(State::Skipped) => ("#f5f6f8", "#8a94a6", "1.2"),
        Some(State::Caught) => ("#fff8ef", "#b45309", "1.8"),
        Some(State::Present) => ("#e7efff", "#2457d6", "2.6"),
        Some(State::Stuck) => ("#fff4e0", "#b45309", "2.6"),
        Some(State::Failed) => ("#ffeceb", "#c02a2a", "2.6"),
    }
}

/// A sign for each kind of work, in a square of 20 pixels.
fn icon(kind: &str) -> &'static str {
    match kind {
        "set" => "M4 6h12M4 10h12M4 14h7",
        "switch" => "M10 2l8 8-8 8-8-8zM10 7v3l2.5 2.5M10 10l-2.5 2.5",
        "run" => "M7 5l-5 5 5 5M13 5l5 5-5 5",
        "emit" => "M3 8v4l4 1 8 4V3L7 7zM7 13l1.5 4",
        "wait" => "M10 2a8 8 0 1 0 .01 0zM10 6v4.5l3 2",
        "receive" => "M2 5h16v11H2zM2 5l8 6 8-6",
        "raise" => "M10 2l8.5 15h-17zM10 8v4M10 14.6v.1",
        "end" => "M10 2a8 8 0 1 0 .01 0zM7 7h6v6H7z",
        "task" => "M10 2.5a3.5 3.5 0 1 0 .01 0zM3 18c0-4 3-6 7-6s7 2 7 6",
        "http" => "M10 2a8 8 0 1 0 .01 0zM2 10h16M10 2c-5 5-5 11 0 16M10 2c5 5 5 11 0 16",
        "call" => "M3 5h9M9 2l3 3-3 3M17 15H8M11 12l-3 3 3 3",
        _ => "M4 4h12v12H4z",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_time_has_no_milliseconds() {
        let coarse = |millis| duration::format(coarse(std::time::Duration::from_millis(millis)));
        assert_eq!(coarse(1_234), "1s234ms");
        assert_eq!(coarse(61_234), "1m1s");
        assert_eq!(coarse(3_661_234), "1h1m");
    }

    #[test]
    fn a_way_with_one_bend_is_rounded_there() {
        let points = [(0.0, 0.0), (10.0, 10.0), (10.0, 30.0)].map(|(x, y)| Point { x, y });
        assert_eq!(curve(&points), "M0 0Q10 10 10 20L10 30");
        assert_eq!(curve(&[]), "");
    }
}

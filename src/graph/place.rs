//! Where every box and every way of a drawing lies. The only file that knows the crate which computes it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use dagre::graph::{Edge as Key, Graph as Dagre, GraphOptions};
use dagre::layout::types::LabelPos;
use dagre::{EdgeLabel, LayoutOptions, NodeLabel};

use super::outline::{Graph, Node, Shape};

/// Graphs with more nodes are drawn as one column, because the time to place them grows faster than they do.
const NODES_MAX: usize = 300;
/// The width of a character of a title, and of what is written smaller, in pixels; an estimate that is rather too wide.
const CHARACTER: f64 = 7.4;
const SMALL_CHARACTER: f64 = 6.3;
/// The space for the icon and the borders of a box.
const AROUND_TITLE: f64 = 58.0;
const WIDTH: (f64, f64) = (132.0, 264.0);
const HEIGHT: f64 = 48.0;
const CIRCLE: f64 = 26.0;
/// The height of a label of a way.
const LABEL_HEIGHT: f64 = 18.0;
const MARGIN: f64 = 12.0;
/// Between boxes beside and above each other.
const GAP: (f64, f64) = (36.0, 30.0);

/// A point, in pixels from the upper left corner.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
}

/// A box: its centre and its size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Placed {
    pub(super) centre: Point,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A way: its bends from border to border, and the centre of its label.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Route {
    pub(super) points: Vec<Point>,
    pub(super) label: Option<Point>,
}

/// A placed graph; nodes and edges in the order of the graph.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) nodes: Vec<Placed>,
    pub(super) edges: Vec<Route>,
}

/// The characters that a box of the greatest width has room for.
pub(super) fn title_max() -> usize {
    characters((WIDTH.1 - AROUND_TITLE) / CHARACTER)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few dozen characters")]
fn characters(count: f64) -> usize {
    count as usize
}

/// Places a graph; `labels` are the texts of its edges.
pub(super) fn place(graph: &Graph, labels: &[Option<String>]) -> Plan {
    if graph.nodes.len() > NODES_MAX {
        return column(graph);
    }
    // A drawing is not worth an error: what the crate cannot place is drawn as a column.
    catch_unwind(AssertUnwindSafe(|| layered(graph, labels))).ok().flatten().unwrap_or_else(|| column(graph))
}

fn size(node: &Node) -> (f64, f64) {
    match &node.shape {
        Shape::Start | Shape::End => (CIRCLE, CIRCLE),
        Shape::Anywhere => (112.0, 30.0),
        Shape::Activity { kind, .. } => {
            let title = length(&node.title) * CHARACTER;
            let small = (length(kind) + node.when.as_deref().map_or(0.0, |when| length(when) + 6.0)) * SMALL_CHARACTER;
            ((title.max(small) + AROUND_TITLE).clamp(WIDTH.0, WIDTH.1), HEIGHT)
        }
    }
}

fn length(text: &str) -> f64 {
    u32::try_from(text.chars().count()).map_or(f64::from(u32::MAX), f64::from)
}

/// The width of a label.
pub(super) fn label_width(label: &str) -> f64 {
    length(label) * SMALL_CHARACTER + 10.0
}

/// In layers from top to bottom, with few crossings.
fn layered(graph: &Graph, labels: &[Option<String>]) -> Option<Plan> {
    let options = GraphOptions { directed: true, multigraph: true, compound: false };
    let mut dagre: Dagre<NodeLabel, EdgeLabel> = Dagre::with_options(options);
    for (at, node) in graph.nodes.iter().enumerate() {
        let (width, height) = size(node);
        dagre.set_node(at.to_string(), Some(NodeLabel { width, height, ..NodeLabel::default() }));
    }
    let key = |at: usize| {
        let edge = &graph.edges[at];
        Key::with_name(edge.from.to_string(), edge.to.to_string(), at.to_string())
    };
    for (at, label) in labels.iter().enumerate() {
        let Key { v, w, name } = key(at);
        let (width, height) = label.as_deref().map_or((0.0, 0.0), |label| (label_width(label), LABEL_HEIGHT));
        // The way to the following activity is kept straight and short.
        let weight = if graph.edges[at].to == graph.edges[at].from + 1 { 4 } else { 1 };
        let labelpos = LabelPos::Center;
        let drawn = EdgeLabel { width, height, weight, labelpos, ..EdgeLabel::default() };
        dagre.set_edge(v, w, Some(drawn), name.as_deref());
    }
    let (nodesep, ranksep) = GAP;
    let options = LayoutOptions { nodesep, ranksep, marginx: MARGIN, marginy: MARGIN, ..LayoutOptions::default() };
    dagre::layout(&mut dagre, Some(options));
    let nodes: Option<Vec<Placed>> = (0..graph.nodes.len())
        .map(|at| {
            let node = dagre.node(&at.to_string())?;
            Some(Placed { centre: Point { x: node.x?, y: node.y? }, width: node.width, height: node.height })
        })
        .collect();
    let edges: Option<Vec<Route>> = (0..graph.edges.len())
        .map(|at| {
            let edge = dagre.edge_by_obj(&key(at))?;
            let points = edge.points.iter().map(|point| Point { x: point.x, y: point.y }).collect();
            let label = labels[at].as_ref().and(edge.x.zip(edge.y)).map(|(x, y)| Point { x, y });
            Some(Route { points, label })
        })
        .collect();
    Some(framed(nodes?, edges?, labels))
}

/// All boxes below each other; ways that are not to the next box go round on the right.
fn column(graph: &Graph) -> Plan {
    let step = HEIGHT + 2.0 * GAP.1;
    let mut y = MARGIN;
    let nodes: Vec<Placed> = graph
        .nodes
        .iter()
        .map(|node| {
            let (width, height) = size(node);
            let centre = Point { x: MARGIN + WIDTH.1 / 2.0, y: y + height / 2.0 };
            y += step;
            Placed { centre, width, height }
        })
        .collect();
    let edges = graph.edges.iter().map(|edge| beside(nodes[edge.from], nodes[edge.to])).collect();
    framed(nodes, edges, &[])
}

/// A way in a column.
fn beside(from: Placed, to: Placed) -> Route {
    let (down, right) = (to.centre.y > from.centre.y, MARGIN + WIDTH.1);
    let is_next = down && to.centre.y - from.centre.y < HEIGHT + 2.0 * GAP.1 + 1.0;
    let points = if is_next {
        let start = Point { x: from.centre.x, y: from.centre.y + from.height / 2.0 };
        vec![start, Point { x: to.centre.x, y: to.centre.y - to.height / 2.0 }]
    } else {
        // Longer ways lie farther out.
        let out = right + 16.0 + ((to.centre.y - from.centre.y).abs() / 40.0).min(120.0);
        vec![
            Point { x: from.centre.x + from.width / 2.0, y: from.centre.y },
            Point { x: out, y: from.centre.y },
            Point { x: out, y: to.centre.y },
            Point { x: to.centre.x + to.width / 2.0, y: to.centre.y },
        ]
    };
    let label = Some(points[points.len() / 2]);
    Route { points, label }
}

/// The whole in a frame that starts at zero.
fn framed(mut nodes: Vec<Placed>, mut edges: Vec<Route>, labels: &[Option<String>]) -> Plan {
    let mut corners = Vec::new();
    for node in &nodes {
        corners.push(Point { x: node.centre.x - node.width / 2.0, y: node.centre.y - node.height / 2.0 });
        corners.push(Point { x: node.centre.x + node.width / 2.0, y: node.centre.y + node.height / 2.0 });
    }
    for (at, edge) in edges.iter().enumerate() {
        corners.extend(&edge.points);
        let width = labels.get(at).and_then(Option::as_deref).map_or(0.0, label_width);
        let sides =
            edge.label.iter().flat_map(|label| [-width, width].map(|way| Point { x: label.x + way / 2.0, y: label.y }));
        corners.extend(sides);
    }
    let least = |of: fn(&Point) -> f64| corners.iter().map(of).fold(f64::INFINITY, f64::min);
    let most = |of: fn(&Point) -> f64| corners.iter().map(of).fold(f64::NEG_INFINITY, f64::max);
    let (left, top) = (least(|point| point.x) - MARGIN, least(|point| point.y) - MARGIN);
    let (width, height) = (most(|point| point.x) - left + MARGIN, most(|point| point.y) - top + MARGIN);
    let moved = |point: &mut Point| *point = Point { x: point.x - left, y: point.y - top };
    nodes.iter_mut().for_each(|node| moved(&mut node.centre));
    for edge in &mut edges {
        edge.points.iter_mut().chain(edge.label.as_mut()).for_each(moved);
    }
    Plan { width, height, nodes, edges }
}

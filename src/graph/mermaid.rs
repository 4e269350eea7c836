//! A graph as the text of a Mermaid flowchart, for pages and tools that draw it themselves.

use std::fmt::Write as _;

use super::outline::{Edge, Graph, Node, Shape, Way};
use super::overlay::Overlay;
use super::svg::{passage, said};

/// The text of a flowchart.
pub fn mermaid(graph: &Graph, overlay: &Overlay) -> String {
    let mut text = String::from("flowchart TD\n");
    for (at, node) in graph.nodes.iter().enumerate() {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "    n{at}{}", shape(node));
    }
    for edge in &graph.edges {
        let _ = writeln!(text, "    {}", arrow(graph, edge, overlay));
    }
    for (class, style) in STYLES {
        let of_class = graph.nodes.iter().enumerate().filter(|(_, node)| {
            node.id().and_then(|id| overlay.mark(id)).is_some_and(|mark| mark.state.name() == class)
        });
        let names: Vec<String> = of_class.map(|(at, _)| format!("n{at}")).collect();
        if !names.is_empty() {
            let _ = writeln!(text, "    classDef {class} {style}\n    class {} {class}", names.join(","));
        }
    }
    text
}

/// The colours of states; the same as in a drawing.
const STYLES: [(&str, &str); 6] = [
    ("done", "stroke:#2f6f4f,stroke-width:2px"),
    ("skipped", "stroke:#8a94a6,stroke-dasharray:4 3"),
    ("caught", "stroke:#b45309,stroke-width:2px"),
    ("present", "fill:#e7efff,stroke:#2457d6,stroke-width:3px"),
    ("stuck", "fill:#fff4e0,stroke:#b45309,stroke-width:3px"),
    ("failed", "fill:#ffeceb,stroke:#c02a2a,stroke-width:3px"),
];

fn shape(node: &Node) -> String {
    match &node.shape {
        Shape::Start => "((start))".into(),
        Shape::End => "(((end)))".into(),
        Shape::Anywhere => "{{any activity}}".into(),
        Shape::Activity { kind, .. } => {
            let when = node.when.as_deref().map(|when| format!(" if {when}")).unwrap_or_default();
            let (open, close) = if *kind == "switch" { ("{", "}") } else { ("[", "]") };
            format!("{open}\"{}<br>{}\"{close}", quoted(&node.title), quoted(&format!("{kind}{when}")))
        }
    }
}

fn arrow(graph: &Graph, edge: &Edge, overlay: &Overlay) -> String {
    let line = match (edge.way, overlay.walk(&passage(graph, edge)).is_some()) {
        (Way::Done, false) => "-->",
        (Way::Done, true) => "==>",
        (Way::Error, _) => "-.->",
    };
    let label = said(graph, edge, overlay).map(|label| format!("|\"{}\"|", quoted(&label))).unwrap_or_default();
    format!("n{} {line}{label} n{}", edge.from, edge.to)
}

/// Mermaid reads character references in quoted texts; everything that could end the text or begin markup becomes one.
fn quoted(text: &str) -> String {
    text.chars().fold(String::new(), |mut quoted, c| {
        match c {
            '"' | '#' | '&' | '<' | '>' | '\\' | '`' | '|' | '{' | '}' | '[' | ']' | ';' => {
                let _ = write!(quoted, "#{};", u32::from(c));
            }
            c if c.is_control() => quoted.push(' '),
            c => quoted.push(c),
        }
        quoted
    })
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn every_state_has_a_style() {
        let states = [State::Done, State::Skipped, State::Caught, State::Present, State::Stuck, State::Failed];
        for state in states {
            assert!(STYLES.iter().any(|(class, _)| *class == state.name()), "{state:?}");
        }
    }
}

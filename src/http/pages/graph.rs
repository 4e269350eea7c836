//! The graph of a definition, with the path of an instance or the traffic of many.

use maud::{Markup, PreEscaped, html};

use crate::app::App;
use crate::app::drawings::{Counts, Drawing, Format};
use crate::contract::api::{HistoryView, InstanceSummary};
use crate::definition::Definition;
use crate::graph::{Graph, Overlay};

/// The path of an instance.
pub(super) async fn of_instance(
    app: &App,
    definition: &Definition,
    instance: &InstanceSummary,
    history: &[HistoryView],
) -> Markup {
    let overlay = Overlay::of_instance(instance, history);
    drawn(app, Drawing { graph: Graph::of(definition), overlay }).await
}

/// A version, with what its newest instances did: how often each way was gone, and how long that took.
pub(super) async fn of_definition(app: &App, definition: &Definition, version: i32) -> Markup {
    match app.definition_drawing(&definition.name, Some(version), Counts::With).await {
        Ok(Some(drawing)) => drawn(app, drawing).await,
        // Without the traffic the page still shows the graph.
        Ok(None) | Err(_) => drawn(app, Drawing { graph: Graph::of(definition), overlay: Overlay::default() }).await,
    }
}

async fn drawn(app: &App, drawing: Drawing) -> Markup {
    let title = format!("Graph of {}", drawing.graph.title);
    match app.draw(drawing, Format::Svg).await {
        Ok(svg) => html! { div.drawing tabindex="0" role="region" aria-label=(title) { (PreEscaped(svg)) } },
        Err(error) => {
            tracing::debug!(%error, "a graph was not drawn");
            html! { p.quiet { "Too many graphs are drawn at once: load the page again." } }
        }
    }
}

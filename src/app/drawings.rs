//! Drawings of definitions and instances, from what the database knows of them.

use std::time::Duration;

use super::App;
use crate::contract::LIST_MAX;
use crate::engine::InstanceId;
use crate::graph::{Graph, Overlay, Passage, Walk, Way};
use crate::store::history::Traffic;
use crate::store::{self, definitions, history, views};

/// The newest instances of which ways are counted.
const COUNTED_MAX: i64 = 1_000;
/// A longer history is drawn as far as this.
const ENTRIES_MAX: usize = 10_000;

/// A graph, and what is drawn on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawing {
    /// The graph of the definition.
    pub graph: Graph,
    /// The path of an instance, or the counts of many.
    pub overlay: Overlay,
}

/// What is drawn on the graph of a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// Nothing.
    Without,
    /// How often its newest instances went each way, and how long that took.
    With,
}

/// The language of a drawing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// An SVG document.
    Svg,
    /// The text of a Mermaid flowchart.
    Mermaid,
}

impl App {
    /// The graph of a definition; without `version` of the newest active one. None if it does not exist.
    ///
    /// # Errors
    /// As for any query.
    pub async fn definition_drawing(
        &self,
        name: &str,
        version: Option<i32>,
        counts: Counts,
    ) -> Result<Option<Drawing>, store::Error> {
        let mut conn = self.store.background().await?;
        let Some(stored) = definitions::find(&mut conn, name, version).await? else { return Ok(None) };
        let traffic = match counts {
            Counts::Without => Vec::new(),
            Counts::With => history::traffic(&mut conn, name, stored.version, COUNTED_MAX).await?,
        };
        drop(conn);
        let definition = self.definition(name, stored.version).await?;
        let overlay = Overlay::of_many(traffic.into_iter().map(way));
        Ok(Some(Drawing { graph: Graph::of(&definition), overlay }))
    }

    /// The graph of an instance's definition with its path. None if there is no such instance.
    ///
    /// # Errors
    /// As for any query.
    pub async fn instance_drawing(&self, id: InstanceId) -> Result<Option<Drawing>, store::Error> {
        let mut conn = self.store.background().await?;
        let Some(view) = views::instance(&mut conn, id).await? else { return Ok(None) };
        let mut entries = Vec::new();
        loop {
            let after = entries.last().map_or(0, |entry: &crate::contract::api::HistoryView| entry.number);
            let page = views::history(&mut conn, id, after, LIST_MAX).await?;
            let is_last = i64::try_from(page.len()).is_ok_and(|count| count < LIST_MAX);
            entries.extend(page);
            if is_last || entries.len() >= ENTRIES_MAX {
                break;
            }
        }
        drop(conn);
        let definition = self.definition(&view.summary.definition, view.summary.version).await?;
        let overlay = Overlay::of_instance(&view.summary, &entries);
        Ok(Some(Drawing { graph: Graph::of(&definition), overlay }))
    }

    /// Draws. A large graph takes a while, and no thread that serves sockets waits for it.
    ///
    /// # Errors
    /// `Busy` if too much long work is under way.
    pub async fn draw(&self, drawing: Drawing, format: Format) -> Result<String, store::Error> {
        self.check_elsewhere(move || {
            let Drawing { graph, overlay } = drawing;
            match format {
                Format::Svg => crate::graph::svg(&graph, &overlay),
                Format::Mermaid => crate::graph::mermaid(&graph, &overlay),
            }
        })
        .await?
        .ok_or_else(|| store::Error::Busy("too many drawings and checks wait for their turn".into()))
    }
}

fn way(traffic: Traffic) -> (Passage, Walk) {
    let way = if traffic.by_error { Way::Error } else { Way::Done };
    let time = Duration::from_millis(u64::try_from(traffic.millis).unwrap_or(0));
    let walk = Walk { count: u64::try_from(traffic.count).unwrap_or(0), time: Some(time) };
    (Passage { from: traffic.from, to: traffic.to, way }, walk)
}

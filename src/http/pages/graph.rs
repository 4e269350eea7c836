//! The graph of a definition, with the present place of an instance in it.

use maud::{Markup, html};

use crate::definition::Definition;

/// The activities of a definition in their order; those at which an instance is are marked.
pub(super) fn graph_of(definition: &Definition, at: &[String]) -> Markup {
    html! {
        ol.activities {
            @for activity in &definition.activities {
                @let current = at.contains(&activity.id).then_some("step");
                li aria-current=[current] { span.kind { (activity.work.kind()) } " " code { (activity.id) } }
            }
        }
    }
}

//! The icons of the pages: symbols that each page carries once and uses by name. Drawn here on a grid of 16.

use maud::{Markup, PreEscaped, html};

/// Every symbol: its name, and what is drawn.
const SYMBOLS: &[(&str, &str)] = &[
    ("running", r#"<path d="M5 3.2v9.6L13 8z" fill="currentColor" stroke="none"/>"#),
    ("suspended", r#"<path d="M5.5 3.5v9M10.5 3.5v9" stroke-width="2.2"/>"#),
    ("compensating", r#"<path d="M6 4 3 7l3 3M3 7h6.5a3.5 3.5 0 0 1 0 7H7"/>"#),
    ("completed", r#"<path d="m3 8.5 3.2 3.2L13 4.9" stroke-width="2"/>"#),
    ("failed", r#"<path d="m4 4 8 8M12 4l-8 8" stroke-width="2"/>"#),
    ("cancelled", r#"<circle cx="8" cy="8" r="5.2"/><path d="m4.4 11.6 7.2-7.2"/>"#),
    ("overview", r#"<path d="M2.5 13.5v-5M6.2 13.5v-9M9.8 13.5v-6M13.5 13.5v-11" stroke-width="1.8"/>"#),
    (
        "instances",
        r#"<circle cx="3.5" cy="8" r="1.8"/><circle cx="12.5" cy="3.8" r="1.8"/><circle cx="12.5" cy="12.2" r="1.8"/><path d="m5.2 7.2 5.6-2.6M5.2 8.8l5.6 2.6"/>"#,
    ),
    ("tasks", r#"<rect x="2.5" y="2.5" width="11" height="11" rx="2"/><path d="m5.2 8.2 2 2 3.6-4"/>"#),
    ("incidents", r#"<path d="M8 2.2 14.2 13H1.8zM8 6.4v3.2M8 11.3v.2"/>"#),
    ("letters", r#"<rect x="2" y="3.5" width="12" height="9" rx="1.5"/><path d="m2.5 4.5 5.5 4 5.5-4"/>"#),
    ("definitions", r#"<path d="M4 1.8h5.5L13 5.3v8.9H4zM9.3 2v3.5h3.5M6.3 8.5h4M6.3 11h4"/>"#),
    ("schedules", r#"<circle cx="8" cy="8" r="5.8"/><path d="M8 4.6V8l2.4 1.6"/>"#),
    ("targets", r#"<circle cx="8" cy="8" r="5.8"/><circle cx="8" cy="8" r="2.4"/>"#),
    (
        "system",
        r#"<rect x="2" y="2.5" width="12" height="4.6" rx="1.2"/><rect x="2" y="8.9" width="12" height="4.6" rx="1.2"/><path d="M4.6 4.8h.1M4.6 11.2h.1" stroke-width="2"/>"#,
    ),
    ("bulk", r#"<path d="m2 5.2 6-3 6 3-6 3zM2 8l6 3 6-3M2 10.8l6 3 6-3"/>"#),
    ("theme", r#"<circle cx="8" cy="8" r="5.8"/><path d="M8 2.2a5.8 5.8 0 0 1 0 11.6z" fill="currentColor"/>"#),
    ("person", r#"<circle cx="8" cy="5.2" r="2.7"/><path d="M2.8 13.8a5.2 5.2 0 0 1 10.4 0"/>"#),
    ("search", r#"<circle cx="7" cy="7" r="4.4"/><path d="m10.4 10.4 3.4 3.4"/>"#),
    (
        "hare",
        r#"<path d="M5.3 8.2C3.6 5.6 3.3 2.6 4.2 1.7c1-.9 3 1.2 3.5 4.1M8.7 5.8c.3-2.9 1.9-5 3-4.3 1 .7.8 3.6-.9 6.4M3.6 11.2a4.5 3.9 0 1 0 8.9 0 4.5 3.9 0 1 0-8.9 0M6.5 10.6v.1M9.6 10.6v.1" stroke-width="1.4"/>"#,
    ),
];

/// All symbols, to be used by the page.
pub(super) fn sprite() -> Markup {
    html! {
        svg.sprite width="0" height="0" aria-hidden="true" {
            @for (name, drawn) in SYMBOLS {
                symbol id={ "i-" (name) } viewBox="0 0 16 16" { (PreEscaped(*drawn)) }
            }
        }
    }
}

/// One icon. It says nothing by itself: words stand beside it.
pub(super) fn icon(name: &str) -> Markup {
    html! {
        svg.icon viewBox="0 0 16 16" aria-hidden="true" focusable="false" { use href={ "#i-" (name) } {} }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::filter::STATUSES;

    #[test]
    fn every_status_has_an_icon() {
        for status in STATUSES {
            assert!(SYMBOLS.iter().any(|(name, _)| *name == status), "{status}");
        }
    }
}

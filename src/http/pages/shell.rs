//! The frame of every page: navigation, theme, who looks, and what is loaded.

use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::assets;
use super::icons::{icon, sprite};
use super::visitor::Visitor;

/// What htmx may do: no evaluation of text, no style of its own, no request to another server.
const HTMX: &str = r#"{"allowEval":false,"includeIndicatorStyles":false,"selfRequestsOnly":true,"historyCacheSize":0,"historyEnabled":true,"refreshOnHistoryMiss":true,"defaultSettleDelay":0,"defaultSwapDelay":0}"#;

/// Where a page is in the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Overview,
    Instances,
    Tasks,
    Incidents,
    Letters,
    Bulk,
    Definitions,
    Schedules,
    Targets,
    System,
    None,
}

/// An entry of the navigation.
struct Entry {
    place: Place,
    address: &'static str,
    icon: &'static str,
    words: &'static str,
}

const fn entry(place: Place, address: &'static str, icon: &'static str, words: &'static str) -> Entry {
    Entry { place, address, icon, words }
}

const WORK: [Entry; 6] = [
    entry(Place::Overview, "/", "overview", "Overview"),
    entry(Place::Instances, "/instances", "instances", "Instances"),
    entry(Place::Tasks, "/tasks", "tasks", "Tasks"),
    entry(Place::Incidents, "/incidents", "incidents", "Incidents"),
    entry(Place::Letters, "/dead-letters", "letters", "Dead letters"),
    entry(Place::Bulk, "/bulk", "bulk", "Bulk jobs"),
];
const SETUP: [Entry; 4] = [
    entry(Place::Definitions, "/definitions", "definitions", "Definitions"),
    entry(Place::Schedules, "/schedules", "schedules", "Schedules"),
    entry(Place::Targets, "/targets", "targets", "Targets"),
    entry(Place::System, "/system", "system", "System"),
];

/// One page.
pub(super) struct Page<'a> {
    /// The heading, and the title in the browser.
    pub(super) title: &'a str,
    pub(super) place: Place,
    /// Where it listens for changes; none if it shows nothing that changes.
    pub(super) live: Option<String>,
    pub(super) body: Markup,
}

/// The page as a response.
pub(super) fn render(visitor: &Visitor, page: Page<'_>) -> Response {
    let names = assets::names();
    let document = html! {
        (DOCTYPE)
        html lang="en" data-theme=[visitor.theme] {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="htmx-config" content=(HTMX);
                title { (page.title) " · Leveret" }
                link rel="icon" href="data:,";
                link rel="stylesheet" href={ "/assets/" (names.css) };
                script src={ "/assets/" (names.htmx) } defer {}
                script src={ "/assets/" (names.script) } defer {}
            }
            body data-live=[page.live.as_deref()] {
                (sprite())
                a.skip href="#main" { "Skip to the content" }
                (navigation(visitor, page.place))
                main #main tabindex="-1" {
                    header.title {
                        h1 { (page.title) }
                        p #connection .connection role="status" aria-live="polite" {}
                    }
                    (page.body)
                }
                (help())
            }
        }
    };
    let written = document.into_string();
    Html(visitor.csrf.as_deref().map_or_else(|| written.clone(), |token| with_token(&written, token))).into_response()
}

/// The page with the token of its session in each form that is sent with POST: here, so that no form can be forgotten. What data there is
/// on a page is escaped, so that a tag is a tag of the page.
fn with_token(page: &str, token: &str) -> String {
    const FORM: &str = "<form";
    let field = html! { input type="hidden" name="csrf" value=(token); }.into_string();
    let mut parts = page.split(FORM);
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (tag, rest) = part.split_once('>').unwrap_or((part, ""));
        let field = if tag.contains(r#" method="post""#) { field.as_str() } else { "" };
        whole.extend([FORM, tag, ">", field, rest]);
    }
    whole
}

fn navigation(visitor: &Visitor, place: Place) -> Markup {
    html! {
        header.side {
            a.brand href="/" { (icon("hare")) span { "Leveret" } }
            nav aria-label="Main" {
                ul { @for entry in &WORK { (link(entry, place)) } }
                ul { @for entry in &SETUP { (link(entry, place)) } }
            }
            div.side-end {
                a.side-link href="/who" {
                    (icon("person"))
                    span { @if visitor.user.is_empty() { "Who are you?" } @else { (visitor.user) } }
                }
                button.side-link type="button" data-theme-switch { (icon("theme")) span { "Light or dark" } }
            }
        }
    }
}

fn link(entry: &Entry, place: Place) -> Markup {
    let current = (entry.place == place).then_some("page");
    html! { li { a href=(entry.address) aria-current=[current] { (icon(entry.icon)) span { (entry.words) } } } }
}

/// The keys of the dashboard, shown with `?`.
fn help() -> Markup {
    const KEYS: [(&str, &str); 7] = [
        ("/", "go to the filter"),
        ("j", "next row"),
        ("k", "row before"),
        ("Enter", "open the row"),
        ("x", "select the row"),
        (
            "g, then a letter",
            "go to o overview, i instances, t tasks, c incidents, l dead letters, d definitions, s schedules",
        ),
        ("?", "show or close this help"),
    ];
    html! {
        dialog #help aria-labelledby="help-title" {
            h2 #help-title { "Keys" }
            dl.keys { @for (key, what) in KEYS { dt { kbd { (key) } } dd { (what) } } }
            form method="dialog" { button type="submit" { "Close" } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_that_is_posted_carries_the_token_and_no_other() {
        let data = "<form method=\"post\">";
        let page = html! {
            form method="get" action="/a" { input name="filter"; }
            form.row method="post" action="/b?x=>y" { button { "Do it" } }
            p { (data) }
        };
        let field = r#"<input type="hidden" name="csrf" value="t&amp;1">"#;
        let whole = with_token(&page.into_string(), "t&1");
        assert_eq!(whole.matches(field).count(), 1, "{whole}");
        assert!(whole.contains(&format!("action=\"/b?x=&gt;y\">{field}<button>")), "{whole}");
    }
}

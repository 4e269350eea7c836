//! A document is checked without being stored, and tried with an input, in memory.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::fault::Fault;
use super::form::Fields;
use super::shell::{self, Page, Place};
use super::trial::{self, Trial};
use super::visitor::Visitor;
use crate::definition::{Definition, Problem as Finding};
use crate::http::ApiState;
use crate::http::problem::{Kind, Problem};

/// The largest document, in bytes.
const DOCUMENT_MAX: usize = 256 * 1024;

const EXAMPLE: &str = "\
name: greeting
input: { type: object, required: [who], properties: { who: { type: string } } }
variables: { text: null }
output: ${ text }
activities:
  - { id: write, set: { text: '\"Hello, \" + who' } }
  - { id: pause, wait: { for: 1d } }
";

pub(super) async fn ask(visitor: Visitor) -> Response {
    let body = form(EXAMPLE, "{ \"who\": \"Ada\" }", "");
    shell::render(&visitor, Page { title: "Check a document", place: Place::Definitions, live: None, body })
}

fn form(document: &str, input: &str, results: &str) -> Markup {
    html! {
        section.card {
            form.stack-wide method="post" action="/check" {
                label for="document" { "Document" }
                textarea.document #document name="document" spellcheck="false" required { (document) }
                div.cards {
                    div.stack-wide {
                        label for="input" { "Input to try it with, as JSON" }
                        textarea #input name="input" spellcheck="false" { (input) }
                    }
                    div.stack-wide {
                        label for="results" { "Results of its handlers by name, as JSON" }
                        textarea #results name="results" spellcheck="false" placeholder="{ \"reserve-stock\": { \"id\": 1 } }" { (results) }
                    }
                }
                div.row {
                    button.primary type="submit" { "Check" }
                    button type="submit" name="try" value="yes" { "Check and try" }
                    p.quiet { "Nothing is stored. `leveret definition apply` stores it." }
                }
            }
        }
    }
}

/// What was found out about a document.
enum Verdict {
    Problems(Vec<Finding>),
    Valid { name: String, activities: usize, warnings: Vec<Finding>, trial: Option<Result<Box<Trial>, String>> },
}

pub(super) async fn answer(State(api): State<ApiState>, visitor: Visitor, fields: Fields) -> Result<Response, Fault> {
    let document = fields.text("document").to_owned();
    if document.len() > DOCUMENT_MAX {
        let detail = format!(
            "the document has {} bytes; this page takes {DOCUMENT_MAX}: use `leveret definition check`",
            document.len()
        );
        return Err(Problem::invalid(detail).into());
    }
    let is_tried = !fields.text("try").is_empty();
    let (input, results) = (fields.text("input").to_owned(), fields.text("results").to_owned());
    let check = {
        let document = document.clone();
        move || match Definition::parse(&document) {
            Err(problems) => Verdict::Problems(problems),
            Ok(parsed) => Verdict::Valid {
                name: parsed.definition.name.clone(),
                activities: parsed.definition.activities.len(),
                warnings: parsed.warnings,
                trial: is_tried.then(|| trial::of(&parsed.definition, &input, &results).map(Box::new)),
            },
        }
    };
    let verdict = api.app.check_elsewhere(check).await?;
    let verdict = verdict
        .ok_or_else(|| Problem::new(Kind::Overloaded, "too many documents wait to be checked: send it again"))?;
    let body = html! { (shown(&verdict)) (form(&document, fields.text("input"), fields.text("results"))) };
    Ok(shell::render(&visitor, Page { title: "Check a document", place: Place::Definitions, live: None, body }))
}

fn shown(verdict: &Verdict) -> Markup {
    html! {
        @match verdict {
            Verdict::Problems(problems) => section.note.is-failed role="alert" {
                p { strong { (problems.len()) " " @if problems.len() == 1 { "problem" } @else { "problems" } } }
                (findings(problems))
            },
            Verdict::Valid { name, activities, warnings, trial } => {
                section.note.is-completed role="status" {
                    p { strong { (name) " is valid" } ": " (activities) " activities" @if warnings.is_empty() { ", no warning" } }
                    (findings(warnings))
                }
                @match trial {
                    None => {}
                    Some(Ok(trial)) => (trial::shown(trial)),
                    Some(Err(why)) => section.note.is-failed role="alert" { p { strong { "It could not be tried: " } (why) } }
                }
            }
        }
    }
}

fn findings(findings: &[Finding]) -> Markup {
    html! {
        @if !findings.is_empty() {
            ul { @for finding in findings { li {
                @if finding.line > 0 { "line " (finding.line) ":" (finding.column) ": " }
                (finding.message)
                @if let Some(hint) = &finding.hint { span.quiet { " " (hint) } }
            } } }
        }
    }
}

//! The spans of an instance as drawn bars, with their lengths in words.

use std::time::Duration;

use jiff::Timestamp;
use maud::{Markup, html};

use super::timeline::{Span, Spent, total};
use super::ui;

/// Spans that are listed one by one.
const ROWS_MAX: usize = 60;
/// The width of a drawing, in its own units.
const WIDTH: f64 = 1_000.0;
/// What is too short to be seen is drawn this wide.
const WIDTH_MIN: f64 = 3.0;

/// The totals, and each span.
pub(super) fn drawn(spans: &[Span]) -> Markup {
    let (Some(first), Some(last)) = (spans.first(), spans.last()) else {
        return html! { p.quiet { "Nothing has taken time yet." } };
    };
    let whole: Duration = spans.iter().map(Span::took).sum();
    let (from, to) = (first.from, last.to);
    html! {
        (totals(spans, whole))
        details #spans open[spans.len() <= 12] {
            summary { "Step by step" }
            div.scroll tabindex="0" role="region" aria-label="Time, step by step" {
                table {
                    thead { tr { th scope="col" { "Activity" } th scope="col" { "Spent on" } th.number scope="col" { "Took" } th scope="col" { "When, from start to end" } } }
                    tbody { @for span in spans.iter().take(ROWS_MAX) { (row(span, from, to)) } }
                }
            }
            @if spans.len() > ROWS_MAX { p.quiet { "The first " (ROWS_MAX) " of " (spans.len()) "." } }
        }
    }
}

fn totals(spans: &[Span], whole: Duration) -> Markup {
    let shares: Vec<(Spent, Duration)> =
        Spent::ALL.into_iter().map(|spent| (spent, total(spans, spent))).filter(|(_, took)| !took.is_zero()).collect();
    let mut x = 0.0;
    let bars: Vec<(Spent, f64, f64)> = shares
        .iter()
        .map(|(spent, took)| {
            let width = took.as_secs_f64() / whole.as_secs_f64() * WIDTH;
            x += width;
            (*spent, x - width, width)
        })
        .collect();
    html! {
        svg.spans.total viewBox={ "0 0 " (WIDTH) " 10" } preserveAspectRatio="none" aria-hidden="true" {
            @for (spent, x, width) in &bars { rect class={ "of-" (spent.name()) } x=(format!("{x:.2}")) y="0" width=(format!("{width:.2}")) height="10" {} }
        }
        ul.legend {
            @for (spent, took) in &shares {
                li { span class={ "swatch of-" (spent.name()) } aria-hidden="true" {} (word(*spent)) " " strong { (ui::span(*took)) }
                    span.quiet { " " (format!("{:.0} %", took.as_secs_f64() / whole.as_secs_f64() * 100.0)) } }
            }
        }
    }
}

fn row(span: &Span, from: Timestamp, to: Timestamp) -> Markup {
    let whole = ui::between(from, to).as_secs_f64().max(f64::MIN_POSITIVE);
    let x = ui::between(from, span.from).as_secs_f64() / whole * WIDTH;
    let width = (span.took().as_secs_f64() / whole * WIDTH).max(WIDTH_MIN);
    let x = x.min(WIDTH - width);
    html! {
        tr {
            td { @if span.activity.is_empty() { span.quiet { "start" } } @else { (span.activity) } }
            td.nowrap { (word(span.spent)) }
            td.number { (ui::span(span.took())) }
            td.spans-cell {
                svg.spans viewBox={ "0 0 " (WIDTH) " 10" } preserveAspectRatio="none" aria-hidden="true" {
                    rect class={ "of-" (span.spent.name()) } x=(format!("{x:.2}")) y="0" width=(format!("{width:.2}")) height="10" {}
                }
            }
        }
    }
}

fn word(spent: Spent) -> &'static str {
    match spent {
        Spent::Queue => "in the queue",
        Spent::Run => "at work",
        Spent::BackOff => "backing off",
        Spent::Waiting => "waiting",
    }
}

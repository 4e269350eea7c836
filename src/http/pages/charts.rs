//! Small charts of the last hour. Pure: numbers to SVG.

use maud::{Markup, html};

/// The size of a drawing, in its own units; it is stretched to its place.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 100.0;
/// The part of a place that a bar fills.
const FILLED: f64 = 0.72;

/// One bar for each value.
pub(super) fn bars(label: &str, values: &[f64]) -> Markup {
    let top = top(values.iter().copied());
    let place = WIDTH / values.len().max(1) as f64;
    html! {
        svg.chart viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(label) {
            (axis())
            @for (at, value) in values.iter().enumerate() {
                @let height = value / top * HEIGHT;
                rect.bar x=(format!("{:.1}", at as f64 * place)) y=(format!("{:.1}", HEIGHT - height)) width=(format!("{:.1}", place * FILLED)) height=(format!("{height:.1}")) {}
            }
        }
    }
}

/// Two lines on one scale. Where a value is missing, its line has a gap.
pub(super) fn lines(label: &str, first: &[Option<f64>], second: &[Option<f64>]) -> Markup {
    let top = top(first.iter().chain(second).filter_map(|value| *value));
    html! {
        svg.chart viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(label) {
            (axis())
            path.line.second d=(path(second, top)) {}
            path.line d=(path(first, top)) {}
        }
    }
}

fn axis() -> Markup {
    html! { line.axis x1="0" x2=(WIDTH) y1=(HEIGHT) y2=(HEIGHT) {} line.axis x1="0" x2=(WIDTH) y1="0" y2="0" {} }
}

/// The largest value, and at least what can be divided by.
pub(super) fn top(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0_f64, f64::max).max(f64::MIN_POSITIVE)
}

fn path(values: &[Option<f64>], top: f64) -> String {
    let place = WIDTH / values.len().max(1) as f64;
    let mut text = String::new();
    let mut drawing = false;
    for (at, value) in values.iter().enumerate() {
        let Some(value) = value else {
            drawing = false;
            continue;
        };
        let (x, y) = ((at as f64 + 0.5) * place, HEIGHT - value / top * HEIGHT);
        // A point that stands alone is drawn as a short line.
        match drawing {
            true => text.push_str(&format!("L{x:.1} {y:.1}")),
            false => text.push_str(&format!("M{:.1} {y:.1}L{x:.1} {y:.1}", x - 2.0)),
        }
        drawing = true;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_has_its_highest_value_at_the_top_and_gaps_where_values_are_missing() {
        let drawn = path(&[Some(1.0), None, Some(2.0)], 2.0);
        assert_eq!(drawn, "M98.0 50.0L100.0 50.0M498.0 0.0L500.0 0.0");
        assert_eq!((path(&[], 1.0), top([].into_iter()) > 0.0), (String::new(), true));
        let bars = bars("none", &[0.0, 0.0]).into_string();
        assert!(!bars.contains("NaN") && !bars.contains("inf"), "{bars}");
    }
}

//! Shows a problem to a person: the place, the message, the line and the hint.

use super::{Problem, Severity};

/// Characters of a long line that are shown on each side of the place.
const AROUND: usize = 60;

/// The text for one problem of the document `source`, which was read from `file`. Ends with a line break.
pub fn render(problem: &Problem, file: &str, source: &str) -> String {
    let severity = match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let place = match (problem.line, problem.path.as_str()) {
        (0, "") => file.to_owned(),
        (0, path) => format!("{file}: {path}"),
        (line, "") => format!("{file}:{line}:{}", problem.column),
        (line, path) => format!("{file}:{line}:{}: {path}", problem.column),
    };
    let mut text = format!("{severity}: {place}: {}\n", problem.message);
    let line = problem.line.checked_sub(1).and_then(|before| source.lines().nth(before));
    let number = problem.line.to_string();
    if let Some((shown, caret)) = line.map(|line| excerpt(line, problem.column)) {
        text.push_str(&format!("  {number} | {shown}\n"));
        text.push_str(&format!("  {} | {}^\n", " ".repeat(number.len()), " ".repeat(caret)));
    }
    if let Some(hint) = &problem.hint {
        text.push_str(&format!("  {} = {hint}\n", " ".repeat(number.len())));
    }
    text
}

/// The part of a line around a column, and the position of the column in it.
fn excerpt(line: &str, column: usize) -> (String, usize) {
    let chars: Vec<char> = line.trim_end().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let at = column.saturating_sub(1).min(chars.len());
    let from = if chars.len() <= 2 * AROUND { 0 } else { at.saturating_sub(AROUND) };
    let to = (from + 2 * AROUND).min(chars.len());
    (chars[from..to].iter().collect(), at - from)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn problem(line: usize, column: usize) -> Problem {
        Problem {
            severity: Severity::Error,
            path: "activities[0].next".into(),
            line,
            column,
            message: "there is no activity `oder`".into(),
            hint: Some("did you mean `order`?".into()),
        }
    }

    #[test]
    fn a_problem_shows_its_line_and_marks_the_place() {
        expect![[r#"
            error: order.yaml:2:9: activities[0].next: there is no activity `oder`
              2 |   next: oder
                |         ^
                = did you mean `order`?
        "#]]
        .assert_eq(&render(&problem(2, 9), "order.yaml", "name: a\n  next: oder\n"));
    }

    #[test]
    fn a_place_outside_the_text_is_shown_without_a_line() {
        expect![[r#"
            error: a: activities[0].next: there is no activity `oder`
                = did you mean `order`?
        "#]]
        .assert_eq(&render(&problem(0, 0), "a", ""));
        assert!(!render(&problem(99, 99), "a", "x").contains('^'));
        assert!(render(&problem(1, 9_000), "a", &"é".repeat(9_999)).chars().count() < 400);
    }
}

//! Explains a line that is indented otherwise than the lines before it.

/// Lines before the wrong one that are read.
const LINES_MAX: usize = 1_000;

/// The columns at which the content of a line begins: of each `- `, and of what follows them.
fn columns(line: &str) -> Vec<usize> {
    let mut at = line.len() - line.trim_start_matches(' ').len();
    let mut columns = vec![at];
    while line[at..].starts_with("- ") {
        let rest = &line[at + 1..];
        at += 1 + rest.len() - rest.trim_start_matches(' ').len();
        columns.push(at);
    }
    columns
}

/// What the parser says of such lines.
const CAUSES: [&str; 5] = [
    "while parsing a block mapping",
    "while parsing a block collection",
    "mapping values are not allowed",
    "did not find expected <document start>",
    "invalid indentation",
];

/// Whether an error of the parser may have this cause.
pub(super) fn may_cause(info: &str) -> bool {
    CAUSES.iter().any(|cause| info.starts_with(cause))
}

/// The hint for line `wrong` (from 1), if it begins with a key or an entry at a column at which no line before it begins.
pub(super) fn hint(text: &[char], wrong: usize) -> Option<String> {
    let from = wrong.saturating_sub(LINES_MAX);
    let lines: Vec<String> =
        text.split(|c| *c == '\n').skip(from).take(wrong - from).map(|line| line.iter().collect()).collect();
    let (line, before) = lines.split_last()?;
    let written = columns(line)[0];
    let content = line.trim_start();
    let key = content.split_once(':').is_some_and(|(key, rest)| {
        !key.is_empty() && !key.contains(['"', '\'', '{', '[', ' ']) && (rest.is_empty() || rest.starts_with(' '))
    });
    if !(key || content.starts_with("- ")) || line.contains('\t') {
        return None;
    }
    // The open maps and lists: from the line before outwards.
    let mut open: Vec<(usize, &str)> = Vec::new();
    let mut least = usize::MAX;
    for line in before.iter().rev().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#')) {
        let begin = columns(line);
        for column in begin.iter().rev().filter(|column| **column < least) {
            open.push((*column, line[*column..].trim_start_matches("- ")));
        }
        least = least.min(begin[0]);
        if least == 0 {
            break;
        }
    }
    // The first line inside of a key may begin at any column.
    let inside = before.iter().rev().find(|line| !line.trim().is_empty())?.trim_end().ends_with(':');
    if open.iter().any(|(column, _)| *column == written) || inside && open.first()?.0 < written {
        return None;
    }
    let (column, beside) =
        open.into_iter().min_by_key(|(column, _)| (column.abs_diff(written), usize::MAX - column))?;
    let beside = beside.split(':').next().unwrap_or_default();
    Some(format!("this line begins after {written} blanks; with {column} it belongs beside `{beside}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<String> {
        hint(&text.chars().collect::<Vec<_>>(), text.lines().count())
    }

    #[test]
    fn the_nearest_column_is_told() {
        let found = of("activities:\n  - id: a\n   set: {}").unwrap();
        assert_eq!(found, "this line begins after 3 blanks; with 4 it belongs beside `id`");
        let found = of("name: a\n title: b").unwrap();
        assert_eq!(found, "this line begins after 1 blanks; with 0 it belongs beside `name`");
        assert!(of("a:\n  - b: 1\n    c:\n      d: 1\n     e: 1").unwrap().contains("with 6 it belongs beside `d`"));
    }

    #[test]
    fn a_line_that_is_indented_as_another_is_not_the_cause() {
        for text in [
            "a:\n  - b:\n      c: d: e",
            "a:\n  - { b: [c] }",
            "a: 1\nb: 2",
            "a:\n  - b: 1\n    c: 2",
            "a:\n  text here",
            "\tb: 1",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}

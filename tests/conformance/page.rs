//! Writes docs/expressions-conformance.md.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::Verdict;
use crate::case::Case;
use crate::departures::DEPARTURES;
use crate::scope::Group;

const OPENING: &str = "\
# Expressions and CEL's conformance tests

A test writes this document (`cargo test --test conformance`). It runs every case of CEL's own conformance tests, and fails
if an outcome differs from this document. The cases and their source are in [tests/data/cel](../tests/data/cel/NOTICE.md).

";

#[derive(Default)]
struct Count {
    passed: usize,
    departs: usize,
    outside: usize,
}

pub(crate) fn page(verdicts: &[(&Case, Verdict)]) -> String {
    let mut suites: BTreeMap<&str, Count> = BTreeMap::new();
    let mut all = Count::default();
    let mut groups: BTreeMap<Group, BTreeMap<&str, usize>> = BTreeMap::new();
    for (case, verdict) in verdicts {
        for count in [suites.entry(&case.suite).or_default(), &mut all] {
            match verdict {
                Verdict::Passed => count.passed += 1,
                Verdict::Departs(_) => count.departs += 1,
                Verdict::Outside(_) => count.outside += 1,
                Verdict::Failed(_) => {}
            }
        }
        if let Verdict::Outside(group) = verdict {
            *groups.entry(*group).or_default().entry(&case.suite).or_default() += 1;
        }
    }
    let mut page = OPENING.to_owned();
    writeln!(page, "| Suite | Cases | Passed | Differences | Out of scope |\n|---|---:|---:|---:|---:|").unwrap();
    for (suite, count) in
        suites.iter().map(|(suite, count)| (format!("`{suite}`"), count)).chain([("all".into(), &all)])
    {
        let Count { passed, departs, outside } = count;
        let cases = passed + departs + outside;
        writeln!(page, "| {suite} | {cases} | {passed} | {departs} | {outside} |").unwrap();
    }
    page.push_str("\n## Out of scope\n");
    for group in Group::ALL {
        let suites = groups.remove(&group).unwrap_or_default();
        let total: usize = suites.values().sum();
        let list: Vec<_> = suites.iter().map(|(suite, count)| format!("`{suite}` {count}")).collect();
        write!(page, "\n**{}** ({total}: {}). {}\n", capital(group.name()), list.join(", "), group.why()).unwrap();
    }
    page.push_str("\n## Differences\n");
    for (at, departure) in DEPARTURES.iter().enumerate() {
        let cases: Vec<_> =
            verdicts.iter().filter(|(_, verdict)| matches!(verdict, Verdict::Departs(of) if *of == at)).collect();
        write!(page, "\n### {}\n\n{}\n\n", departure.what, departure.why).unwrap();
        for (case, _) in cases {
            writeln!(page, "- `{}`: {}", case.id(), code(&case.source)).unwrap();
        }
    }
    page
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// An expression on one line.
fn code(source: &str) -> String {
    const SHOWN_MAX: usize = 100;
    let mut line: String = source.split_whitespace().collect::<Vec<_>>().join(" ");
    line.retain(|character| !character.is_control());
    if let Some((end, _)) = line.char_indices().nth(SHOWN_MAX) {
        line.truncate(end);
        line.push('…');
    }
    let fence = if line.contains('`') { "``" } else { "`" };
    format!("{fence}{line}{fence}")
}

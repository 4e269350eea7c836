//! docs/reliability.md against the sources: every row of a test, every kind of fault, and every seeded bug.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::{read, root, sources};

/// The fewest kinds that the page promises.
const ROWS_MIN: usize = 60;
/// The kinds that have a row, or a reason why not.
const KINDS: std::ops::RangeInclusive<u32> = 1..=63;

/// A row as its test writes it.
struct Row {
    name: String,
    catalogue: String,
    invariants: String,
}

/// The texts in quotes that begin a piece of code, up to this number.
fn texts(code: &str, count: usize) -> Vec<String> {
    code.split('"').skip(1).step_by(2).take(count).map(str::to_owned).collect()
}

fn rows() -> Vec<Row> {
    let mut found = Vec::new();
    for file in sources(&root().join("tests/it")) {
        let text = fs::read_to_string(&file).unwrap();
        for (at, begin) in text.match_indices("Fault::new(") {
            let texts = texts(&text[at + begin.len()..], 3);
            let [name, catalogue, invariants] = texts.try_into().unwrap();
            found.push(Row { name, catalogue, invariants });
        }
    }
    found
}

/// The lines of a table that `make faults` writes; none if it has not run yet.
fn table(name: &str) -> Vec<String> {
    let text = read("docs/reliability.md");
    let (_, rest) = text.split_once(&format!("<!-- {name}: begin -->")).unwrap();
    let (table, _) = rest.split_once(&format!("<!-- {name}: end -->")).unwrap();
    let lines = table.lines().filter(|line| line.starts_with("| ") && !line.contains("| Checked |"));
    lines.map(str::to_owned).collect()
}

fn cells(line: &str) -> Vec<String> {
    line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()
}

#[test]
fn every_row_of_the_faults_is_in_the_table() {
    let rows = rows();
    assert!(rows.len() >= ROWS_MIN, "{} rows", rows.len());
    let told: BTreeMap<String, Vec<String>> =
        table("faults").iter().map(|line| cells(line)).map(|cells| (cells[0].clone(), cells)).collect();
    let names: BTreeSet<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names.len(), rows.len(), "two rows have one name");
    for row in &rows {
        let told =
            told.get(&row.name).unwrap_or_else(|| panic!("`{}` is not in the table: run `make faults`", row.name));
        assert_eq!((&told[1], &told[5]), (&row.catalogue, &row.invariants), "{}: run `make faults`", row.name);
    }
    for name in told.keys() {
        assert!(names.contains(name.as_str()), "`{name}` is in the table, and no test has it: run `make faults`");
    }
}

#[test]
fn every_kind_of_fault_has_a_row_or_a_reason() {
    let text = read("docs/reliability.md");
    let (kinds, rest) = text.split_once("\n## Kinds of faults\n").unwrap().1.split_once("\n## The table\n").unwrap();
    let (_, reasons) = rest.split_once("\n## Not covered\n").unwrap();
    let rows = rows();
    let tried: BTreeSet<u32> =
        rows.iter().flat_map(|row| row.catalogue.split(' ')).map(|kind| kind[1..].parse().unwrap()).collect();
    let has_reason = |kind: u32| {
        let name = format!("F{kind}");
        reasons.lines().any(|line| cells(line)[0].split([' ', ',']).any(|word| word == name))
    };
    for kind in KINDS {
        assert!(tried.contains(&kind) || has_reason(kind), "F{kind} has neither a row nor a reason");
    }
    let known = ranges(kinds);
    for kind in tried {
        assert!(known.contains(&kind), "F{kind} is not told among the kinds");
    }
}

/// The numbers in the first cells of a table, as `F1–F3` and `F5, F6`.
fn ranges(table: &str) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    for line in table.lines().filter(|line| line.starts_with("| F")) {
        for part in cells(line)[0].split(", ") {
            let ends: Vec<u32> = part.split('–').map(|end| end[1..].parse().unwrap()).collect();
            found.extend(ends[0]..=*ends.last().unwrap());
        }
    }
    found
}

#[test]
fn every_invariant_that_a_row_checks_is_told() {
    let text = read("docs/reliability.md");
    for row in rows() {
        for invariant in row.invariants.split(' ') {
            assert!(text.contains(&format!("| {invariant} | ")), "{invariant} of `{}` is not told", row.name);
        }
    }
}

#[test]
fn every_seeded_bug_is_caught_by_a_row() {
    let names: BTreeSet<String> = rows().into_iter().map(|row| row.name).collect();
    let lines: Vec<Vec<String>> = table("seeded").iter().map(|line| cells(line)).collect();
    let text = read("src/seeded.rs");
    let (_, rest) = text.split_once("pub enum Bug {").unwrap();
    let (variants, _) = rest.split_once("\n}\n").unwrap();
    let mut bugs = 0;
    for variant in variants.lines().map(str::trim).filter(|line| line.ends_with(',') && !line.starts_with("//")) {
        let mut name = String::new();
        for letter in variant.trim_end_matches(',').chars() {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(letter.to_ascii_lowercase());
        }
        let told = lines.iter().find(|cells| cells[0] == format!("`{name}`"));
        let told = told.unwrap_or_else(|| panic!("`{name}` is not in the table: run `make faults`"));
        assert!(told[2].split("; ").all(|row| names.contains(row)), "no row is called `{}`", told[2]);
        assert!(!told[3].contains("**nothing**"), "`{name}` was not caught");
        bugs += 1;
    }
    assert!(bugs >= 12, "{bugs} bugs");
}

//! Runs CEL's own conformance tests, and compares the outcome with docs/expressions-conformance.md.
//!
//! `UPDATE_EXPECT=1 cargo test --test conformance` writes the document.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its data must fail")]

mod case;
mod departures;
mod page;
mod scope;

use std::collections::BTreeSet;

use case::{Case, Outcome};
use departures::DEPARTURES;
use scope::Group;

/// The verdict on one case.
enum Verdict {
    Passed,
    Outside(Group),
    /// The position in [`DEPARTURES`].
    Departs(usize),
    Failed(String),
}

fn verdict(case: &Case) -> Verdict {
    if let Some(group) = scope::outside(case) {
        return Verdict::Outside(group);
    }
    let outcome = case.run();
    let departure = DEPARTURES.iter().position(|departure| departure.cases.contains(&case.id().as_str()));
    match (outcome, departure) {
        (Outcome::AsExpected, None) => Verdict::Passed,
        (Outcome::AsExpected, Some(_)) => Verdict::Failed("is listed as a difference, but behaves as in CEL".into()),
        (Outcome::Otherwise(_), Some(at)) => Verdict::Departs(at),
        (Outcome::Otherwise(how), None) => Verdict::Failed(how),
    }
}

#[test]
fn expressions_behave_as_in_cel_or_as_documented() {
    let cases = case::read_all();
    assert!(cases.len() > 2_000, "the cases were not found");
    let verdicts: Vec<_> = cases.iter().map(|case| (case, verdict(case))).collect();
    let failed: Vec<_> = verdicts
        .iter()
        .filter_map(|(case, verdict)| match verdict {
            Verdict::Failed(how) => Some(format!("{}: {:?}\n    {how}", case.id(), case.source)),
            Verdict::Passed | Verdict::Outside(_) | Verdict::Departs(_) => None,
        })
        .collect();
    assert!(failed.is_empty(), "{} of {} failed:\n{}", failed.len(), cases.len(), failed.join("\n"));
    expect_test::expect_file!["../../docs/expressions-conformance.md"].assert_eq(&page::page(&verdicts));
}

#[test]
fn every_listed_difference_is_a_case() {
    let known: BTreeSet<_> = case::read_all().iter().map(Case::id).collect();
    for case in DEPARTURES.iter().flat_map(|departure| departure.cases) {
        assert!(known.contains(*case), "there is no case {case}");
    }
}

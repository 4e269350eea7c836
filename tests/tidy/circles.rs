//! Rooms that use each other, directly or through others.

use std::collections::{BTreeMap, BTreeSet};

/// Which room uses which.
pub(super) type Uses<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// Every edge that is part of a circle: `from` uses `to`, and from `to` a way leads back to `from`.
pub(super) fn edges_of_circles<'a>(uses: &Uses<'a>) -> Vec<(&'a str, &'a str)> {
    let edges = uses.iter().flat_map(|(from, targets)| targets.iter().map(|to| (*from, *to)));
    edges.filter(|(from, to)| from != to && reaches(uses, to, from)).collect()
}

fn reaches(uses: &Uses<'_>, from: &str, to: &str) -> bool {
    let mut seen = BTreeSet::from([from]);
    let mut open = vec![from];
    while let Some(room) = open.pop() {
        if room == to {
            return true;
        }
        open.extend(uses.get(room).into_iter().flatten().filter(|next| seen.insert(next)));
    }
    false
}

#[test]
fn edges_of_circles_are_found() {
    let uses = BTreeMap::from([
        ("a", BTreeSet::from(["b", "a"])),
        ("b", BTreeSet::from(["c", "d"])),
        ("c", BTreeSet::from(["a"])),
        ("d", BTreeSet::new()),
    ]);
    assert_eq!(edges_of_circles(&uses), [("a", "b"), ("b", "c"), ("c", "a")]);
}

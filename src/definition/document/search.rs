//! Reads `search`: `name: expression`, or `name: { number: expression }` with a declared type.

use super::draft::Draft;
use crate::definition::check::names::Sees;
use crate::definition::model::{SearchAttribute, SearchKind};
use crate::definition::yaml::cursor::{At, Keys, is_name};
use crate::definition::yaml::node::Entry;
use crate::text::shortened;

/// Search attributes of a definition: each is a row of an index for every instance.
pub(in crate::definition) const ATTRIBUTES_MAX: usize = 20;

pub(in crate::definition) const ATTRIBUTE: Keys =
    Keys { of: "a search attribute", known: &["text", "number", "bool", "time"], later: &[] };

impl Draft {
    pub(super) fn search(&mut self, at: &At<'_>) -> Vec<SearchAttribute> {
        if !at.is_map() {
            self.problems.unexpected(at, "a map of attributes to expressions", Some("write `name: expression`"));
        }
        let entries = at.entries();
        if entries.len() > ATTRIBUTES_MAX {
            let message =
                format!("there are {} search attributes; at most {ATTRIBUTES_MAX} are allowed", entries.len());
            self.problems.error_at(at, message, Some("keep those that people search by"));
            return Vec::new();
        }
        let attributes = entries.into_iter();
        let mut attributes: Vec<_> =
            attributes.filter_map(|(entry, value)| self.attribute(at, entry, &value)).collect();
        attributes.sort_by(|one, other| one.name.cmp(&other.name));
        attributes
    }

    fn attribute(&mut self, map: &At<'_>, entry: &Entry, at: &At<'_>) -> Option<SearchAttribute> {
        let name = entry.key.clone();
        if !is_name(&name) {
            let message = format!("`{}` is not a valid name of a search attribute", shortened(&name));
            let hint =
                "use lower-case letters, digits, `_` and `-`, starting with a letter: filters name it `var.name`";
            self.problems.error(map.key_place(entry), message, Some(hint.into()));
        }
        if !at.is_map() {
            let value = self.expression(at, Sees::DOCUMENT)?;
            return Some(SearchAttribute { name, kind: None, value });
        }
        if !self.problems.expect_map(at, &ATTRIBUTE) {
            return None;
        }
        match at.entries().as_slice() {
            [(entry, value)] => {
                let kind = entry.key.parse::<SearchKind>().ok()?;
                let value = self.expression(value, Sees::DOCUMENT)?;
                Some(SearchAttribute { name, kind: Some(kind), value })
            }
            _ => {
                let hint = "write one type with its expression, as in `{ number: amount }`";
                self.problems.error_at(at, "a search attribute has one type", Some(hint));
                None
            }
        }
    }
}

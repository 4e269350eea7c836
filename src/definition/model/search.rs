//! Search attributes: what instances of a definition can be found by.

use crate::expression::Expression;

/// One search attribute.
#[derive(Debug, Clone)]
pub struct SearchAttribute {
    /// Its name, as in `var.name` of a filter.
    pub name: String,
    /// Its declared type; none for the type of the value.
    pub kind: Option<SearchKind>,
    /// Its value, evaluated when variables change.
    pub value: Expression,
}

/// The type of a search attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::EnumString, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum SearchKind {
    /// A text, of which the first 255 bytes count.
    Text,
    /// A number, compared as a double.
    Number,
    /// A boolean.
    Bool,
    /// A time: a text such as `2026-01-31T09:00:00Z`.
    Time,
}

impl SearchKind {
    /// The names, as keys of a document.
    pub const NAMES: &[&str] = <Self as strum::VariantNames>::VARIANTS;
}

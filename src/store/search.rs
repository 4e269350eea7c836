//! Search attributes: written with the instance, and read by filters.

mod filtered;
mod query;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::AstPass;
use diesel::sql_types::{Array, Bool, Double, Nullable, Text, Timestamptz};

use super::moment::Moment;
use super::sql::Part;
use crate::engine::{Attribute, AttributeValue};

pub use filtered::{COLLECTED_MAX, COUNT_MAX, Count, EXAMINED_MAX, Found, count, page};

/// Part of the statement of a commit: all attributes of the instance in `moved`. A row that stays the same is not written.
const UPSERT: &str = "
INSERT INTO leveret.search_attributes AS old (instance_id, name, text_value, number_value, bool_value, time_value)
SELECT moved.id, row.*
  FROM moved, unnest($1, $2, $3, $4, $5) AS row
    ON CONFLICT (instance_id, name) DO UPDATE
   SET text_value = excluded.text_value, number_value = excluded.number_value,
       bool_value = excluded.bool_value, time_value = excluded.time_value
 WHERE (old.text_value, old.number_value, old.bool_value, old.time_value)
       IS DISTINCT FROM (excluded.text_value, excluded.number_value, excluded.bool_value, excluded.time_value)";

/// Attributes as arrays, so that one prepared statement writes any number of them.
pub(super) struct SearchColumns<'a> {
    names: Vec<&'a str>,
    texts: Vec<Option<&'a str>>,
    numbers: Vec<Option<f64>>,
    bools: Vec<Option<bool>>,
    times: Vec<Option<Moment>>,
}

impl<'a> SearchColumns<'a> {
    pub(super) fn new(attributes: &'a [Attribute]) -> Self {
        let values = || attributes.iter().map(|attribute| attribute.value.as_ref());
        SearchColumns {
            names: attributes.iter().map(|attribute| attribute.name.as_str()).collect(),
            texts: values().map(|value| value.and_then(text)).collect(),
            numbers: values().map(|value| value.and_then(number)).collect(),
            bools: values().map(|value| value.and_then(boolean)).collect(),
            times: values().map(|value| value.and_then(time)).collect(),
        }
    }

    pub(super) fn walk<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut part = Part::new(UPSERT, out);
        part.bind::<Array<Text>, _>(&self.names)?;
        part.bind::<Array<Nullable<Text>>, _>(&self.texts)?;
        part.bind::<Array<Nullable<Double>>, _>(&self.numbers)?;
        part.bind::<Array<Nullable<Bool>>, _>(&self.bools)?;
        part.bind::<Array<Nullable<Timestamptz>>, _>(&self.times)?;
        part.end()
    }
}

fn text(value: &AttributeValue) -> Option<&str> {
    match value {
        AttributeValue::Text(text) => Some(text),
        AttributeValue::Number(_) | AttributeValue::Bool(_) | AttributeValue::Time(_) => None,
    }
}

fn number(value: &AttributeValue) -> Option<f64> {
    match value {
        AttributeValue::Number(number) => Some(*number),
        AttributeValue::Text(_) | AttributeValue::Bool(_) | AttributeValue::Time(_) => None,
    }
}

fn boolean(value: &AttributeValue) -> Option<bool> {
    match value {
        AttributeValue::Bool(value) => Some(*value),
        AttributeValue::Text(_) | AttributeValue::Number(_) | AttributeValue::Time(_) => None,
    }
}

fn time(value: &AttributeValue) -> Option<Moment> {
    match value {
        AttributeValue::Time(at) => Some(Moment(*at)),
        AttributeValue::Text(_) | AttributeValue::Number(_) | AttributeValue::Bool(_) => None,
    }
}

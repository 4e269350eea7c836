//! Queries of filters, put together: conditions with `{}` for their values, which are numbered in their order.

use diesel::QueryableByName;
use diesel::pg::Pg;
use diesel::query_builder::{BoxedSqlQuery, SqlQuery};
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Double, Text, Timestamptz, Uuid as SqlUuid};
use jiff::Timestamp;
use uuid::Uuid;

use crate::store::moment::Moment;

/// A value of a query.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Bind {
    Text(String),
    Texts(Vec<String>),
    Number(f64),
    Bool(bool),
    Time(Timestamp),
    Id(Uuid),
    Ids(Vec<Uuid>),
}

/// A condition with `{}` for each of its values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    pub(super) text: String,
    pub(super) binds: Vec<Bind>,
}

impl Condition {
    pub(super) fn new(text: impl Into<String>, binds: Vec<Bind>) -> Self {
        Self { text: text.into(), binds }
    }
}

/// A query that is put together; its values are numbered in their order.
#[derive(Default)]
pub(super) struct Query {
    pub(super) text: String,
    pub(super) binds: Vec<Bind>,
}

impl Query {
    pub(super) fn add(&mut self, text: &str, binds: &[Bind]) {
        for (at, piece) in text.split("{}").enumerate() {
            if at > 0 {
                self.text.push_str(&format!("${}", self.binds.len() + at));
            }
            self.text.push_str(piece);
        }
        self.binds.extend_from_slice(binds);
    }

    pub(super) fn and(&mut self, condition: &Condition) {
        self.add(" AND ", &[]);
        self.add(&condition.text, &condition.binds);
    }

    /// The query with its values. Its texts are few, and each is planned with its values.
    pub(super) fn bound(self) -> BoxedSqlQuery<'static, Pg, SqlQuery> {
        let mut query = sql_query(self.text).into_boxed::<Pg>();
        for value in self.binds {
            query = match value {
                Bind::Text(text) => query.bind::<Text, _>(text),
                Bind::Texts(texts) => query.bind::<Array<Text>, _>(texts),
                Bind::Number(number) => query.bind::<Double, _>(number),
                Bind::Bool(value) => query.bind::<Bool, _>(value),
                Bind::Time(at) => query.bind::<Timestamptz, _>(Moment(at)),
                Bind::Id(id) => query.bind::<SqlUuid, _>(id),
                Bind::Ids(ids) => query.bind::<Array<SqlUuid>, _>(ids),
            };
        }
        query
    }
}

#[derive(QueryableByName)]
pub(super) struct Id {
    #[diesel(sql_type = SqlUuid)]
    pub(super) id: Uuid,
}

#[derive(QueryableByName)]
pub(super) struct Number {
    #[diesel(sql_type = BigInt)]
    pub(super) number: i64,
}

/// A text whose `%`, `_` and `\` stand for themselves in `LIKE`.
pub(super) fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_taken_literally() {
        assert_eq!(escaped(r"50%_a\b"), r"50\%\_a\\b");
    }

    #[test]
    fn values_are_numbered_through() {
        let mut query = Query::default();
        query.add("a = {} AND b = {}", &[Bind::Bool(true), Bind::Number(1.0)]);
        query.and(&Condition::new("c = {}", vec![Bind::Text("x".into())]));
        assert_eq!((query.text.as_str(), query.binds.len()), ("a = $1 AND b = $2 AND c = $3", 3));
    }
}

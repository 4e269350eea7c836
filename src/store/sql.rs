//! SQL as text with `$1`, `$2` …: each query can be read in one place and pasted into psql.
//!
//! [`Sql`] is a query whose text is fixed: its statement is prepared once per connection. [`Part`] writes a piece of a
//! statement that is put together at run time.

use std::marker::PhantomData;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::HasSqlType;

use crate::seeded::{self, Bug};

/// A query as text.
pub(super) trait Sql: Sized + Send + 'static {
    /// The SQL types of `$1`, `$2` …, as a tuple.
    type Binds;
    /// The SQL types of the columns of a row; [`Untyped`](diesel::sql_types::Untyped) for rows that are read by name.
    type Row;
    /// The query. It may use a placeholder several times.
    const TEXT: &'static str;

    /// The query with its values.
    fn bind<V: Values<Self::Binds>>(values: V) -> Bound<Self, &'static str, V> {
        const {
            assert!(V::COUNT <= PLACEHOLDERS_MAX, "placeholders of two digits are not counted");
            assert!(placeholders(Self::TEXT) == V::COUNT, "the query has another number of placeholders");
        };
        Bound { text: Self::TEXT, values, query: PhantomData }
    }

    /// The query with its values, and with `limit` written into the text in place of `{limit}`. The planner assumes that
    /// a bound limit returns a tenth of all rows, and would read whole tables for a small claim.
    fn bind_limit<V: Values<Self::Binds>>(limit: i64, values: V) -> Bound<Self, String, V> {
        Self::bind_text(Self::TEXT.replace("{limit}", &limit.to_string()), values)
    }

    /// The query with its values and a text that was completed at run time. It may leave out placeholders.
    fn bind_text<V: Values<Self::Binds>>(text: String, values: V) -> Bound<Self, String, V> {
        Bound { text, values, query: PhantomData }
    }
}

/// The text of a claim with its limit; a bug that tests put in locks nothing and claims nothing.
pub(super) fn claim(text: &'static str, limit: i64) -> String {
    let text = seeded::text(text, Bug::SweepWithoutClaim, "FOR UPDATE SKIP LOCKED", "");
    seeded::text(text, Bug::SweepWithoutClaim, "now() + ", "now() + 0 * ").replace("{limit}", &limit.to_string())
}

/// Values of one query.
const PLACEHOLDERS_MAX: usize = 9;

/// The highest placeholder of a text with at most [`PLACEHOLDERS_MAX`] of them.
const fn placeholders(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut highest) = (1, 0);
    while at < bytes.len() {
        let number = bytes[at].wrapping_sub(b'0') as usize;
        if bytes[at - 1] == b'$' && number <= PLACEHOLDERS_MAX && number > highest {
            highest = number;
        }
        at += 1;
    }
    highest
}

/// A query with its values, ready to be run.
pub(super) struct Bound<Q, Text, V> {
    text: Text,
    values: V,
    query: PhantomData<fn() -> Q>,
}

// The type of the query names the prepared statement …
impl<Q: 'static, V> QueryId for Bound<Q, &'static str, V> {
    type QueryId = Bound<Q, (), ()>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

// … unless its text was completed at run time: then the text does. There are few: limits come from the settings.
impl<Q, V> QueryId for Bound<Q, String, V> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q: Sql, Text, V> Query for Bound<Q, Text, V> {
    type SqlType = Q::Row;
}

impl<Q: Sql, Text: AsRef<str>, V: Values<Q::Binds>> QueryFragment<Pg> for Bound<Q, Text, V> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(self.text.as_ref().trim());
        // Diesel writes a placeholder with every value, and the text has them already: these are a comment.
        out.push_sql("\n--");
        self.values.push(&mut out)
    }
}

/// A tuple of values of these SQL types.
pub(super) trait Values<Types> {
    /// How many there are.
    const COUNT: usize;

    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()>;
}

impl Values<()> for () {
    const COUNT: usize = 0;

    fn push<'b>(&'b self, _out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        Ok(())
    }
}

macro_rules! values {
    ($($count:literal: $($value:ident $type:ident $at:tt),+;)+) => {$(
        impl<$($value, $type),+> Values<($($type,)+)> for ($($value,)+)
        where
            $($value: ToSql<$type, Pg>, Pg: HasSqlType<$type>),+
        {
            const COUNT: usize = $count;

            fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
                $(out.push_sql(" "); out.push_bind_param::<$type, $value>(&self.$at)?;)+
                Ok(())
            }
        }
    )+};
}

values! {
    1: A Ta 0;
    2: A Ta 0, B Tb 1;
    3: A Ta 0, B Tb 1, C Tc 2;
    4: A Ta 0, B Tb 1, C Tc 2, D Td 3;
    5: A Ta 0, B Tb 1, C Tc 2, D Td 3, E Te 4;
    6: A Ta 0, B Tb 1, C Tc 2, D Td 3, E Te 4, F Tf 5;
    7: A Ta 0, B Tb 1, C Tc 2, D Td 3, E Te 4, F Tf 5, G Tg 6;
    8: A Ta 0, B Tb 1, C Tc 2, D Td 3, E Te 4, F Tf 5, G Tg 6, H Th 7;
    9: A Ta 0, B Tb 1, C Tc 2, D Td 3, E Te 4, F Tf 5, G Tg 6, H Th 7, I Ti 8;
}

/// A piece of a statement: text whose placeholders are in order, each used once. Inside of the statement they get other
/// numbers, because there are pieces before it.
pub(super) struct Part<'p, 'a, 'b> {
    rest: &'static str,
    out: &'p mut AstPass<'a, 'b, Pg>,
}

impl<'p, 'a, 'b> Part<'p, 'a, 'b> {
    pub(super) fn new(text: &'static str, out: &'p mut AstPass<'a, 'b, Pg>) -> Self {
        Self { rest: text, out }
    }

    /// Binds the next placeholder.
    pub(super) fn bind<T, V>(&mut self, value: &'b V) -> QueryResult<()>
    where
        Pg: HasSqlType<T>,
        V: ToSql<T, Pg> + ?Sized,
    {
        let Some((before, after)) = self.rest.split_once('$') else {
            return Err(diesel::result::Error::QueryBuilderError("there are more values than placeholders".into()));
        };
        self.out.push_sql(before);
        self.rest = after.trim_start_matches(|one: char| one.is_ascii_digit());
        self.out.push_bind_param::<T, V>(value)
    }

    /// Writes what follows the last placeholder.
    pub(super) fn end(self) -> QueryResult<()> {
        if self.rest.contains('$') {
            return Err(diesel::result::Error::QueryBuilderError("there are more placeholders than values".into()));
        }
        self.out.push_sql(self.rest);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use diesel::debug_query;
    use diesel::sql_types::{BigInt, Text};

    use super::*;

    struct Twice;

    impl Sql for Twice {
        type Binds = (Text, BigInt);
        type Row = (Text, BigInt);
        const TEXT: &'static str = "
            SELECT $2, $1, $2
             LIMIT {limit}";
    }

    #[test]
    fn a_query_keeps_its_text_and_binds_each_value_once() {
        let query = Twice::bind(("a", 7_i64));
        let text = debug_query::<Pg, _>(&query).to_string();
        assert!(text.starts_with("SELECT $2, $1, $2\n"), "{text}");
        assert!(text.ends_with(r#"-- $1 $2 -- binds: ["a", 7]"#), "{text}");
        assert_eq!(
            <Bound<Twice, &'static str, (&str, i64)> as QueryId>::query_id(),
            Some(std::any::TypeId::of::<Bound<Twice, (), ()>>())
        );
    }

    #[test]
    fn a_limit_becomes_part_of_the_text() {
        let query = Twice::bind_limit(20, ("a", 7_i64));
        let text = debug_query::<Pg, _>(&query).to_string();
        assert!(text.contains("LIMIT 20"), "{text}");
        assert_eq!(<Bound<Twice, String, (&str, i64)> as QueryId>::query_id(), None);
    }

    struct Two(&'static str);

    impl QueryFragment<Pg> for Two {
        fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
            for _ in 0..2 {
                let mut part = Part::new("a = $1 AND b = $2;", &mut out);
                part.bind::<Text, _>(self.0)?;
                part.bind::<Text, _>(self.0)?;
                part.end()?;
            }
            Ok(())
        }
    }

    #[test]
    fn parts_are_numbered_through() {
        let text = debug_query::<Pg, _>(&Two("x")).to_string();
        assert!(text.starts_with("a = $1 AND b = $2;a = $3 AND b = $4;"), "{text}");
    }

    #[test]
    fn placeholders_are_counted_once() {
        assert_eq!(placeholders("SELECT"), 0);
        assert_eq!(placeholders("$2 $1 $2 '$'"), 2);
    }
}

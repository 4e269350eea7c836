//! Rows of one statement, as a relation `row`.
//!
//! Few of them are written as `VALUES`, which PostgreSQL folds into the statement; any number as arrays, so that a large batch has one
//! text too. The detour over arrays costs a plain step a third of its time in PostgreSQL (`docs/benchmarks.md`).

/// Up to so many rows are written one by one. Each number of rows is a statement to be prepared, once per connection.
pub(super) const FEW_MAX: usize = 4;

/// Pushes the columns of a struct of vectors: their SQL types, and the names they have in `row`.
macro_rules! push_rows {
    ($out:ident, $rows:expr, $length:expr, { $($field:ident: $type:ty),* $(,)? }) => {{
        let names = concat!(") AS row (", push_rows!(@names $($field),*), ")");
        if $length <= $crate::store::rows::FEW_MAX {
            $out.push_sql("(VALUES ");
            for at in 0..$length {
                $out.push_sql(if at == 0 { "" } else { ", " });
                let mut before = "(";
                $(
                    $out.push_sql(before);
                    $out.push_bind_param::<$type, _>(&$rows.$field[at])?;
                    before = ", ";
                )*
                let _ = before;
                $out.push_sql(")");
            }
        } else {
            let mut before = "unnest(";
            $(
                $out.push_sql(before);
                $out.push_bind_param::<diesel::sql_types::Array<$type>, _>(&$rows.$field)?;
                before = ", ";
            )*
            let _ = before;
        }
        $out.push_sql(names);
    }};
    (@names $first:ident $(, $more:ident)*) => { concat!(stringify!($first) $(, ", ", stringify!($more))*) };
}

pub(super) use push_rows;

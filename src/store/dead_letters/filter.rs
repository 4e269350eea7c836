//! Dead letters by what they have in common: counted by their reasons, and numbered batch by batch.

use diesel::sql_types::{BigInt, Nullable, Text};
use diesel_async::RunQueryDsl;

use crate::store::sql::Sql;
use crate::store::{Connection, Error};

/// What dead letters have in common; what is none fits to all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// The reason contains this text.
    pub why: Option<String>,
    /// The AMQP property `type`.
    pub kind: Option<String>,
    /// The queue it came from, as the broker names it.
    pub queue: Option<String>,
    /// The definition that it starts, or that of its instance.
    pub definition: Option<String>,
    /// The AMQP property `app_id`.
    pub app_id: Option<String>,
}

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All.
    All,
    /// Those that were not redriven, or have failed again since.
    Waiting,
}

impl Which {
    fn condition(self) -> &'static str {
        match self {
            Which::All => "true",
            Which::Waiting => "redriven_at IS NULL",
        }
    }
}

/// Dead letters with the same reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The reason.
    pub reason: String,
    /// How many have it.
    pub count: i64,
    /// The newest of them.
    pub sample: i64,
}

/// The conditions of a filter, from the second placeholder on; the first is a number. A letter names its queue without the prefix; the
/// broker names it with the prefix.
const FITS: &str = "
       ($2 IS NULL OR position($2 IN reason) > 0)
   AND ($3 IS NULL OR kind = $3)
   AND ($4 IS NULL OR source = $4 OR right($4, length(source) + 1) = '.' || source OR headers ->> 'x-first-death-queue' = $4)
   AND ($5 IS NULL OR routing_key = 'start.' || $5
        OR EXISTS (SELECT FROM leveret.instances AS i WHERE i.id = d.instance_id AND i.definition = $5))
   AND ($6 IS NULL OR app_id = $6)";

/// The number of the newest dead letter; 0 if there is none.
///
/// # Errors
/// As for any query.
pub async fn newest(conn: &mut Connection) -> Result<i64, Error> {
    Ok(Newest::bind(()).get_result(conn).await?)
}

struct Newest;

impl Sql for Newest {
    type Binds = ();
    type Row = BigInt;
    const TEXT: &'static str = "SELECT coalesce(max(id), 0) FROM leveret.dead_letters";
}

/// The numbers of at most `limit` dead letters that fit, above `after` and up to `upto`, oldest first.
///
/// # Errors
/// As for any query.
pub async fn matching(
    conn: &mut Connection,
    filter: &Filter,
    which: Which,
    after: i64,
    upto: i64,
    limit: i64,
) -> Result<Vec<i64>, Error> {
    let Filter { why, kind, queue, definition, app_id } = filter;
    let text = Matching::TEXT.replace("{limit}", &limit.to_string()).replace("{fits}", FITS);
    let text = text.replace("{which}", which.condition());
    Ok(Matching::bind_text(text, (after, why, kind, queue, definition, app_id, upto)).get_results(conn).await?)
}

struct Matching;

impl Sql for Matching {
    type Binds = (BigInt, Nullable<Text>, Nullable<Text>, Nullable<Text>, Nullable<Text>, Nullable<Text>, BigInt);
    type Row = BigInt;
    const TEXT: &'static str = "
        SELECT id FROM leveret.dead_letters AS d
         WHERE id > $1 AND id <= $7 AND {which} AND {fits} ORDER BY id LIMIT {limit}";
}

/// Those that fit, up to the number `upto`, counted by their reasons: at most `limit` reasons, the most frequent first.
///
/// # Errors
/// As for any query.
pub async fn count(
    conn: &mut Connection,
    filter: &Filter,
    which: Which,
    upto: i64,
    limit: i64,
) -> Result<Vec<Group>, Error> {
    let Filter { why, kind, queue, definition, app_id } = filter;
    let text = Count::TEXT.replace("{limit}", &limit.to_string()).replace("{fits}", FITS);
    let text = text.replace("{which}", which.condition());
    let rows: Vec<(String, i64, i64)> =
        Count::bind_text(text, (upto, why, kind, queue, definition, app_id)).get_results(conn).await?;
    Ok(rows.into_iter().map(|(reason, count, sample)| Group { reason, count, sample }).collect())
}

struct Count;

impl Sql for Count {
    type Binds = (BigInt, Nullable<Text>, Nullable<Text>, Nullable<Text>, Nullable<Text>, Nullable<Text>);
    type Row = (Text, BigInt, BigInt);
    const TEXT: &'static str = "
        SELECT reason, count(*), max(id) FROM leveret.dead_letters AS d
         WHERE id <= $1 AND {which} AND {fits} GROUP BY reason ORDER BY 2 DESC, 1 LIMIT {limit}";
}

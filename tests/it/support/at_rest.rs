//! Reads rows, and proves that the database is at rest: nothing is stuck, unsent, open or broken.

use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel_async::RunQueryDsl;
use leveret::engine::InstanceId;
use leveret::store::{Connection, history, stuck};
use uuid::Uuid;

use super::eventually;

/// What was committed last is published and deleted within this; a row that a dead publisher has claimed is found after 30 s.
const SENT_WITHIN: Duration = Duration::from_secs(40);
/// More than any test has.
const STUCK_MAX: i64 = 1_000;

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Nullable<Text>)]
    line: Option<String>,
}

/// The number of rows of this.
pub(crate) async fn count(conn: &mut Connection, from: &str) -> i64 {
    let count: Count = sql_query(format!("SELECT count(*) AS count FROM {from}")).get_result(conn).await.unwrap();
    count.count
}

/// One column of texts; what is null is left out.
pub(crate) async fn lines(conn: &mut Connection, column: &str, from: &str) -> Vec<String> {
    asked(conn, &format!("SELECT ({column})::text AS line FROM {from}")).await
}

/// The column `line` of a query; what is null is left out.
pub(crate) async fn asked(conn: &mut Connection, query: &str) -> Vec<String> {
    let lines: Vec<Line> = sql_query(query).get_results(conn).await.unwrap();
    lines.into_iter().filter_map(|line| line.line).collect()
}

/// Waits until what was committed is published. Then nothing may be stuck, every history must be whole, and no
/// ended instance may have an open bookmark.
pub(crate) async fn assert_at_rest(conn: &mut Connection) {
    eventually("the outbox is empty", SENT_WITHIN, async || {
        count(conn, "leveret.outbox WHERE dead_at IS NULL").await == 0
    })
    .await;
    assert_eq!(stuck::list(conn, STUCK_MAX).await.unwrap(), [], "instances that are stuck");
    let open = lines(
        conn,
        "i.id || ' ' || i.status || ' waits at ' || b.activity",
        "leveret.bookmarks AS b JOIN leveret.instances AS i ON i.id = b.instance_id \
         WHERE b.consumed_at IS NULL AND i.ended_at IS NOT NULL",
    );
    assert_eq!(open.await, [""; 0], "what has ended still waits");
    for id in lines(conn, "id", "leveret.instances").await {
        let id = InstanceId(id.parse::<Uuid>().unwrap());
        history::verify(conn, id).await.unwrap_or_else(|error| panic!("the history of {id}: {error}"));
    }
    let missing = "(SELECT id, generate_series(1, history_count) AS number FROM leveret.instances) AS i \
        FULL JOIN leveret.history AS h ON h.instance_id = i.id AND h.number = i.number \
        WHERE i.number IS NULL OR h.number IS NULL";
    assert_eq!(count(conn, missing).await, 0, "history rows missing or too many");
}

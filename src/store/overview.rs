//! The figures of the dashboard. Each is bounded: nothing counts or reads a whole table, however many rows it has.

use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Double, Integer, Nullable, Text, Timestamptz};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;

use super::moment::Moment;
use super::{Connection, Error};

/// Rows of one kind that are counted; more are told as more.
pub const COUNT_MAX: i64 = 10_000;
/// The minutes of the charts.
pub const MINUTES: i32 = 60;
/// Instances of one minute that are looked at. What more began in it is estimated from how long these took to begin.
const PER_MINUTE_MAX: i64 = 100;

/// What lives and what waits, each counted up to one more than [`COUNT_MAX`].
#[derive(Debug, Clone, PartialEq, QueryableByName)]
pub struct Figures {
    /// Running instances.
    #[diesel(sql_type = BigInt)]
    pub running: i64,
    /// Instances of which a branch can take a step now.
    #[diesel(sql_type = BigInt)]
    pub ready: i64,
    /// Suspended instances.
    #[diesel(sql_type = BigInt)]
    pub suspended: i64,
    /// Open incidents.
    #[diesel(sql_type = BigInt)]
    pub incidents: i64,
    /// Open tasks.
    #[diesel(sql_type = BigInt)]
    pub tasks: i64,
    /// Open calls.
    #[diesel(sql_type = BigInt)]
    pub calls: i64,
    /// Dead letters that wait for a person.
    #[diesel(sql_type = BigInt)]
    pub dead_letters: i64,
    /// Rows of the outbox that are not published.
    #[diesel(sql_type = BigInt)]
    pub unpublished: i64,
    /// The age of the oldest of them, in seconds.
    #[diesel(sql_type = Nullable<Double>)]
    oldest: Option<f64>,
    /// How late the latest of the overdue timers is, in seconds.
    #[diesel(sql_type = Double)]
    lag: f64,
}

impl Figures {
    /// The age of the oldest row of the outbox that is not published.
    pub fn oldest_unpublished(&self) -> Option<Duration> {
        self.oldest.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default())
    }

    /// How late the latest of the overdue timers is.
    pub fn timer_lag(&self) -> Duration {
        Duration::try_from_secs_f64(self.lag).unwrap_or_default()
    }
}

/// The figures as they are now.
///
/// # Errors
/// As for any query.
pub async fn figures(conn: &mut Connection) -> Result<Figures, Error> {
    // A limit that is bound would be planned as a tenth of all rows.
    let text = FIGURES.replace("{max}", &(COUNT_MAX + 1).to_string());
    Ok(diesel::sql_query(text).get_result(conn).await?)
}

const FIGURES: &str = "
SELECT (SELECT count(*) FROM (SELECT FROM leveret.instances WHERE status = 'running' AND ended_at IS NULL LIMIT {max}) AS a) AS running,
       (SELECT count(*) FROM (SELECT FROM leveret.instances WHERE ready LIMIT {max}) AS a) AS ready,
       (SELECT count(*) FROM (SELECT FROM leveret.instances WHERE status = 'suspended' AND ended_at IS NULL LIMIT {max}) AS a) AS suspended,
       (SELECT count(*) FROM (SELECT FROM leveret.bookmarks
                               WHERE consumed_at IS NULL AND fingerprint IS NOT NULL LIMIT {max}) AS a) AS incidents,
       (SELECT count(*) FROM (SELECT FROM leveret.tasks WHERE open LIMIT {max}) AS a) AS tasks,
       (SELECT count(*) FROM (SELECT FROM leveret.calls WHERE ended_at IS NULL LIMIT {max}) AS a) AS calls,
       (SELECT count(*) FROM (SELECT redriven_at FROM leveret.dead_letters ORDER BY id DESC LIMIT {max}) AS a
         WHERE redriven_at IS NULL) AS dead_letters,
       unsent.count AS unpublished, unsent.oldest, late.lag
  FROM (SELECT count(*) AS count, extract(epoch FROM now() - min(created_at))::float8 AS oldest
          FROM (SELECT created_at FROM leveret.outbox WHERE dead_at IS NULL AND confirmed_at IS NULL
                 ORDER BY claimable_at LIMIT {max}) AS a) AS unsent,
       (SELECT greatest(coalesce(max(extract(epoch FROM now() - a.due_at)), 0), 0)::float8 AS lag
          FROM (SELECT b.due_at, b.instance_id FROM leveret.bookmarks AS b
                 WHERE b.consumed_at IS NULL AND b.next_check_at < now() ORDER BY b.next_check_at LIMIT 500) AS a
          JOIN leveret.instances AS i ON i.id = a.instance_id
         WHERE i.ended_at IS NULL AND i.status <> 'suspended') AS late";

/// One minute of the last hour.
#[derive(Debug, Clone, PartialEq, QueryableByName)]
pub struct Minute {
    /// How many minutes ago it began: 60 is the oldest.
    #[diesel(sql_type = Integer)]
    pub ago: i32,
    /// Instances that were started in it. An estimate if there are more than are looked at.
    #[diesel(sql_type = Double)]
    pub started: f64,
    /// Seconds from start to end, of half of those that have ended.
    #[diesel(sql_type = Nullable<Double>)]
    pub median: Option<f64>,
    /// Seconds from start to end, of all but a twentieth.
    #[diesel(sql_type = Nullable<Double>)]
    pub slow: Option<f64>,
}

/// The last hour, oldest minute first.
///
/// # Errors
/// As for any query.
pub async fn last_hour(conn: &mut Connection) -> Result<Vec<Minute>, Error> {
    let text = LAST_HOUR.replace("{max}", &PER_MINUTE_MAX.to_string()).replace("{minutes}", &MINUTES.to_string());
    Ok(diesel::sql_query(text).get_results(conn).await?)
}

/// Ids begin with the time of the start, so that a minute is a range of the primary key.
const LAST_HOUR: &str = "
SELECT minute.ago,
       CASE WHEN seen.count < {max} THEN seen.count
            ELSE seen.count * 60 / greatest(extract(epoch FROM seen.newest - minute.began), 0.001) END::float8 AS started,
       seen.median::float8 AS median, seen.slow::float8 AS slow
  FROM (SELECT ago, now() - ago * interval '1 minute' AS began FROM generate_series({minutes}, 1, -1) AS ago) AS minute,
       LATERAL (SELECT count(*) AS count, max(a.started_at) AS newest,
                       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM a.ended_at - a.started_at)) AS median,
                       percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM a.ended_at - a.started_at)) AS slow
                  FROM (SELECT started_at, ended_at FROM leveret.instances
                         WHERE id >= leveret.uuid_at(minute.began) AND id < leveret.uuid_at(minute.began + interval '1 minute')
                         ORDER BY id LIMIT {max}) AS a) AS seen
 ORDER BY minute.ago DESC";

/// Processes that are listed.
const PROCESSES_MAX: i64 = 200;

/// A process of Leveret, as the database sees it.
#[derive(Debug, Clone, QueryableByName)]
pub struct Process {
    /// `leveret` and its process id on its machine.
    #[diesel(sql_type = Text)]
    pub name: String,
    /// Where it is; none if it is on the machine of the database.
    #[diesel(sql_type = Nullable<Text>)]
    pub address: Option<String>,
    /// Its connections.
    #[diesel(sql_type = BigInt)]
    pub connections: i64,
    #[diesel(sql_type = Timestamptz)]
    since: Moment,
}

impl Process {
    /// When the oldest of its connections was opened.
    pub fn since(&self) -> Timestamp {
        self.since.0
    }
}

/// The processes that are connected to this database. Behind a pooler they may not be told apart.
///
/// # Errors
/// As for any query.
pub async fn processes(conn: &mut Connection) -> Result<Vec<Process>, Error> {
    let text = "
        SELECT application_name AS name, host(client_addr) AS address, count(*) AS connections, min(backend_start) AS since
          FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'leveret%'
         GROUP BY 1, 2 ORDER BY 1, 2 LIMIT $1";
    Ok(diesel::sql_query(text).bind::<BigInt, _>(PROCESSES_MAX).get_results(conn).await?)
}

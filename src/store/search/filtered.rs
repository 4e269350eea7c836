//! Instances by a filter, newest first, in bounded time whatever the filter.
//!
//! A term that an index serves *collects*: if at most [`COLLECTED_MAX`] instances have it, those are read and the other terms are checked. If
//! every such term has more, or there is none, the filter *walks*: it looks at the next [`EXAMINED_MAX`] instances in the order of their ids, by
//! the index of the status or the definition that it names, of which there are fewer. A page of a walk may hold fewer rows than were asked
//! for, or none, and still have a cursor for the next.

use diesel_async::RunQueryDsl;
use jiff::Timestamp;

use super::query::{Bind, Condition, Id, Number, Query, escaped};
use crate::contract::filter::{Filter, Match, Order, Term, Test, When};
use crate::engine::{InstanceId, Status};
use crate::store::{Connection, Error};

/// Instances that a walk looks at for one page: they are neighbours.
pub const EXAMINED_MAX: i64 = 5_000;
/// Instances that are collected: each may be in another page of the table.
pub const COLLECTED_MAX: i64 = 2_000;
/// Instances of a term that are counted to find the term of the fewest.
const PROBED_MAX: i64 = 10_000;
/// Matches that are counted.
pub const COUNT_MAX: u64 = 100_000;
/// Matches of one page while counting.
const COUNT_PAGE: i64 = 5_000;

/// One page of matches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The instances, newest first.
    pub ids: Vec<InstanceId>,
    /// Where the next page begins: after this one. None if there is no further match.
    pub next: Option<InstanceId>,
}

/// How many instances a filter holds for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// The number that was found.
    pub found: u64,
    /// Whether there may be more.
    pub more: bool,
}

/// A term that an index serves.
struct Served {
    /// A query of the ids of its instances.
    ids: Condition,
    /// Its condition, if its index is ordered by id after it.
    walk: Option<Condition>,
}

/// The query of a filter.
struct Plan {
    /// The terms that an index serves.
    served: Vec<Served>,
    /// Conditions for ids.
    ranges: Vec<Condition>,
    /// Conditions for the instances that are looked at, called `i`. An `EXISTS` has an `OFFSET`, which keeps it from becoming a join
    /// that reads everything with the attribute.
    checks: Vec<Condition>,
}

/// How the instances of a filter are found.
enum Way<'a> {
    /// These few are read.
    Collect(&'a Condition),
    /// All that have this are looked at, newest first; all of them without it.
    Walk(Option<&'a Condition>),
}

/// The next page of a filter: at most `limit` instances that are older than `before`.
pub async fn page(
    conn: &mut Connection,
    filter: &Filter,
    before: Option<InstanceId>,
    limit: i64,
    now: Timestamp,
) -> Result<Found, Error> {
    let plan = Plan::of(filter, now);
    match plan.narrowest(conn).await? {
        Way::Collect(ids) => plan.collected(conn, ids, before, limit).await,
        Way::Walk(by) => plan.walked(conn, by, before, limit).await,
    }
}

/// Counts matches, at most [`COUNT_MAX`], in at most `pages_max` pages.
pub async fn count(conn: &mut Connection, filter: &Filter, pages_max: u32, now: Timestamp) -> Result<Count, Error> {
    let (mut found, mut before) = (0, None);
    for _ in 0..pages_max {
        let page = page(conn, filter, before, COUNT_PAGE, now).await?;
        found += page.ids.len() as u64;
        match page.next {
            None => return Ok(Count { found, more: false }),
            Some(_) if found >= COUNT_MAX => break,
            next => before = next,
        }
    }
    Ok(Count { found, more: true })
}

impl Plan {
    fn of(filter: &Filter, now: Timestamp) -> Self {
        let mut plan = Plan { served: Vec::new(), ranges: Vec::new(), checks: Vec::new() };
        filter.terms().iter().for_each(|term| plan.add(term, now));
        plan
    }

    fn add(&mut self, term: &Term, now: Timestamp) {
        match term {
            Term::Id(ids) => {
                let binds = vec![Bind::Ids(ids.clone())];
                self.serve(Condition::new("SELECT unnest({}::uuid[])", binds.clone()));
                self.checks.push(Condition::new("i.id = ANY ({})", binds));
            }
            Term::Status(names) => self.status(names),
            Term::Definition(names) => {
                self.indexed("i.definition = ANY ({})", "i.definition = {}", names);
            }
            Term::Key(key) => {
                let (is, value) = matched("key", key);
                let text = format!("SELECT id FROM leveret.instances WHERE key IS NOT NULL AND {is}");
                self.serve(Condition::new(text, vec![value.clone()]));
                self.checks.push(Condition::new(format!("i.{is}"), vec![value]));
            }
            Term::Queue(queue) => self.checks.push(Condition::new("i.queue = {}", vec![Bind::Text(queue.clone())])),
            Term::Activity(activity) => {
                let text = "i.branches @> jsonb_build_object('branches', jsonb_build_array(jsonb_build_object('activity', {}::text)))";
                self.checks.push(Condition::new(text, vec![Bind::Text(activity.clone())]));
            }
            Term::Incident(fingerprint) => self.incident("fingerprint = {}", fingerprint),
            Term::Code(code) => self.code(code),
            Term::Started(when) => self.ranges.push(started(when, now)),
            Term::Attribute { name, test } => self.attribute(name, test),
        }
    }

    /// A term whose index has another order than that of ids.
    fn serve(&mut self, ids: Condition) {
        self.served.push(Served { ids, walk: None });
    }

    /// A term of a column of instances. With one value its index is ordered by id after it.
    fn indexed(&mut self, is: &str, is_one: &str, names: &[String]) {
        let binds = vec![Bind::Texts(names.to_vec())];
        let walk = match names {
            [name] => Some(Condition::new(is_one, vec![Bind::Text(name.clone())])),
            _ => None,
        };
        let ids = Condition::new(format!("SELECT id FROM leveret.instances AS i WHERE {is}"), binds.clone());
        self.served.push(Served { ids, walk });
        self.checks.push(Condition::new(is, binds));
    }

    /// Indexes hold what lives, and what has failed or was cancelled: the others are most of all instances.
    fn status(&mut self, names: &[String]) {
        let all = |these: &[Status]| names.iter().all(|name| these.iter().any(|status| status.name() == name));
        if all(&[Status::Running, Status::Suspended, Status::Compensating]) {
            let live = "i.status = ANY ({}) AND i.ended_at IS NULL";
            self.indexed(live, "i.status = {} AND i.ended_at IS NULL", names);
        } else if all(&[Status::Failed, Status::Cancelled]) {
            let failed = "i.status = ANY ({}) AND i.status IN ('failed', 'cancelled')";
            self.indexed(failed, "i.status = {} AND i.status IN ('failed', 'cancelled')", names);
        } else {
            self.checks.push(Condition::new("i.status = ANY ({})", vec![Bind::Texts(names.to_vec())]));
        }
    }

    fn incident(&mut self, is: &str, value: &str) {
        let from = "leveret.bookmarks WHERE consumed_at IS NULL AND kind = 'intervention'";
        let binds = vec![Bind::Text(value.to_owned())];
        self.serve(Condition::new(format!("SELECT instance_id FROM {from} AND {is}"), binds.clone()));
        self.checks.push(Condition::new(
            format!("EXISTS (SELECT FROM {from} AND {is} AND instance_id = i.id OFFSET 0)"),
            binds,
        ));
    }

    /// The code of an open incident, or of the failure of a failed instance.
    fn code(&mut self, code: &str) {
        let from = "leveret.bookmarks WHERE consumed_at IS NULL AND kind = 'intervention' AND details->>'code' = {}";
        let binds = vec![Bind::Text(code.to_owned()), Bind::Text(code.to_owned())];
        let failed = "SELECT id FROM leveret.instances WHERE error IS NOT NULL AND error->>'code' = {}";
        self.serve(Condition::new(format!("SELECT instance_id FROM {from} UNION ALL {failed}"), binds.clone()));
        let text = format!("(i.error->>'code' = {{}} OR EXISTS (SELECT FROM {from} AND instance_id = i.id OFFSET 0))");
        self.checks.push(Condition::new(text, binds));
    }

    fn attribute(&mut self, name: &str, test: &Test) {
        let name = || Bind::Text(name.to_owned());
        let compared = |column: &str, order: Order| format!("{column} {} {{}}", order.operator());
        let alternatives: Vec<(String, Bind)> = match test {
            Test::Text(text) => vec![matched("text_value", text)],
            Test::NumberOrText(number, text) => {
                vec![("number_value = {}".into(), Bind::Number(*number)), text_is(text)]
            }
            Test::BoolOrText(value, text) => vec![("bool_value = {}".into(), Bind::Bool(*value)), text_is(text)],
            Test::TimeOrText(at, text) => vec![("time_value = {}".into(), Bind::Time(*at)), text_is(text)],
            Test::Number(order, number) => vec![(compared("number_value", *order), Bind::Number(*number))],
            Test::Time(order, at) => vec![(compared("time_value", *order), Bind::Time(*at))],
        };
        let from = "leveret.search_attributes WHERE name = {}";
        let (mut collects, mut checks, mut binds) = (Vec::new(), Vec::new(), Vec::new());
        for (is, value) in alternatives {
            collects.push(format!("SELECT instance_id FROM {from} AND {is}"));
            checks.push(format!("EXISTS (SELECT FROM {from} AND {is} AND instance_id = i.id OFFSET 0)"));
            binds.extend([name(), value]);
        }
        self.serve(Condition::new(collects.join(" UNION ALL "), binds.clone()));
        self.checks.push(Condition::new(format!("({})", checks.join(" OR ")), binds));
    }

    /// By the term that the fewest instances have.
    async fn narrowest(&self, conn: &mut Connection) -> Result<Way<'_>, Error> {
        let mut narrowest: Option<(i64, &Served)> = None;
        let mut walk: Option<(i64, &Condition)> = None;
        for served in &self.served {
            let most = narrowest.map_or(PROBED_MAX, |(least, _)| least.max(COLLECTED_MAX));
            let mut query = Query::default();
            query.add("SELECT count(*) AS number FROM (SELECT FROM (", &[]);
            query.add(&served.ids.text, &served.ids.binds);
            query.add(&format!(") AS ids LIMIT {}) AS few", most + 1), &[]);
            let Number { number } = query.bound().get_result(conn).await?;
            if narrowest.is_none_or(|(least, _)| number < least) {
                narrowest = Some((number, served));
            }
            if let Some(by) = &served.walk
                && walk.is_none_or(|(least, _)| number < least)
            {
                walk = Some((number, by));
            }
        }
        Ok(match narrowest {
            Some((number, served)) if number <= COLLECTED_MAX => Way::Collect(&served.ids),
            Some(_) | None => Way::Walk(walk.map(|(_, by)| by)),
        })
    }

    async fn collected(
        &self,
        conn: &mut Connection,
        collect: &Condition,
        before: Option<InstanceId>,
        limit: i64,
    ) -> Result<Found, Error> {
        let mut query = Query::default();
        query.add("WITH few AS MATERIALIZED (SELECT DISTINCT ids.id FROM (", &[]);
        query.add(&collect.text, &collect.binds);
        query.add(&format!(" LIMIT {COLLECTED_MAX}) AS ids (id)) SELECT i.id AS id FROM (SELECT id FROM few"), &[]);
        if let Some(before) = before {
            query.add(" WHERE id < {}", &[Bind::Id(before.0)]);
        }
        // Newest first and one by one, until the page is full: whatever the planner thinks of the terms, it reads no other rows.
        let each = "SELECT * FROM leveret.instances AS i WHERE i.id = few.id OFFSET 0";
        query.add(&format!(" ORDER BY id DESC) AS few CROSS JOIN LATERAL ({each}) AS i WHERE true"), &[]);
        self.ranges.iter().chain(&self.checks).for_each(|condition| query.and(condition));
        query.add(&format!(" ORDER BY few.id DESC LIMIT {}", limit + 1), &[]);
        let ids: Vec<Id> = query.bound().get_results(conn).await?;
        Ok(whole(ids, limit))
    }

    async fn walked(
        &self,
        conn: &mut Connection,
        by: Option<&Condition>,
        before: Option<InstanceId>,
        limit: i64,
    ) -> Result<Found, Error> {
        let mut query = Query::default();
        query.add("SELECT i.id AS id FROM (SELECT * ", &[]);
        self.examined(&mut query, by, before);
        query.add(&format!(" LIMIT {EXAMINED_MAX}) AS i WHERE true"), &[]);
        self.checks.iter().for_each(|condition| query.and(condition));
        query.add(&format!(" ORDER BY i.id DESC LIMIT {}", limit + 1), &[]);
        let ids: Vec<Id> = query.bound().get_results(conn).await?;
        let found = whole(ids, limit);
        if found.next.is_some() {
            return Ok(found);
        }
        // Fewer than asked for: the walk ended at its bound, or there are no more.
        let mut query = Query::default();
        query.add("SELECT i.id AS id ", &[]);
        self.examined(&mut query, by, before);
        query.add(&format!(" OFFSET {} LIMIT 1", EXAMINED_MAX - 1), &[]);
        let last: Vec<Id> = query.bound().get_results(conn).await?;
        Ok(Found { next: last.into_iter().next().map(|last| InstanceId(last.id)), ..found })
    }

    /// The instances that a walk looks at, newest first.
    fn examined(&self, query: &mut Query, by: Option<&Condition>, before: Option<InstanceId>) {
        query.add("FROM leveret.instances AS i WHERE true", &[]);
        if let Some(before) = before {
            query.add(" AND i.id < {}", &[Bind::Id(before.0)]);
        }
        by.into_iter().chain(&self.ranges).for_each(|condition| query.and(condition));
        query.add(" ORDER BY i.id DESC", &[]);
    }
}

/// A page of at most `limit` of these, and where the next begins.
fn whole(ids: Vec<Id>, limit: i64) -> Found {
    let limit = usize::try_from(limit).unwrap_or_default();
    let more = ids.len() > limit;
    let ids: Vec<InstanceId> = ids.into_iter().take(limit).map(|row| InstanceId(row.id)).collect();
    Found { next: ids.last().copied().filter(|_| more), ids }
}

fn text_is(text: &str) -> (String, Bind) {
    ("text_value = {}".into(), Bind::Text(text.to_owned()))
}

/// A condition for a text. A beginning is compared with `LIKE`, which the indexes with `text_pattern_ops` serve.
fn matched(column: &str, text: &Match) -> (String, Bind) {
    match text {
        Match::Exact(text) => (format!("{column} = {{}}"), Bind::Text(text.clone())),
        Match::Prefix(text) => (format!("{column} LIKE {{}}"), Bind::Text(format!("{}%", escaped(text)))),
    }
}

/// Ids begin with the time of the start.
fn started(when: &When, now: Timestamp) -> Condition {
    let ago = |ago: &std::time::Duration| now.checked_sub(*ago).unwrap_or(Timestamp::UNIX_EPOCH);
    let (operator, at) = match when {
        When::Within(time) => (">=", ago(time)),
        When::Before(time) => ("<", ago(time)),
        When::Than(Order::Less | Order::AtMost, at) => ("<", *at),
        When::Than(Order::Greater | Order::AtLeast, at) => (">=", *at),
    };
    Condition::new(format!("i.id {operator} leveret.uuid_at({{}})"), vec![Bind::Time(at)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::filter::STATUSES;

    /// The text of the walk by each of its terms, and the number of terms that collect.
    fn plan(filter: &str) -> (Vec<String>, usize) {
        let plan = Plan::of(&Filter::read(filter).unwrap(), Timestamp::UNIX_EPOCH);
        let walks = plan.served.iter().filter_map(|served| served.walk.as_ref()).map(Some);
        let text = |by: Option<&Condition>| {
            let mut query = Query::default();
            plan.examined(&mut query, by, None);
            plan.checks.iter().for_each(|condition| query.and(condition));
            let numbers = (1..=query.binds.len()).all(|number| query.text.contains(&format!("${number}")));
            assert!(numbers && !query.text.contains("{}"), "{}", query.text);
            query.text
        };
        (walks.chain([None]).map(text).collect(), plan.served.len())
    }

    #[test]
    fn a_filter_knows_the_statuses_of_instances() {
        assert_eq!(STATUSES, *Status::NAMES);
    }

    #[test]
    fn terms_with_an_index_are_collected_and_the_others_checked() {
        let (walks, served) = plan("status:running definition:order key:PO-* var.amount>1000 started<1h queue:slow");
        assert_eq!((walks.len(), served), (3, 4));
        let by_status = "WHERE true AND i.status = $1 AND i.ended_at IS NULL AND i.id >= leveret.uuid_at($2) ORDER BY";
        let by_definition = "WHERE true AND i.definition = $1 AND i.id >= leveret.uuid_at($2) ORDER BY";
        assert!(walks[0].contains(by_status) && walks[1].contains(by_definition), "{walks:#?}");
        assert!(walks[2].contains("WHERE true AND i.id >= leveret.uuid_at($1) ORDER BY"), "{walks:#?}");
        assert!(walks[1].contains("AND i.status = ANY ($3) AND i.ended_at IS NULL"), "{walks:#?}");
        let (_, served) = plan("incident:4f1c code:handler.busy var.number:7 id:01a20d57-3169-72dc-a704-bc67f6273567");
        assert_eq!(served, 4);
        let (walks, served) = plan("status:running,failed");
        assert!(!walks[0].contains("ended_at") && served == 0, "{walks:#?}");
        let (walks, served) = plan("status:running,suspended definition:order,other");
        assert_eq!((walks.len(), served), (1, 2), "an index of several values has no order of ids");
    }
}

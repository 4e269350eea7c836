//! What was started, what has ended, and whether each did what it had to do, once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::documents::Document;
use crate::store::bench::soak::{self, Ended};
use crate::store::{Connection, Error};

/// Instances that live at once; while there are more, none is started.
const LIVING_MAX: usize = 3_000;
/// A message is sent within this time after the start of its instance, before or after it waits.
const SENT_WITHIN: Duration = Duration::from_secs(3);
/// Problems that are told one by one.
const PROBLEMS_MAX: usize = 20;

/// An instance that has not ended.
struct Living {
    document: usize,
    since: Instant,
}

/// A message on its way.
struct Letter {
    at: Instant,
    name: String,
    key: String,
}

/// The books.
pub(super) struct Ledger {
    documents: Vec<Document>,
    chance: fastrand::Rng,
    /// To be started: the document and the key.
    planned: Vec<(usize, String)>,
    living: HashMap<String, Living>,
    letters: Vec<Letter>,
    /// Whose rows were counted and can go.
    counted: Vec<String>,
    started: u64,
    ended: u64,
    problems: Vec<String>,
}

impl Ledger {
    pub(super) fn new(documents: Vec<Document>, chance: fastrand::Rng) -> Self {
        Self {
            documents,
            chance,
            planned: Vec::new(),
            living: HashMap::new(),
            letters: Vec::new(),
            counted: Vec::new(),
            started: 0,
            ended: 0,
            problems: Vec::new(),
        }
    }

    /// Plans this number of instances, or as many as there is room for.
    pub(super) fn plan(&mut self, count: usize) {
        let room = LIVING_MAX.saturating_sub(self.living.len() + self.planned.len());
        for _ in 0..count.min(room) {
            let document = self.chance.usize(..self.documents.len());
            self.planned.push((document, format!("{:016x}", self.chance.u64(..))));
        }
    }

    /// Starts, sends, and looks at what has ended. After an error all of it is done again: what had been committed is a repetition.
    pub(super) async fn turn(&mut self, conn: &mut Connection) -> Result<(), Error> {
        if !self.planned.is_empty() {
            let (names, keys): (Vec<&str>, Vec<&str>) =
                self.planned.iter().map(|(at, key)| (self.documents[*at].name.as_str(), key.as_str())).unzip();
            soak::start(conn, &names, &keys).await?;
            self.begin();
        }
        let now = Instant::now();
        let (due, later): (Vec<Letter>, Vec<Letter>) =
            std::mem::take(&mut self.letters).into_iter().partition(|letter| letter.at <= now);
        let (names, keys): (Vec<&str>, Vec<&str>) =
            due.iter().map(|letter| (letter.name.as_str(), letter.key.as_str())).unzip();
        let sent = soak::send(conn, &names, &keys).await;
        self.letters = later;
        if sent.is_err() {
            self.letters.extend(due);
        }
        sent?;
        let keys: Vec<&str> = self.living.keys().map(String::as_str).collect();
        let ended = soak::ended(conn, &keys).await?;
        ended.into_iter().for_each(|ended| self.end(ended));
        soak::delete_rows(conn, &self.counted).await?;
        self.counted.clear();
        Ok(())
    }

    fn begin(&mut self) {
        for (document, key) in std::mem::take(&mut self.planned) {
            self.started += 1;
            for name in &self.documents[document].messages {
                let at = Instant::now() + SENT_WITHIN.mul_f64(self.chance.f64());
                self.letters.push(Letter { at, name: name.clone(), key: key.clone() });
            }
            self.living.insert(key, Living { document, since: Instant::now() });
        }
    }

    fn end(&mut self, ended: Ended) {
        let Some(living) = self.living.remove(&ended.key) else { return };
        self.ended += 1;
        let document = &self.documents[living.document];
        if ended.status != "completed" {
            self.problem(format!("`{}` of {} is {}", ended.key, document.name, ended.status));
        } else if ended.rows != document.rows {
            self.problem(format!(
                "`{}` of {} wrote {} rows, not {}",
                ended.key, document.name, ended.rows, document.rows
            ));
        }
        self.counted.push(ended.key);
    }

    fn problem(&mut self, what: String) {
        self.problems.push(what);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.living.is_empty() && self.planned.is_empty() && self.letters.is_empty()
    }

    pub(super) fn started(&self) -> u64 {
        self.started
    }

    pub(super) fn ended(&self) -> u64 {
        self.ended
    }

    pub(super) fn brief(&self) -> String {
        format!(
            "{} instances started, {} ended, {} live, {} problems",
            self.started,
            self.ended,
            self.living.len(),
            self.problems.len()
        )
    }

    /// What did not end, or did not do what it had to do.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut told: Vec<String> = self.problems.iter().take(PROBLEMS_MAX).cloned().collect();
        if self.problems.len() > PROBLEMS_MAX {
            told.push(format!("and {} more of this kind", self.problems.len() - PROBLEMS_MAX));
        }
        for (key, living) in self.living.iter().take(PROBLEMS_MAX) {
            let name = &self.documents[living.document].name;
            told.push(format!("`{key}` of {name} has not ended after {} s", living.since.elapsed().as_secs()));
        }
        if !self.living.is_empty() {
            told.push(format!("{} instances have not ended", self.living.len()));
        }
        told
    }
}

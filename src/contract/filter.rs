//! The filter of instances, one for the API, the command line and bulk operations: `status:running definition:order key:PO-* var.amount>1000
//! started<1h`. All of its terms must hold.
//!
//! Reading is pure: text to terms, or an error that names the place.

mod read;

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

pub use read::FilterError;

/// Bytes of a filter.
pub const FILTER_MAX: usize = 2_000;
/// Terms of a filter.
pub const TERMS_MAX: usize = 20;
/// Alternatives of one term: `status:running,suspended`.
pub const ALTERNATIVES_MAX: usize = 10;

/// The statuses that a filter knows.
pub const STATUSES: [&str; 6] = ["running", "suspended", "compensating", "completed", "failed", "cancelled"];

/// A filter that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// As it was written.
    text: String,
    terms: Vec<Term>,
}

impl Filter {
    /// Reads a filter. An empty one holds for every instance.
    ///
    /// # Errors
    /// The first problem, with its place.
    pub fn read(text: &str) -> Result<Self, FilterError> {
        Ok(Self { text: text.trim().to_owned(), terms: read::terms(text)? })
    }

    /// A filter of these terms, which need no text.
    pub fn of(terms: Vec<Term>) -> Self {
        Self { text: String::new(), terms }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its terms; each must hold.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// Whether it holds for every instance.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Adds another term.
    pub fn and(&mut self, term: Term) {
        self.terms.push(term);
    }
}

/// One condition.
#[derive(Debug, Clone, PartialEq)]
pub enum Term {
    /// `id:`, one of these instances.
    Id(Vec<Uuid>),
    /// `status:`, one of these.
    Status(Vec<String>),
    /// `definition:`, one of these.
    Definition(Vec<String>),
    /// `key:`, the business key.
    Key(Match),
    /// `queue:`, the queue of the step commands.
    Queue(String),
    /// `activity:`, where a branch is.
    Activity(String),
    /// `incident:`, the fingerprint of an open incident.
    Incident(String),
    /// `code:`, the code of an open incident, or of the failure of a failed instance.
    Code(String),
    /// `started<1h`, `started>=2026-01-01`.
    Started(When),
    /// `var.amount>1000`, a search attribute.
    Attribute {
        /// Its name.
        name: String,
        /// What must hold for its value.
        test: Test,
    },
}

/// A text, or the beginning of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// Exactly this.
    Exact(String),
    /// It begins with this.
    Prefix(String),
}

/// A condition for a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// Less than this long ago.
    Within(Duration),
    /// More than this long ago.
    Before(Duration),
    /// Compared with this time.
    Than(Order, Timestamp),
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

impl Order {
    /// The operator of SQL, which is that of the filter.
    pub fn operator(self) -> &'static str {
        match self {
            Order::Less => "<",
            Order::AtMost => "<=",
            Order::Greater => ">",
            Order::AtLeast => ">=",
        }
    }
}

/// A condition for a search attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// Its text is or begins with this.
    Text(Match),
    /// It is this number, or this text: `var.number:4711`.
    NumberOrText(f64, String),
    /// It is this boolean, or this text: `var.paid:true`.
    BoolOrText(bool, String),
    /// It is this time, or this text.
    TimeOrText(Timestamp, String),
    /// Its number is compared with this.
    Number(Order, f64),
    /// Its time is compared with this.
    Time(Order, Timestamp),
}

#[cfg(test)]
mod tests;

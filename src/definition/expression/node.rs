//! The form in which an expression is kept and evaluated: names are sorted into scope and loop variables, functions are
//! found, macros are recognised, constant parts are folded.

use regex_lite::Regex;
use serde_json::Value;

use super::functions::Function;
use super::operators::Operator;

/// One part of an expression.
#[derive(Debug)]
pub(super) enum Node {
    Literal(Value),
    Bytes(Vec<u8>),
    /// A name of the scope.
    Name(String),
    /// The name of a type, unless the scope has that name.
    Kind(&'static str),
    /// A variable of a loop, counted from the outermost.
    Local(usize),
    /// `optional.none()`.
    Nothing,
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Box<[Node; 2]>),
    Or(Box<[Node; 2]>),
    /// `condition ? then : otherwise`.
    If(Box<[Node; 3]>),
    Binary(Operator, Box<[Node; 2]>),
    Member {
        of: Box<Node>,
        name: String,
        absence: Absence,
    },
    /// `has(of.name)`.
    Has {
        of: Box<Node>,
        name: String,
    },
    Index {
        of: Box<[Node; 2]>,
        absence: Absence,
    },
    List(Vec<Element<Node>>),
    Map(Vec<Element<(Node, Node)>>),
    Call(&'static Function, Vec<Node>),
    /// `matches` with a literal pattern.
    Matches(Box<Node>, Box<Pattern>),
    /// `a.?b.orValue(x)` and `a.?b.or(x)`.
    OrValue(Box<[Node; 2]>),
    /// `a.?b.hasValue()`.
    HasValue(Box<Node>),
    Loop(Box<Loop>),
}

/// What a member that is not there means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absence {
    /// An error.
    Fails,
    /// An empty optional, because of a `?` here or further left.
    IsMissing,
}

/// An element of a list or map that is written out.
#[derive(Debug)]
pub(super) enum Element<T> {
    Always(T),
    /// Written with `?`: left out where its value is an empty optional.
    IfThere(T),
}

/// A pattern with the number of its states, which says what matching costs.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) regex: Regex,
    pub(super) states: usize,
}

/// `all`, `exists`, `exists_one`, `map` and `filter`; the element is the innermost local.
#[derive(Debug)]
pub(super) struct Loop {
    pub(super) over: Node,
    pub(super) does: Does,
}

/// What a loop does for each element.
#[derive(Debug)]
pub(super) enum Does {
    All(Node),
    Exists(Node),
    ExistsOne(Node),
    /// `keep` first, if there is one; then the value.
    Collect {
        keep: Option<Node>,
        value: Node,
    },
}

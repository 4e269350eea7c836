//! A compiled expression: names are resolved to the scope or to loop variables, functions are resolved, macros recognised and
//! constant parts folded.

use regex_lite::Regex;
use serde_json::Value;

use super::functions::Function;
use super::operators::Operator;

/// One part of an expression.
#[derive(Debug)]
pub(super) enum Node {
    Literal(Value),
    Uint(u64),
    Bytes(Vec<u8>),
    /// A name of the scope.
    Name(String),
    /// The name of a type, unless the scope has that name.
    Kind(&'static str),
    /// A variable of a loop, counted from the outermost.
    Local(usize),
    /// `optional.none()`.
    Nothing,
    /// `optional.of(x)`.
    There(Box<Node>),
    /// `optional.ofNonZeroValue(x)`.
    ThereUnlessZero(Box<Node>),
    /// `type(x)`.
    TypeOf(Box<Node>),
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
    /// `coalesce(a, b, …)`: the first that is neither null nor empty.
    Coalesce(Vec<Node>),
    /// `a.?b.or(x)`: both optionals.
    OrElse(Box<[Node; 2]>),
    /// `a.?b.orValue(x)`.
    OrValue(Box<[Node; 2]>),
    /// `a.?b.hasValue()`.
    HasValue(Box<Node>),
    /// `a.?b.optMap(x, f)` and `a.?b.optFlatMap(x, f)`, whose body is an optional itself.
    Within {
        parts: Box<[Node; 2]>,
        flat: bool,
    },
    /// `cel.bind(x, value, body)`.
    Bind(Box<[Node; 2]>),
    Loop(Box<Loop>),
}

/// The value of a missing member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absence {
    /// An error, unless it is a member of an optional.
    Fails,
    /// An empty optional, because of a `?`.
    IsMissing,
}

/// An element of a list or map literal.
#[derive(Debug)]
pub(super) enum Element<T> {
    Always(T),
    /// Written with `?`: left out if its value is an empty optional.
    IfThere(T),
}

/// A pattern with the number of its states, which determines the cost of matching.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) regex: Regex,
    pub(super) states: usize,
}

/// A loop over a list or map. Its variables are the innermost locals: the element of a list or key of a map; with `pair` the
/// position and element, or key and value.
#[derive(Debug)]
pub(super) struct Loop {
    pub(super) over: Node,
    pub(super) pair: bool,
    pub(super) does: Does,
}

/// The operation of a loop on each element.
#[derive(Debug)]
pub(super) enum Does {
    All(Node),
    Exists(Node),
    ExistsOne(Node),
    /// `map`, `filter`, `transformList`: `keep` first, if there is one; then the value.
    Collect {
        keep: Option<Node>,
        value: Node,
    },
    /// `transformMap`: the same keys with new values.
    Revalue {
        keep: Option<Node>,
        value: Node,
    },
    /// `transformMapEntry`: maps, merged into one.
    Reenter {
        keep: Option<Node>,
        value: Node,
    },
    /// `sortBy`: the elements, sorted by the value of the node.
    SortBy(Node),
}

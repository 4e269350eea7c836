//! What follows from a condition: that a value is there, is null, or is of one kind. Only tests count that cannot themselves fail on
//! a null, because one side decides `&&` and `||` even if the other fails.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};

use super::kinds::Kinds;
use super::known::Type;
use super::members::Member;

/// The values for which a condition is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// It is true.
    Holds,
    /// It is false.
    Not,
}

/// What follows for one value, which is a name and its members.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// The name, then the names of members.
    pub path: Vec<String>,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum What {
    IsOf(Kinds),
    IsNot(Kinds),
    /// It is a member that is there; it may be null, but the author has thought of that.
    Exists,
    /// Its null is not worth a warning, because the author has thought of it.
    Quiet,
}

/// Conditions that are looked into at most; more are not expected of a person.
const FACTS_MAX: usize = 100;

impl Fact {
    /// The author knows that this value may be null.
    pub fn quiet(path: Vec<String>) -> Self {
        Fact { path, what: What::Quiet }
    }

    /// The same fact about another name for the value.
    pub(super) fn about(&self, path: Vec<String>) -> Self {
        Fact { path, what: self.what }
    }

    /// What the fact says about the value of its name.
    pub fn refine(&self, root: &Type) -> Type {
        refine(root, self.path.get(1..).unwrap_or_default(), self.what)
    }
}

fn refine(value: &Type, path: &[String], what: What) -> Type {
    let Some((name, rest)) = path.split_first() else {
        return match what {
            What::IsOf(kinds) => value.only(kinds),
            What::IsNot(kinds) => value.without(kinds),
            What::Exists | What::Quiet => value.quiet(),
        };
    };
    // A test of a member can only succeed if the value around it is a map.
    let proves_map = match what {
        What::IsOf(kinds) => !kinds.has(Kinds::ABSENT),
        What::IsNot(kinds) => Kinds::ABSENT.within(kinds),
        What::Exists => true,
        What::Quiet => false,
    };
    let around = if proves_map { value.only(Kinds::MAP.or(Kinds::OPTIONAL)) } else { value.clone() };
    match around.shape().and_then(|shape| shape.members.get(name)) {
        Some(member) => {
            let is = refine(&member.is, rest, what);
            around.with_member(name, Member { is, always: member.always || proves_map })
        }
        None if proves_map && around.kinds().has(Kinds::MAP) => {
            around.with_member(name, Member { is: refine(&Type::unknown(), rest, what), always: true })
        }
        None => around,
    }
}

/// What follows from a condition.
pub(super) fn facts(tree: &IdedExpr, when: When) -> Vec<Fact> {
    let mut found = Vec::new();
    collect(tree, when, &mut found);
    found.truncate(FACTS_MAX);
    found
}

fn collect(tree: &IdedExpr, when: When, found: &mut Vec<Fact>) {
    if found.len() > FACTS_MAX {
        return;
    }
    match &tree.expr {
        Expr::Select(select) if select.test => {
            if let (Some(mut path), When::Holds) = (path(&select.operand), when) {
                path.push(select.field.clone());
                found.push(Fact { path, what: What::Exists });
            }
        }
        Expr::Call(call) => match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_NOT, [of]) => collect(of, flipped(when), found),
            (operators::LOGICAL_AND, [left, right]) if when == When::Holds => {
                collect(left, when, found);
                collect(right, when, found);
            }
            (operators::LOGICAL_OR, [left, right]) if when == When::Not => {
                collect(left, when, found);
                collect(right, when, found);
            }
            (operators::EQUALS, [left, right]) => compared(left, right, when, found),
            (operators::NOT_EQUALS, [left, right]) => compared(left, right, flipped(when), found),
            (operators::IN, [element, list]) if when == When::Holds => contained(element, list, found),
            ("hasValue", []) if when == When::Holds => found.extend(target(call).and_then(path).map(present)),
            _ => {}
        },
        Expr::Unspecified
        | Expr::Comprehension(_)
        | Expr::Ident(_)
        | Expr::Literal(_)
        | Expr::List(_)
        | Expr::Map(_)
        | Expr::Select(_)
        | Expr::Struct(_) => {}
    }
}

fn flipped(when: When) -> When {
    match when {
        When::Holds => When::Not,
        When::Not => When::Holds,
    }
}

fn target(call: &CallExpr) -> Option<&IdedExpr> {
    call.target.as_deref()
}

fn present(path: Vec<String>) -> Fact {
    Fact { path, what: What::IsNot(Kinds::ABSENT) }
}

/// `a == b`, which is true or false.
fn compared(left: &IdedExpr, right: &IdedExpr, when: When, found: &mut Vec<Fact>) {
    for (one, other) in [(left, right), (right, left)] {
        let Some(kinds) = literal(other) else { continue };
        if let Some(path) = path(one) {
            match (kinds == Kinds::NULL, when) {
                (true, When::Holds) => found.push(Fact { path, what: What::IsOf(Kinds::ABSENT.or(Kinds::OPTIONAL)) }),
                (true, When::Not) | (false, When::Holds) => found.push(present(path)),
                (false, When::Not) => {}
            }
        }
    }
    for (one, other) in [(left, right), (right, left)] {
        let (Expr::Call(call), Some(kinds)) = (&one.expr, type_name(other)) else { continue };
        let ([of], "type") = (call.args.as_slice(), call.func_name.as_str()) else { continue };
        let what = if when == When::Holds { What::IsOf(kinds) } else { What::IsNot(kinds) };
        found.extend(path(of).map(|path| Fact { path, what }));
    }
}

/// `a in b`, which is true.
fn contained(element: &IdedExpr, list: &IdedExpr, found: &mut Vec<Fact>) {
    if let (Expr::Literal(LiteralValue::String(name)), Some(mut path)) = (&element.expr, path(list)) {
        path.push(name.inner().to_owned());
        found.push(Fact { path, what: What::Exists });
    }
    if let (Expr::List(list), Some(path)) = (&list.expr, path(element))
        && list.elements.iter().all(|item| literal(item).is_some_and(|kinds| kinds != Kinds::NULL))
    {
        found.push(present(path));
    }
}

/// The kind of a literal.
fn literal(tree: &IdedExpr) -> Option<Kinds> {
    let Expr::Literal(literal) = &tree.expr else { return None };
    Some(match literal {
        LiteralValue::Null => Kinds::NULL,
        LiteralValue::Boolean(_) => Kinds::BOOL,
        LiteralValue::Int(_) => Kinds::INT,
        LiteralValue::UInt(_) => Kinds::UINT,
        LiteralValue::Double(_) => Kinds::DOUBLE,
        LiteralValue::String(_) => Kinds::TEXT,
        LiteralValue::Bytes(_) => Kinds::BYTES,
    })
}

/// The kinds that the name of a type means.
fn type_name(tree: &IdedExpr) -> Option<Kinds> {
    let Expr::Ident(name) = &tree.expr else { return None };
    Some(match name.as_str() {
        "bool" => Kinds::BOOL,
        "int" => Kinds::INT,
        "uint" => Kinds::UINT,
        "double" => Kinds::DOUBLE,
        "string" => Kinds::TEXT,
        "bytes" => Kinds::BYTES,
        "list" => Kinds::LIST,
        "map" => Kinds::MAP,
        "null_type" => Kinds::ABSENT,
        "type" => Kinds::TYPE,
        "optional_type" => Kinds::OPTIONAL,
        _ => return None,
    })
}

/// A name with members: `a.b["c"].?d`.
pub(super) fn path(tree: &IdedExpr) -> Option<Vec<String>> {
    match &tree.expr {
        Expr::Ident(name) => Some(vec![name.trim_start_matches('.').to_owned()]),
        Expr::Select(select) if !select.test => {
            let mut path = path(&select.operand)?;
            path.push(select.field.clone());
            Some(path)
        }
        Expr::Call(call) => match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::INDEX | operators::OPT_INDEX | operators::OPT_SELECT, [of, key]) => {
                let Expr::Literal(LiteralValue::String(key)) = &key.expr else { return None };
                let mut path = path(of)?;
                path.push(key.inner().to_owned());
                Some(path)
            }
            ("dyn", [of]) => path(of),
            _ => None,
        },
        _ => None,
    }
}

/// Every value that a condition tests somewhere, whatever follows from it.
pub(super) fn tested(tree: &IdedExpr) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut open = vec![tree];
    while let Some(part) = open.pop() {
        for when in [When::Holds, When::Not] {
            found.extend(facts(part, when).into_iter().map(|fact| fact.path));
        }
        if let Expr::Call(call) = &part.expr {
            open.extend(call.target.iter().map(|target| &**target).chain(&call.args));
        }
        if found.len() > FACTS_MAX {
            break;
        }
    }
    found.sort();
    found.dedup();
    found
}

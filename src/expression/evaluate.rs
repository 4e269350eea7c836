//! Evaluates the nodes of an expression with a scope and a budget.

use std::rc::Rc;

use super::Scope;
use super::bounds::{Budget, EvalError};
use super::collections::{Entries, Key, Map};
use super::functions;
use super::node::{Absence, Element, Node};
use super::operators::{self, Operator};
use super::value::Val;

pub(super) type Answer<'a> = Result<Val<'a>, EvalError>;

/// One evaluation.
pub(super) struct Evaluation<'a, 'b> {
    scope: &'a Scope<'a>,
    pub(super) budget: &'b mut Budget,
    /// The variables of the enclosing loops and bindings, outermost first.
    pub(super) locals: Vec<Val<'a>>,
}

impl<'a, 'b> Evaluation<'a, 'b> {
    pub(super) fn new(scope: &'a Scope<'a>, budget: &'b mut Budget) -> Self {
        Self { scope, budget, locals: Vec::new() }
    }

    pub(super) fn value(&mut self, node: &'a Node) -> Answer<'a> {
        self.budget.step()?;
        match node {
            Node::Literal(value) => Ok(Val::from_json(value)),
            Node::Uint(value) => Ok(Val::Uint(*value)),
            Node::Bytes(bytes) => Ok(Val::Bytes(Rc::from(bytes.as_slice()))),
            Node::Name(name) => find(self.scope, name).ok_or_else(|| unavailable(name)),
            Node::Kind(kind) => Ok(find(self.scope, kind).unwrap_or(Val::Kind(kind))),
            Node::Local(at) => self.locals.get(*at).cloned().ok_or_else(|| unavailable("a loop variable")),
            Node::Nothing => Ok(Val::Missing),
            Node::There(of) => {
                self.budget.build_values(1)?;
                self.value(of).map(Val::there)
            }
            Node::ThereUnlessZero(of) => {
                let of = self.value(of)?;
                Ok(if of.is_zero() { Val::Missing } else { of.there() })
            }
            Node::TypeOf(of) => self.value(of).map(|of| Val::Kind(of.kind())),
            Node::Not(of) => Ok(Val::Bool(!self.truth(of, "`!`")?)),
            Node::Negate(of) => operators::negate(&self.present(of)?),
            Node::And(sides) => self.logic(sides, false),
            Node::Or(sides) => self.logic(sides, true),
            Node::If(parts) => {
                let chosen = if self.truth(&parts[0], "`?:`")? { &parts[1] } else { &parts[2] };
                self.value(chosen)
            }
            Node::Binary(operator, sides) => self.binary(*operator, sides),
            Node::Member { of, name, absence } => {
                let of = self.value(of)?;
                member(&of, name, *absence)
            }
            Node::Has { of, name } => self.has(of, name),
            Node::Index { of, absence } => self.index(of, *absence),
            Node::List(elements) => self.list(elements),
            Node::Map(entries) => self.map(entries),
            Node::Call(function, args) => {
                let args: Vec<_> = args.iter().map(|arg| self.present(arg)).collect::<Result<_, _>>()?;
                function.call(&args, self.budget)
            }
            Node::Matches(of, pattern) => {
                let of = self.present(of)?;
                functions::matches(&of, pattern, self.budget)
            }
            Node::OrElse(sides) => match self.value(&sides[0])? {
                empty if empty.is_empty() => self.value(&sides[1]),
                there => Ok(there),
            },
            Node::OrValue(sides) => self.first_filled(sides.as_slice()),
            Node::Coalesce(values) => Ok(match self.first_filled(values)?.settled() {
                Val::Missing => Val::Null,
                value => value.clone(),
            }),
            Node::HasValue(of) => Ok(Val::Bool(!matches!(self.value(of)?, Val::Missing))),
            Node::Within { parts, flat } => self.within(parts, *flat),
            Node::Bind(parts) => {
                let value = self.value(&parts[0])?;
                self.with_local(value, &parts[1])
            }
            Node::Loop(each) => self.run_loop(each),
        }
    }

    /// The first value that is neither null nor empty, out of its optional; else that of the last node, as it is.
    fn first_filled(&mut self, nodes: &'a [Node]) -> Answer<'a> {
        let Some((last, before)) = nodes.split_last() else { return Ok(Val::Null) };
        for node in before {
            match self.value(node)? {
                empty if empty.is_empty() => {}
                Val::There(held) => return Ok(held.as_ref().clone()),
                there => return Ok(there),
            }
        }
        self.value(last)
    }

    /// The value of a node, which must not be an empty optional.
    pub(super) fn present(&mut self, node: &'a Node) -> Answer<'a> {
        match self.value(node)? {
            Val::Missing => Err(EvalError::invalid("the optional is empty; give it a default with orValue(…)")),
            Val::There(held) => Ok(held.settled().clone()),
            there => Ok(there),
        }
    }

    pub(super) fn truth(&mut self, node: &'a Node, of: &str) -> Result<bool, EvalError> {
        match self.value(node)?.settled() {
            Val::Bool(value) => Ok(*value),
            other => Err(EvalError::invalid(format!("{of} needs a boolean, not {}", other.what()))),
        }
    }

    /// One `false` decides `&&`, one `true` decides `||`, even if the other side fails.
    fn logic(&mut self, sides: &'a [Node; 2], decides: bool) -> Answer<'a> {
        let sign = if decides { "`||`" } else { "`&&`" };
        let left = match self.truth(&sides[0], sign) {
            Ok(value) if value == decides => return Ok(Val::Bool(decides)),
            Err(EvalError::Bound(why)) => return Err(EvalError::Bound(why)),
            other => other,
        };
        if self.truth(&sides[1], sign)? == decides {
            return Ok(Val::Bool(decides));
        }
        left.map(Val::Bool)
    }

    fn binary(&mut self, operator: Operator, sides: &'a [Node; 2]) -> Answer<'a> {
        let (left, right) = if matches!(operator, Operator::Equal | Operator::Unequal) {
            (self.value(&sides[0])?, self.value(&sides[1])?)
        } else {
            (self.present(&sides[0])?, self.present(&sides[1])?)
        };
        operator.apply(&left, &right, self.budget)
    }

    fn has(&mut self, of: &'a Node, name: &str) -> Answer<'a> {
        match self.value(of)?.settled() {
            Val::Map(map) => Ok(Val::Bool(map.get(name).is_some())),
            Val::Null | Val::Missing => Ok(Val::Bool(false)),
            other => Err(EvalError::invalid(format!("`.{name}` needs a map, not {}", other.what()))),
        }
    }

    fn within(&mut self, parts: &'a [Node; 2], flat: bool) -> Answer<'a> {
        let held = match self.value(&parts[0])? {
            empty if empty.is_empty() => return Ok(Val::Missing),
            Val::There(held) => held.as_ref().clone(),
            other => other,
        };
        let made = self.with_local(held, &parts[1])?;
        Ok(if flat { made } else { made.there() })
    }

    fn with_local(&mut self, local: Val<'a>, body: &'a Node) -> Answer<'a> {
        self.locals.push(local);
        let answer = self.value(body);
        self.locals.pop();
        answer
    }

    fn index(&mut self, of: &'a [Node; 2], absence: Absence) -> Answer<'a> {
        let (of, key) = (self.value(&of[0])?, self.present(&of[1])?);
        optionally(&of, absence, |of, absence| {
            let found = match (of, &key) {
                (Val::List(list), Val::Int(at)) => usize::try_from(*at).ok().and_then(|at| list.get(at)),
                (Val::List(list), Val::Uint(at)) => usize::try_from(*at).ok().and_then(|at| list.get(at)),
                (Val::List(list), Val::Double(at)) if at.fract() == 0.0 && *at >= 0.0 => list.get(*at as usize),
                (Val::Map(map), key) => Key::sought(key).and_then(|key| map.find(key)),
                (Val::Null, _) if absence == Absence::IsMissing => None,
                _ => return Err(EvalError::invalid(format!("{} cannot be indexed with {}", of.what(), key.what()))),
            };
            if found.is_none() && absence == Absence::Fails {
                let list = matches!(of, Val::List(_));
                let why =
                    if list { "the list has no element at this position" } else { "the map does not have this key" };
                return Err(EvalError::invalid(why));
            }
            Ok(found)
        })
    }

    fn list(&mut self, elements: &'a [Element<Node>]) -> Answer<'a> {
        self.budget.build_values(elements.len())?;
        let mut list = Vec::with_capacity(elements.len());
        for element in elements {
            match element {
                Element::Always(node) => list.push(self.value(node)?),
                Element::IfThere(node) => match self.value(node)? {
                    Val::Missing => {}
                    Val::There(held) => list.push(held.as_ref().clone()),
                    there => list.push(there),
                },
            }
        }
        Ok(Val::list(list))
    }

    fn map(&mut self, entries: &'a [Element<(Node, Node)>]) -> Answer<'a> {
        self.budget.build_map(entries.len())?;
        let mut map = Entries::default();
        for entry in entries {
            let (Element::Always((key, value)) | Element::IfThere((key, value))) = entry;
            let key = self.present(key)?;
            let key = Key::of(&key)?;
            self.budget.build(key.len())?;
            let value = match (entry, self.value(value)?) {
                (Element::IfThere(_), Val::Missing) => continue,
                (Element::IfThere(_), Val::There(held)) => held.as_ref().clone(),
                (_, value) => value,
            };
            if map.insert(key, value) {
                return Err(EvalError::invalid("duplicate key in a map"));
            }
        }
        Ok(Val::map(map))
    }
}

fn unavailable(name: &str) -> EvalError {
    EvalError::invalid(format!("`{name}` is not available here"))
}

/// The value of a name: a reserved name, else a variable, else a property of the input.
fn find<'a>(scope: &'a Scope<'a>, name: &str) -> Option<Val<'a>> {
    match name {
        "now" => return Some(Val::Timestamp(scope.now)),
        "input" => return Some(Val::Map(Map::Json(scope.input))),
        _ => {}
    }
    let reserved = scope.reserved.iter().find(|(reserved, _)| *reserved == name).map(|(_, value)| value.as_ref());
    reserved.or_else(|| scope.variables.get(name)).or_else(|| scope.input.get(name)).map(Val::from_json)
}

fn member<'a>(of: &Val<'a>, name: &str, absence: Absence) -> Answer<'a> {
    // The most frequent case.
    if let (Val::Map(map), Absence::Fails) = (of, absence) {
        return map.get(name).ok_or_else(|| no_member(name));
    }
    optionally(of, absence, |of, absence| match of {
        Val::Map(map) => match map.get(name) {
            None if absence == Absence::Fails => Err(no_member(name)),
            found => Ok(found),
        },
        Val::Null if absence == Absence::IsMissing => Ok(None),
        other => Err(EvalError::invalid(format!("`.{name}` needs a map, not {}", other.what()))),
    })
}

fn no_member(name: &str) -> EvalError {
    EvalError::invalid(format!("no member `{name}`"))
}

/// Looks up a part of a value; a part of an optional is an optional.
fn optionally<'a>(
    of: &Val<'a>,
    absence: Absence,
    find: impl FnOnce(&Val<'a>, Absence) -> Result<Option<Val<'a>>, EvalError>,
) -> Answer<'a> {
    let (of, absence) = match of {
        Val::Missing => return Ok(Val::Missing),
        Val::There(_) => (of.settled(), Absence::IsMissing),
        of => (of, absence),
    };
    if matches!(of, Val::Missing) {
        return Ok(Val::Missing);
    }
    Ok(match (find(of, absence)?, absence) {
        (Some(found), Absence::IsMissing) => found.there(),
        (Some(found), Absence::Fails) => found,
        (None, _) => Val::Missing,
    })
}

//! Walks the nodes of an expression with a scope and a budget.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::Scope;
use super::bounds::{Budget, Fail};
use super::functions;
use super::node::{Absence, Does, Element, Loop, Node};
use super::operators::{self, Operator};
use super::value::{Map, Val};

type Answer<'a> = Result<Val<'a>, Fail>;

/// One evaluation.
pub(super) struct Evaluation<'a, 'b> {
    scope: &'a Scope<'a>,
    budget: &'b mut Budget,
    /// The elements the loops around are at, outermost first.
    locals: Vec<Val<'a>>,
}

impl<'a, 'b> Evaluation<'a, 'b> {
    pub(super) fn new(scope: &'a Scope<'a>, budget: &'b mut Budget) -> Self {
        Self { scope, budget, locals: Vec::new() }
    }

    pub(super) fn value(&mut self, node: &'a Node) -> Answer<'a> {
        self.budget.step()?;
        match node {
            Node::Literal(value) => Ok(Val::from_json(value)),
            Node::Bytes(bytes) => Ok(Val::Bytes(Rc::from(bytes.as_slice()))),
            Node::Name(name) => find(self.scope, name).ok_or_else(|| Fail::wrong(format!("there is no `{name}` here"))),
            Node::Kind(kind) => Ok(find(self.scope, kind).unwrap_or(Val::Kind(kind))),
            Node::Local(at) => self.locals.get(*at).cloned().ok_or_else(|| Fail::wrong("a loop lost its variable")),
            Node::Nothing => Ok(Val::Missing),
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
            Node::OrValue(sides) => match self.value(&sides[0])? {
                Val::Missing => self.value(&sides[1]),
                there => Ok(there),
            },
            Node::HasValue(of) => Ok(Val::Bool(!matches!(self.value(of)?, Val::Missing))),
            Node::Loop(each) => self.run_loop(each),
        }
    }

    /// A value that must not be an empty optional.
    fn present(&mut self, node: &'a Node) -> Answer<'a> {
        match self.value(node)? {
            Val::Missing => Err(Fail::wrong("an optional value that is needed is missing; orValue(…) gives another")),
            there => Ok(there),
        }
    }

    fn truth(&mut self, node: &'a Node, of: &str) -> Result<bool, Fail> {
        match self.value(node)? {
            Val::Bool(value) => Ok(value),
            other => Err(Fail::wrong(format!("{of} needs a boolean, not {}", other.what()))),
        }
    }

    /// `&&` is decided by one `false`, `||` by one `true`, whatever the other side fails with.
    fn logic(&mut self, sides: &'a [Node; 2], decides: bool) -> Answer<'a> {
        let sign = if decides { "`||`" } else { "`&&`" };
        let left = match self.truth(&sides[0], sign) {
            Ok(value) if value == decides => return Ok(Val::Bool(decides)),
            Err(Fail::Bound(why)) => return Err(Fail::Bound(why)),
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
        match self.value(of)? {
            Val::Map(map) => Ok(Val::Bool(map.get(name).is_some())),
            Val::Null | Val::Missing => Ok(Val::Bool(false)),
            other => Err(Fail::wrong(format!("`.{name}` needs a map, not {}", other.what()))),
        }
    }

    fn index(&mut self, of: &'a [Node; 2], absence: Absence) -> Answer<'a> {
        let (of, key) = (self.value(&of[0])?, self.value(&of[1])?);
        let found = match (&of, &key) {
            (Val::List(list), Val::Int(at)) => usize::try_from(*at).ok().and_then(|at| list.get(at)),
            (Val::List(list), Val::Double(at)) if at.fract() == 0.0 && *at >= 0.0 => list.get(*at as usize),
            (Val::Map(map), Val::Text(key)) => map.get(key.as_str()),
            (Val::Missing, _) => return Ok(Val::Missing),
            (Val::Null, _) if absence == Absence::IsMissing => return Ok(Val::Missing),
            _ => return Err(Fail::wrong(format!("{} has no element at {}", of.what(), key.what()))),
        };
        match (found, absence) {
            (Some(value), _) => Ok(value),
            (None, Absence::IsMissing) => Ok(Val::Missing),
            (None, Absence::Fails) if matches!(of, Val::List(_)) => Err(Fail::wrong("a list has no element there")),
            (None, Absence::Fails) => Err(Fail::wrong("a map has no member of that name")),
        }
    }

    fn list(&mut self, elements: &'a [Element<Node>]) -> Answer<'a> {
        self.budget.build_values(elements.len())?;
        let mut list = Vec::with_capacity(elements.len());
        for element in elements {
            match element {
                Element::Always(node) => list.push(self.value(node)?),
                Element::IfThere(node) => match self.value(node)? {
                    Val::Missing => {}
                    there => list.push(there),
                },
            }
        }
        Ok(Val::list(list))
    }

    fn map(&mut self, entries: &'a [Element<(Node, Node)>]) -> Answer<'a> {
        self.budget.build_map(entries.len())?;
        let mut map = BTreeMap::new();
        for entry in entries {
            let (Element::Always((key, value)) | Element::IfThere((key, value))) = entry;
            let key = match self.present(key)? {
                Val::Text(key) => key.as_str().to_owned(),
                other => return Err(Fail::wrong(format!("keys of a map are texts, not {}", other.what()))),
            };
            self.budget.build(key.len())?;
            let value = self.value(value)?;
            if matches!((entry, &value), (Element::IfThere(_), Val::Missing)) {
                continue;
            }
            if map.insert(key, value).is_some() {
                return Err(Fail::wrong("a map has the same key twice"));
            }
        }
        Ok(Val::map(map))
    }

    fn run_loop(&mut self, each: &'a Loop) -> Answer<'a> {
        let over: Vec<Val<'a>> = match self.present(&each.over)? {
            Val::List(list) => {
                self.budget.build_values(list.len())?;
                list.iter().collect()
            }
            Val::Map(map) => {
                self.budget.build_values(map.len())?;
                map.keys().into_iter().map(|key| Val::text(key, self.budget)).collect::<Result<_, _>>()?
            }
            other => return Err(Fail::wrong(format!("a loop needs a list or a map, not {}", other.what()))),
        };
        match &each.does {
            Does::All(holds) => self.decide(over, holds, false),
            Does::Exists(holds) => self.decide(over, holds, true),
            Does::ExistsOne(holds) => {
                let mut count = 0;
                for element in over {
                    count += usize::from(self.with_local(element, |all| all.truth(holds, "`exists_one`"))?);
                }
                Ok(Val::Bool(count == 1))
            }
            Does::Collect { keep, value } => self.collect(over, keep.as_ref(), value),
        }
    }

    fn with_local<T>(&mut self, element: Val<'a>, run: impl FnOnce(&mut Self) -> Result<T, Fail>) -> Result<T, Fail> {
        self.locals.push(element);
        let answer = run(self);
        self.locals.pop();
        answer
    }

    /// Like `&&` and `||` over all elements: one that decides outweighs failures of others.
    fn decide(&mut self, over: Vec<Val<'a>>, holds: &'a Node, decides: bool) -> Answer<'a> {
        let name = if decides { "`exists`" } else { "`all`" };
        let mut failed = None;
        for element in over {
            match self.with_local(element, |all| all.truth(holds, name)) {
                Ok(value) if value == decides => return Ok(Val::Bool(decides)),
                Ok(_) => {}
                Err(Fail::Bound(why)) => return Err(Fail::Bound(why)),
                Err(why) => failed = failed.or(Some(why)),
            }
        }
        failed.map_or(Ok(Val::Bool(!decides)), Err)
    }

    fn collect(&mut self, over: Vec<Val<'a>>, keep: Option<&'a Node>, value: &'a Node) -> Answer<'a> {
        self.budget.build_values(over.len())?;
        let mut list = Vec::new();
        for element in over {
            let kept = self.with_local(element, |all| {
                if let Some(keep) = keep
                    && !all.truth(keep, "`filter`")?
                {
                    return Ok(None);
                }
                all.value(value).map(Some)
            })?;
            list.extend(kept);
        }
        Ok(Val::list(list))
    }
}

/// What a name means: what the engine has put there, else a variable, else a property of the input.
fn find<'a>(scope: &'a Scope<'a>, name: &str) -> Option<Val<'a>> {
    match name {
        "now" => return Some(Val::Moment(scope.now)),
        "input" => return Some(Val::Map(Map::Json(scope.input))),
        _ => {}
    }
    let reserved = scope.reserved.iter().find(|(reserved, _)| *reserved == name).map(|(_, value)| value);
    reserved.or_else(|| scope.variables.get(name)).or_else(|| scope.input.get(name)).map(Val::from_json)
}

fn member<'a>(of: &Val<'a>, name: &str, absence: Absence) -> Answer<'a> {
    match of {
        Val::Map(map) => match (map.get(name), absence) {
            (Some(value), _) => Ok(value),
            (None, Absence::IsMissing) => Ok(Val::Missing),
            (None, Absence::Fails) => Err(Fail::wrong(format!("there is no member `{name}`"))),
        },
        Val::Missing => Ok(Val::Missing),
        Val::Null if absence == Absence::IsMissing => Ok(Val::Missing),
        other => Err(Fail::wrong(format!("`.{name}` needs a map, not {}", other.what()))),
    }
}

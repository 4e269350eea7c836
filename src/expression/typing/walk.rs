//! Infers the type of every part of an expression, and finds the parts that cannot work.

use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue, MapExpr, operators};

use super::facts::{Fact, When, facts};
use super::finding::Finding;
use super::kinds::Kinds;
use super::known::Type;
use super::members::{Member, Rest, Shape};
use super::written::Written;
use super::{Known, Work};
use crate::expression::compile::{KINDS, long_kind, operator};

/// The inference of one expression.
pub(super) struct Inference<'a> {
    known: &'a dyn Known,
    work: &'a mut Work,
    /// Names of the scope of which more is known here.
    seen: Vec<(String, Type)>,
    /// The variables of the enclosing loops and bindings, outermost first.
    pub(super) locals: Vec<(String, Type)>,
    /// The text, once something was found.
    pub(super) written: Option<&'a Written<'a>>,
    pub(super) findings: Vec<Finding>,
    /// Values whose null was reported: once is enough.
    pub(super) told: Vec<Vec<String>>,
}

impl<'a> Inference<'a> {
    pub(super) fn new(known: &'a dyn Known, work: &'a mut Work, written: Option<&'a Written<'a>>) -> Self {
        let (seen, locals, findings, told) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { known, work, seen, locals, written, findings, told }
    }

    pub(super) fn value(&mut self, tree: &IdedExpr) -> Type {
        if !self.work.spend(1) {
            return Type::unknown();
        }
        match &tree.expr {
            Expr::Unspecified | Expr::Struct(_) => Type::unknown(),
            Expr::Literal(literal) => of_literal(literal),
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) if select.test => self.has(tree, &select.operand, &select.field),
            Expr::Select(_) if long_kind(tree).is_some() => Type::of(Kinds::TYPE),
            Expr::Select(select) => self.member(tree, &select.operand, &select.field),
            Expr::List(list) => {
                let mut element = Type::of(Kinds::NONE);
                for (at, item) in list.elements.iter().enumerate() {
                    let is = self.value(item);
                    let is = if list.optional_indices.contains(&at) { self.unwrapped(&is) } else { is };
                    element = element.join(&is);
                }
                Type::list(element)
            }
            Expr::Map(map) => self.map(map),
            Expr::Call(call) => match &call.target {
                Some(target) => self.method(tree, target, &call.func_name, &call.args),
                None => self.call(tree, &call.func_name, &call.args),
            },
            Expr::Comprehension(each) => self.expanded(tree, each),
        }
    }

    /// The value of an optional, or the value itself, if it is there.
    pub(super) fn unwrapped(&self, is: &Type) -> Type {
        match is.kinds().has(Kinds::OPTIONAL) && !is.is_unknown() {
            true => is.without(Kinds::OPTIONAL).join(&is.held()),
            false => is.clone(),
        }
    }

    fn name(&self, name: &str) -> Type {
        let name = name.trim_start_matches('.');
        if let Some((_, is)) = self.locals.iter().rev().find(|(local, _)| local == name) {
            return is.clone();
        }
        if let Some((_, is)) = self.seen.iter().rev().find(|(seen, _)| seen == name) {
            return is.clone();
        }
        match self.known.type_of(name) {
            Some(is) => is,
            None if KINDS.contains(&name) => Type::of(Kinds::TYPE),
            None => Type::unknown(),
        }
    }

    fn map(&mut self, map: &MapExpr) -> Type {
        let mut shape = Shape::new(Default::default(), Rest::Closed);
        for entry in &map.entries {
            let EntryExpr::MapEntry(entry) = &entry.expr else { continue };
            self.value(&entry.key);
            let is = self.value(&entry.value);
            let is = if entry.optional { self.unwrapped(&is) } else { is };
            match &entry.key.expr {
                Expr::Literal(LiteralValue::String(key)) => {
                    // The entry of an empty optional leaves the place to another one with its key.
                    let before = shape.members.remove(key.inner());
                    let always = !entry.optional || before.as_ref().is_some_and(|before| before.always);
                    let is = before.map_or(is.clone(), |before| before.is.join(&is));
                    shape.members.insert(key.inner().to_owned(), Member { is, always });
                }
                _ => shape.rest = Rest::Open,
            }
        }
        if shape.rest == Rest::Open {
            // A computed key may be any of the others.
            shape.members.values_mut().for_each(|member| member.is = Type::unknown());
        }
        Type::map(shape)
    }

    fn call(&mut self, tree: &IdedExpr, name: &str, args: &[IdedExpr]) -> Type {
        match (name, args) {
            (operators::LOGICAL_AND, [left, right]) => self.logic(left, right, When::Holds),
            (operators::LOGICAL_OR, [left, right]) => self.logic(left, right, When::Not),
            (operators::CONDITIONAL, [condition, then, otherwise]) => {
                self.truth(condition);
                let held = self.under(&facts(condition, When::Holds), |here| here.value(then));
                held.join(&self.under(&facts(condition, When::Not), |here| here.value(otherwise)))
            }
            (operators::LOGICAL_NOT, [of]) => {
                self.truth(of);
                Type::of(Kinds::BOOL)
            }
            (operators::NEGATE, [of]) => {
                let wanted = Kinds::INT.or(Kinds::DOUBLE).or(Kinds::SPAN);
                let is = self.value(of).settled();
                self.needs(of, tree, &is, wanted);
                Type::of(is.kinds().and(wanted))
            }
            (operators::INDEX, [of, key]) => self.index(tree, of, key),
            (operators::OPT_INDEX | operators::OPT_SELECT, [of, key]) => self.maybe_index(tree, of, key),
            ("dyn", [of]) => {
                self.value(of);
                Type::unknown()
            }
            ("type", [of]) => {
                self.value(of);
                Type::of(Kinds::TYPE)
            }
            ("coalesce", args) => self.coalesce(args),
            _ => match (operator(name), args) {
                (Some(operator), [left, right]) => self.binary(operator, tree, left, right),
                _ => self.function(tree, name, args),
            },
        }
    }

    /// `&&` for `Holds`, `||` for `Not`: one side decides, whatever the other is, so each may rely on what the other tests.
    fn logic(&mut self, left: &IdedExpr, right: &IdedExpr, when: When) -> Type {
        self.under(&facts(right, when), |here| here.truth(left));
        self.under(&facts(left, when), |here| here.truth(right));
        Type::of(Kinds::BOOL)
    }

    /// Runs with more facts.
    pub(super) fn under<T>(&mut self, facts: &[Fact], run: impl FnOnce(&mut Self) -> T) -> T {
        let (seen, locals) = (self.seen.len(), self.locals.clone());
        for fact in facts {
            self.learn(fact);
        }
        let answer = run(self);
        self.seen.truncate(seen);
        self.locals = locals;
        answer
    }

    pub(super) fn learn(&mut self, fact: &Fact) {
        let Some(root) = fact.path.first() else { return };
        if let Some(at) = self.locals.iter().rposition(|(local, _)| local == root) {
            self.locals[at].1 = fact.refine(&self.locals[at].1);
            return;
        }
        for fact in [Some(fact.clone()), self.twin(fact)].into_iter().flatten() {
            let is = self.name(&fact.path[0]);
            if self.work.spend(1 + is.weight() / 8) {
                self.seen.push((fact.path[0].clone(), fact.refine(&is)));
            }
        }
    }

    /// The same fact by the other name of an input property: `input.x` and `x`.
    fn twin(&self, fact: &Fact) -> Option<Fact> {
        let root = fact.path.first()?;
        if root == "input" {
            let property = fact.path.get(1).filter(|property| self.known.is_input(property))?;
            return Some(fact.about([vec![property.clone()], fact.path[2..].to_vec()].concat()));
        }
        self.known.is_input(root).then(|| fact.about([vec!["input".to_owned()], fact.path.clone()].concat()))
    }
}

fn of_literal(literal: &LiteralValue) -> Type {
    match literal {
        LiteralValue::Null => Type::of(Kinds::NULL),
        LiteralValue::Boolean(_) => Type::of(Kinds::BOOL),
        LiteralValue::Int(_) => Type::of(Kinds::INT),
        LiteralValue::UInt(_) => Type::of(Kinds::UINT),
        LiteralValue::Double(_) => Type::of(Kinds::DOUBLE),
        LiteralValue::String(text) => Type::text(text.inner()),
        LiteralValue::Bytes(_) => Type::of(Kinds::BYTES),
    }
}

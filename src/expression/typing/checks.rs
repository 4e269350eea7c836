//! Operators, conditions and functions: whether their operands fit.

use cel::common::ast::{Expr, IdedExpr};

use super::calls::{given, signature};
use super::kinds::Kinds;
use super::known::Type;
use super::operation::{Applied, can_equal, lists_added};
use super::walk::Inference;
use crate::expression::functions::{self, Form};
use crate::expression::operators::Operator;

impl Inference<'_> {
    /// Checks that a value can be of one of these kinds; false if it cannot. What always fails has no value, of no kind, so that
    /// nothing else is reported of it.
    pub(super) fn needs(&mut self, of: &IdedExpr, whole: &IdedExpr, is: &Type, wanted: Kinds) -> bool {
        let kinds = is.kinds();
        if kinds.is_none() {
            return true;
        }
        if !kinds.has(wanted) {
            self.wrong_kind(of, whole, kinds, wanted);
            return false;
        }
        if kinds.has(Kinds::NULL) && !wanted.has(Kinds::NULL) {
            self.maybe_null(of, whole, kinds);
        }
        true
    }

    /// Checks a condition.
    pub(super) fn truth(&mut self, tree: &IdedExpr) {
        let is = self.value(tree).settled();
        let kinds = is.kinds();
        if kinds.is_none() {
            return;
        }
        if !kinds.has(Kinds::BOOL) {
            self.not_a_condition(tree, &is);
        } else if kinds.has(Kinds::NULL) {
            self.maybe_null_condition(tree);
        }
    }

    pub(super) fn binary(&mut self, operator: Operator, whole: &IdedExpr, left: &IdedExpr, right: &IdedExpr) -> Type {
        let (one, other) = (self.value(left).settled(), self.value(right).settled());
        if one.kinds().is_none() || other.kinds().is_none() {
            return Type::unknown();
        }
        if matches!(operator, Operator::Equal | Operator::Unequal) {
            if !can_equal(&one, &other) {
                self.never_equal(operator, whole, &[(left, &one), (right, &other)]);
            }
            return Type::of(Kinds::BOOL);
        }
        let applied = Applied::to(operator, one.kinds(), other.kinds());
        if applied.gives.is_none() {
            self.mismatch(operator, whole, &[(left, &one), (right, &other)]);
            return Type::of(Kinds::NONE);
        }
        if applied.left_fails.has(Kinds::NULL) {
            self.maybe_null(left, whole, one.kinds());
        }
        if applied.right_fails.has(Kinds::NULL) {
            self.maybe_null(right, whole, other.kinds());
        }
        if operator == Operator::In {
            let element = other.element();
            // `x in list` is never true if no element can equal x.
            if !other.kinds().has(Kinds::MAP) && !element.kinds().is_none() && !can_equal(&one, &element) {
                self.never_equal(operator, whole, &[(left, &one), (right, &element)]);
            }
        }
        match applied.gives.has(Kinds::LIST) {
            true => Type::of(applied.gives.without(Kinds::LIST)).join(&lists_added(&one, &other)),
            false => Type::of(applied.gives),
        }
    }

    pub(super) fn method(&mut self, tree: &IdedExpr, target: &IdedExpr, name: &str, args: &[IdedExpr]) -> Type {
        if let Expr::Ident(space) = &target.expr
            && self.locals.iter().all(|(local, _)| local != space)
            && functions::SPACES.contains(&space.as_str())
        {
            let full = format!("{space}.{name}");
            if functions::in_space(&full) || functions::find(Form::Method, name).is_err() {
                return self.of_space(tree, &full, args);
            }
        }
        if let Some(made) = self.binding_method(tree, target, name, args) {
            return made;
        }
        match (name, args) {
            ("orValue" | "or", [other]) => {
                let is = self.value(target);
                let there = if name == "or" { is } else { self.unwrapped(&is) };
                there.without(Kinds::ABSENT).join(&self.value(other))
            }
            ("hasValue", []) => {
                self.value(target);
                Type::of(Kinds::BOOL)
            }
            _ => {
                let is = self.value(target);
                self.applied(tree, name, Some((target, is)), args)
            }
        }
    }

    fn of_space(&mut self, tree: &IdedExpr, name: &str, args: &[IdedExpr]) -> Type {
        match (name, args) {
            ("optional.none", []) => Type::optional(Type::of(Kinds::NONE)),
            ("optional.of", [of]) => Type::optional(self.value(of)),
            ("optional.ofNonZeroValue", [of]) => Type::optional(self.value(of).without(Kinds::ABSENT)),
            ("cel.bind", [variable, value, body]) => self.bind(variable, value, body),
            _ => self.function(tree, name, args),
        }
    }

    pub(super) fn function(&mut self, tree: &IdedExpr, name: &str, args: &[IdedExpr]) -> Type {
        self.applied(tree, name, None, args)
    }

    /// A function with its arguments; the receiver of a method is the first.
    fn applied(&mut self, tree: &IdedExpr, name: &str, receiver: Option<(&IdedExpr, Type)>, args: &[IdedExpr]) -> Type {
        let mut all: Vec<(&IdedExpr, Type)> = receiver.into_iter().collect();
        for arg in args {
            let is = self.value(arg);
            all.push((arg, is));
        }
        all.iter_mut().for_each(|(_, is)| *is = is.settled());
        let Some(signature) = signature(name) else { return Type::unknown() };
        for (at, (arg, is)) in all.iter().enumerate() {
            let taken = signature.takes.get(at).or(signature.takes.last()).copied().unwrap_or(Kinds::DYN);
            if !is.kinds().is_none() && !is.kinds().has(taken) {
                self.wrong_argument(arg, tree, name, is.kinds(), taken);
            } else if is.kinds().has(Kinds::NULL) && !taken.has(Kinds::NULL) {
                self.maybe_null(arg, tree, is.kinds());
            }
        }
        let types: Vec<Type> = all.into_iter().map(|(_, is)| is).collect();
        given(&signature, &types)
    }
}

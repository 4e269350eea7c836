//! Members and elements: `a.b`, `a["b"]`, `a[0]`, `a.?b`, `has(a.b)`.

use cel::common::ast::{Expr, IdedExpr, LiteralValue};

use super::kinds::Kinds;
use super::known::Type;
use super::members::{Rest, Shape};
use super::walk::Inference;

impl Inference<'_> {
    /// `of.name`
    pub(super) fn member(&mut self, tree: &IdedExpr, of: &IdedExpr, name: &str) -> Type {
        let is = self.value(of);
        if is.is_unknown() || is.kinds().is_none() {
            return Type::unknown();
        }
        if is.kinds().has(Kinds::OPTIONAL) {
            // A part of an optional is an optional.
            let held = self.unwrapped(&is);
            return Type::optional(known_member(&held, name));
        }
        if !self.needs(of, tree, &is, Kinds::MAP) {
            return Type::of(Kinds::NONE);
        }
        match is.shape() {
            None => Type::unknown(),
            Some(shape) => match shape.members.get(name) {
                Some(member) => member.is.clone(),
                None if shape.rest == Rest::Open => Type::unknown(),
                None => {
                    self.no_member(tree, of, shape, name);
                    if shape.rest == Rest::Closed { Type::of(Kinds::NONE) } else { Type::unknown() }
                }
            },
        }
    }

    /// `has(of.name)`
    pub(super) fn has(&mut self, tree: &IdedExpr, of: &IdedExpr, name: &str) -> Type {
        let is = self.value(of).settled();
        self.needs(of, tree, &is, Kinds::MAP.or(Kinds::ABSENT));
        self.check_tested(tree, of, &is, name);
        Type::of(Kinds::BOOL)
    }

    /// `of[key]`
    pub(super) fn index(&mut self, tree: &IdedExpr, of: &IdedExpr, key: &IdedExpr) -> Type {
        if let Expr::Literal(LiteralValue::String(name)) = &key.expr {
            let name = name.inner().to_owned();
            return self.member(tree, of, &name);
        }
        let (is, at) = (self.value(of), self.value(key).settled());
        if is.is_unknown() || is.kinds().is_none() {
            return Type::unknown();
        }
        if is.kinds().has(Kinds::OPTIONAL) {
            let held = self.unwrapped(&is);
            return Type::optional(element_or_unknown(&held));
        }
        if !self.needs(of, tree, &is, Kinds::LIST.or(Kinds::MAP)) {
            return Type::of(Kinds::NONE);
        }
        if !is.kinds().has(Kinds::MAP) {
            self.needs(key, tree, &at, Kinds::NUMBER);
        }
        element_or_unknown(&is)
    }

    /// `of.?key` and `of[?key]`
    pub(super) fn maybe_index(&mut self, tree: &IdedExpr, of: &IdedExpr, key: &IdedExpr) -> Type {
        let is = self.value(of);
        let Expr::Literal(LiteralValue::String(name)) = &key.expr else {
            self.value(key);
            let is = is.settled();
            self.needs(of, tree, &is, Kinds::LIST.or(Kinds::MAP).or(Kinds::ABSENT));
            return Type::optional(element_or_unknown(&is));
        };
        let name = name.inner().to_owned();
        let is = is.settled();
        if is.is_unknown() {
            return Type::optional(Type::unknown());
        }
        self.needs(of, tree, &is, Kinds::MAP.or(Kinds::ABSENT));
        self.check_tested(tree, of, &is, &name);
        Type::optional(known_member(&is, &name))
    }

    /// A name that is tested, but is never there, is a slip if another name is similar.
    fn check_tested(&mut self, tree: &IdedExpr, of: &IdedExpr, is: &Type, name: &str) {
        if let Some(shape) = is.shape()
            && shape.rest != Rest::Open
            && !shape.members.contains_key(name)
        {
            self.never_there(tree, of, shape, name);
        }
    }
}

fn known_member(of: &Type, name: &str) -> Type {
    let member = |shape: &Shape| shape.members.get(name).map(|member| member.is.clone());
    of.shape().and_then(member).unwrap_or(Type::unknown())
}

fn element_or_unknown(of: &Type) -> Type {
    if of.kinds().has(Kinds::MAP) || !of.kinds().has(Kinds::LIST) { Type::unknown() } else { of.element() }
}

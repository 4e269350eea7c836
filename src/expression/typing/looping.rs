//! Loops, bindings and optionals: expressions with variables of their own.

use cel::common::ast::{ComprehensionExpr, Expr, IdedExpr, operators};

use super::facts::{When, facts};
use super::kinds::Kinds;
use super::known::Type;
use super::members::{Rest, Shape};
use super::walk::Inference;
use crate::expression::macros::{added_element, is_accumulator};

impl Inference<'_> {
    /// A macro that the parser has expanded, recognised by its shape as in `macros`.
    pub(super) fn expanded(&mut self, tree: &IdedExpr, each: &ComprehensionExpr) -> Type {
        let variables = self.variables(tree, &each.iter_range, &[&each.iter_var]);
        let Expr::Call(step) = &each.loop_step.expr else { return Type::unknown() };
        let decides = |args: &[IdedExpr]| args.first().is_some_and(is_accumulator);
        match (step.func_name.as_str(), step.args.as_slice()) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR, [_, holds]) if decides(&step.args) => {
                self.with(variables, |all| all.truth(holds));
                Type::of(Kinds::BOOL)
            }
            (operators::CONDITIONAL, [holds, _, last]) if is_accumulator(last) => match &each.result.expr {
                Expr::Call(_) => {
                    self.with(variables, |all| all.truth(holds));
                    Type::of(Kinds::BOOL)
                }
                _ => {
                    let value = step.args.get(1).and_then(added_element);
                    let element = value.map(|value| self.with(variables, |all| all.kept(Some(holds), value)));
                    Type::list(element.unwrap_or(Type::unknown()))
                }
            },
            (operators::ADD, _) => {
                let value = added_element(&each.loop_step);
                let element = value.map(|value| self.with(variables, |all| all.kept(None, value)));
                Type::list(element.unwrap_or(Type::unknown()))
            }
            _ => Type::unknown(),
        }
    }

    /// A macro that the parser does not know: a method whose first argument is a variable.
    pub(super) fn binding_method(
        &mut self,
        tree: &IdedExpr,
        of: &IdedExpr,
        name: &str,
        args: &[IdedExpr],
    ) -> Option<Type> {
        Some(match (name, args) {
            ("optMap" | "optFlatMap", [variable, body]) => {
                let held = self.value(of);
                let held = self.unwrapped(&held).without(Kinds::ABSENT);
                let made = self.with(vec![(simple_name(variable), held)], |within| within.value(body));
                if name == "optMap" { Type::optional(made) } else { made.or(Kinds::OPTIONAL) }
            }
            ("sortBy", [variable, body]) => {
                let variables = self.variables(tree, of, &[&simple_name(variable)]);
                let element = variables.first().map(|(_, is)| is.clone());
                self.with(variables, |all| all.value(body));
                Type::list(element.unwrap_or(Type::unknown()))
            }
            ("all" | "exists" | "exists_one" | "existsOne", [key, value, holds]) => {
                let variables = self.variables(tree, of, &[&simple_name(key), &simple_name(value)]);
                self.with(variables, |all| all.truth(holds));
                Type::of(Kinds::BOOL)
            }
            ("transformList" | "transformMap" | "transformMapEntry", [key, value, keep @ .., body])
                if keep.len() < 2 =>
            {
                let variables = self.variables(tree, of, &[&simple_name(key), &simple_name(value)]);
                let made = self.with(variables, |all| all.kept(keep.first(), body));
                match name {
                    "transformList" => Type::list(made),
                    _ => Type::map(Shape::new(Default::default(), Rest::Open)),
                }
            }
            _ => return None,
        })
    }

    /// `cel.bind(variable, value, body)`.
    pub(super) fn bind(&mut self, variable: &IdedExpr, value: &IdedExpr, body: &IdedExpr) -> Type {
        let is = self.value(value);
        self.with(vec![(simple_name(variable), is)], |within| within.value(body))
    }

    /// The first argument that is not null.
    pub(super) fn coalesce(&mut self, args: &[IdedExpr]) -> Type {
        let mut all = Type::of(Kinds::NONE);
        for (at, arg) in args.iter().enumerate() {
            let is = self.value(arg).settled();
            let last = at + 1 == args.len();
            all = all.join(&if last { is } else { is.without(Kinds::ABSENT) });
        }
        all
    }

    /// The variables of a loop with their types.
    fn variables(&mut self, tree: &IdedExpr, over: &IdedExpr, names: &[&String]) -> Vec<(String, Type)> {
        let range = self.value(over).settled();
        self.needs(over, tree, &range, Kinds::LIST.or(Kinds::MAP));
        let is_list = range.kinds().has(Kinds::LIST) && !range.kinds().has(Kinds::MAP);
        let last = if is_list { range.element() } else { Type::unknown() };
        let first = if is_list { Type::of(Kinds::INT) } else { Type::unknown() };
        match names {
            [one] => vec![((*one).clone(), last)],
            [one, other, ..] => vec![((*one).clone(), first), ((*other).clone(), last)],
            [] => Vec::new(),
        }
    }

    fn with<T>(&mut self, variables: Vec<(String, Type)>, run: impl FnOnce(&mut Self) -> T) -> T {
        let outside = self.locals.len();
        self.locals.extend(variables);
        let answer = run(self);
        self.locals.truncate(outside);
        answer
    }

    /// The value of an element that a condition keeps.
    fn kept(&mut self, keep: Option<&IdedExpr>, value: &IdedExpr) -> Type {
        let Some(keep) = keep else { return self.value(value) };
        self.truth(keep);
        self.under(&facts(keep, When::Holds), |all| all.value(value))
    }
}

fn simple_name(variable: &IdedExpr) -> String {
    match &variable.expr {
        Expr::Ident(name) => name.clone(),
        _ => String::new(),
    }
}

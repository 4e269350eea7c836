//! Compiles loops, which the parser has expanded or left as calls, and bindings of variables.

use cel::common::ast::{ComprehensionExpr, Expr, IdedExpr, operators};

use super::bounds::LOOPS_MAX;
use super::compile::Compiler;
use super::node::{Does, Loop, Node};

/// The parser's name for the accumulator of a macro.
const ACCUMULATOR: &str = "@result";

impl Compiler {
    /// A macro that the parser has expanded; its shape identifies it.
    pub(super) fn expanded(&mut self, each: &ComprehensionExpr) -> Result<Node, String> {
        let over = self.node(&each.iter_range)?;
        let does = self.turning(&[&each.iter_var], |compiler| compiler.expanded_body(each))?;
        Ok(Node::Loop(Box::new(Loop { over, pair: false, does })))
    }

    fn expanded_body(&mut self, each: &ComprehensionExpr) -> Result<Does, String> {
        let unknown = || "this loop is not supported".to_owned();
        let Expr::Call(step) = &each.loop_step.expr else { return Err(unknown()) };
        match (step.func_name.as_str(), step.args.as_slice(), &each.result.expr) {
            (operators::LOGICAL_AND, [accumulator, holds], _) if is_accumulator(accumulator) => {
                Ok(Does::All(self.node(holds)?))
            }
            (operators::LOGICAL_OR, [accumulator, holds], _) if is_accumulator(accumulator) => {
                Ok(Does::Exists(self.node(holds)?))
            }
            (operators::CONDITIONAL, [holds, _, accumulator], Expr::Call(_)) if is_accumulator(accumulator) => {
                Ok(Does::ExistsOne(self.node(holds)?))
            }
            (operators::CONDITIONAL, [keep, added, accumulator], _) if is_accumulator(accumulator) => {
                let value = added_element(added).ok_or_else(unknown)?;
                Ok(Does::Collect { keep: Some(self.node(keep)?), value: self.node(value)? })
            }
            (operators::ADD, _, _) => {
                let value = added_element(&each.loop_step).ok_or_else(unknown)?;
                Ok(Does::Collect { keep: None, value: self.node(value)? })
            }
            _ => Err(unknown()),
        }
    }

    /// A macro that the parser does not know: a method whose first argument is a variable.
    pub(super) fn binding_method(
        &mut self,
        of: &IdedExpr,
        name: &str,
        args: &[IdedExpr],
    ) -> Option<Result<Node, String>> {
        Some(match (name, args) {
            ("optMap" | "optFlatMap", [variable, body]) => self.within(of, variable, body, name == "optFlatMap"),
            ("sortBy", [variable, body]) => {
                self.loop_of(of, &[variable], |compiler| Ok(Does::SortBy(compiler.node(body)?)))
            }
            ("all", [key, value, holds]) => self.loop_of(of, &[key, value], |all| Ok(Does::All(all.node(holds)?))),
            ("exists", [key, value, holds]) => {
                self.loop_of(of, &[key, value], |all| Ok(Does::Exists(all.node(holds)?)))
            }
            ("exists_one" | "existsOne", [key, value, holds]) => {
                self.loop_of(of, &[key, value], |all| Ok(Does::ExistsOne(all.node(holds)?)))
            }
            ("transformList" | "transformMap" | "transformMapEntry", [key, value, keep @ .., body])
                if keep.len() < 2 =>
            {
                self.loop_of(of, &[key, value], |all| {
                    let keep = keep.first().map(|keep| all.node(keep)).transpose()?;
                    let value = all.node(body)?;
                    Ok(match name {
                        "transformList" => Does::Collect { keep, value },
                        "transformMap" => Does::Revalue { keep, value },
                        _ => Does::Reenter { keep, value },
                    })
                })
            }
            _ => return None,
        })
    }

    fn loop_of(
        &mut self,
        of: &IdedExpr,
        variables: &[&IdedExpr],
        does: impl FnOnce(&mut Self) -> Result<Does, String>,
    ) -> Result<Node, String> {
        let over = self.node(of)?;
        let names: Vec<_> = variables.iter().map(|variable| simple_name(variable)).collect::<Result<_, _>>()?;
        if let [key, value] = names.as_slice()
            && key == value
        {
            return Err("the two variables of a loop must have different names".into());
        }
        let does = self.turning(&names, does)?;
        Ok(Node::Loop(Box::new(Loop { over, pair: variables.len() == 2, does })))
    }

    fn turning<T>(
        &mut self,
        variables: &[&String],
        body: impl FnOnce(&mut Self) -> Result<T, String>,
    ) -> Result<T, String> {
        if self.loops >= LOOPS_MAX {
            return Err(format!("loops (map, filter, all, exists) are nested deeper than {LOOPS_MAX} levels"));
        }
        self.loops += 1;
        let body = self.with_locals(variables, body);
        self.loops -= 1;
        body
    }

    fn with_locals<T>(&mut self, variables: &[&String], body: impl FnOnce(&mut Self) -> T) -> T {
        let outside = self.locals.len();
        self.locals.extend(variables.iter().map(|variable| (*variable).clone()));
        let body = body(self);
        self.locals.truncate(outside);
        body
    }

    fn within(&mut self, of: &IdedExpr, variable: &IdedExpr, body: &IdedExpr, flat: bool) -> Result<Node, String> {
        let of = self.node(of)?;
        let body = self.with_locals(&[simple_name(variable)?], |compiler| compiler.node(body))?;
        Ok(Node::Within { parts: Box::new([of, body]), flat })
    }

    /// `cel.bind(variable, value, body)`.
    pub(super) fn bind(&mut self, variable: &IdedExpr, value: &IdedExpr, body: &IdedExpr) -> Result<Node, String> {
        let value = self.node(value)?;
        let body = self.with_locals(&[simple_name(variable)?], |compiler| compiler.node(body))?;
        Ok(Node::Bind(Box::new([value, body])))
    }
}

fn simple_name(variable: &IdedExpr) -> Result<&String, String> {
    match &variable.expr {
        Expr::Ident(name) => Ok(name),
        _ => Err("the variable of a loop must be a plain name".into()),
    }
}

pub(super) fn is_accumulator(tree: &IdedExpr) -> bool {
    matches!(&tree.expr, Expr::Ident(name) if name == ACCUMULATOR)
}

/// The `x` of `accumulator + [x]`.
pub(super) fn added_element(tree: &IdedExpr) -> Option<&IdedExpr> {
    let Expr::Call(add) = &tree.expr else { return None };
    match (add.func_name.as_str(), add.args.as_slice()) {
        (operators::ADD, [accumulator, added]) if is_accumulator(accumulator) => match &added.expr {
            Expr::List(list) => list.elements.first(),
            _ => None,
        },
        _ => None,
    }
}

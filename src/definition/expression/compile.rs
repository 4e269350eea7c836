//! From the parser's tree to [`Node`]s: everything that can be known of an expression without a scope is found out here.

use cel::common::ast::{ComprehensionExpr, EntryExpr, Expr, IdedEntryExpr, IdedExpr, LiteralValue, operators};
use serde_json::{Number, Value};

use super::bounds::LOOPS_MAX;
use super::functions::{self, Form, Function};
use super::node::{Absence, Does, Element, Loop, Node};
use super::operators::Operator;

/// What the parser calls the accumulator of a macro.
const ACCUMULATOR: &str = "@result";
/// Names of types, as `type(x) == string` uses them.
const KINDS: [&str; 10] = ["bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type", "type"];

/// An expression that was understood.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) root: Node,
    /// The names of the scope it reads, sorted.
    pub(super) names: Vec<String>,
}

/// Compiles a tree; the error is a sentence without the expression.
pub(super) fn compile(tree: &IdedExpr) -> Result<Compiled, String> {
    let mut compiler = Compiler { locals: Vec::new(), names: Vec::new(), kinds: Vec::new(), asks_for_type: false };
    let root = compiler.node(tree)?;
    // Variables may be called `type` or `list`; only who asks for a type can mean one.
    if !compiler.asks_for_type {
        compiler.names.append(&mut compiler.kinds);
    }
    compiler.names.sort();
    compiler.names.dedup();
    Ok(Compiled { root, names: compiler.names })
}

struct Compiler {
    /// The variables of the loops around, outermost first.
    locals: Vec<String>,
    names: Vec<String>,
    /// Names it reads that are also those of types.
    kinds: Vec<String>,
    asks_for_type: bool,
}

impl Compiler {
    fn node(&mut self, tree: &IdedExpr) -> Result<Node, String> {
        match &tree.expr {
            Expr::Unspecified => Err("it cannot be read".into()),
            Expr::Literal(literal) => literal_node(literal),
            Expr::Ident(name) => Ok(self.name(name)),
            Expr::Select(select) if select.test => {
                Ok(Node::Has { of: self.boxed(&select.operand)?, name: select.field.clone() })
            }
            Expr::Select(select) => {
                let of = self.boxed(&select.operand)?;
                let absence = if is_optional(&of) { Absence::IsMissing } else { Absence::Fails };
                Ok(Node::Member { of, name: select.field.clone(), absence })
            }
            Expr::List(list) => {
                let mut elements = Vec::with_capacity(list.elements.len());
                for (at, element) in list.elements.iter().enumerate() {
                    let node = self.node(element)?;
                    let optional = list.optional_indices.contains(&at);
                    elements.push(if optional { Element::IfThere(node) } else { Element::Always(node) });
                }
                Ok(folded_list(elements))
            }
            Expr::Map(map) => {
                map.entries.iter().map(|entry| self.entry(entry)).collect::<Result<_, _>>().map(Node::Map)
            }
            Expr::Struct(made) => Err(format!("messages such as `{}{{…}}` do not exist here", made.type_name)),
            Expr::Call(call) => match &call.target {
                Some(target) => self.method(target, &call.func_name, &call.args),
                None => self.call(&call.func_name, &call.args),
            },
            Expr::Comprehension(each) => self.each(each),
        }
    }

    fn boxed(&mut self, tree: &IdedExpr) -> Result<Box<Node>, String> {
        self.node(tree).map(Box::new)
    }

    fn nodes<const N: usize>(&mut self, trees: &[IdedExpr]) -> Result<Box<[Node; N]>, String> {
        let nodes: Vec<_> = trees.iter().map(|tree| self.node(tree)).collect::<Result<_, _>>()?;
        nodes.try_into().map(Box::new).map_err(|_| "an operator lacks an operand".to_owned())
    }

    fn name(&mut self, name: &str) -> Node {
        let name = name.trim_start_matches('.');
        if let Some(at) = self.locals.iter().rposition(|local| local == name) {
            return Node::Local(at);
        }
        if let Some(kind) = KINDS.iter().find(|kind| **kind == name) {
            self.kinds.push(name.to_owned());
            return Node::Kind(kind);
        }
        self.names.push(name.to_owned());
        Node::Name(name.to_owned())
    }

    fn entry(&mut self, entry: &IdedEntryExpr) -> Result<Element<(Node, Node)>, String> {
        match &entry.expr {
            EntryExpr::MapEntry(entry) => {
                let pair = (self.node(&entry.key)?, self.node(&entry.value)?);
                Ok(if entry.optional { Element::IfThere(pair) } else { Element::Always(pair) })
            }
            EntryExpr::StructField(_) => Err("a map is written as {\"key\": value}".into()),
        }
    }

    fn call(&mut self, name: &str, args: &[IdedExpr]) -> Result<Node, String> {
        let operator = match name {
            operators::LOGICAL_AND => return Ok(Node::And(self.nodes(args)?)),
            operators::LOGICAL_OR => return Ok(Node::Or(self.nodes(args)?)),
            operators::CONDITIONAL => return Ok(Node::If(self.nodes(args)?)),
            operators::LOGICAL_NOT => return Ok(Node::Not(self.boxed(only(args)?)?)),
            operators::NEGATE => return Ok(Node::Negate(self.boxed(only(args)?)?)),
            operators::INDEX => {
                let of = self.nodes(args)?;
                let absence = if is_optional(&of[0]) { Absence::IsMissing } else { Absence::Fails };
                return Ok(Node::Index { of, absence });
            }
            operators::OPT_INDEX | operators::OPT_SELECT => {
                return Ok(Node::Index { of: self.nodes(args)?, absence: Absence::IsMissing });
            }
            operators::ADD => Operator::Add,
            operators::SUBSTRACT => Operator::Subtract,
            operators::MULTIPLY => Operator::Multiply,
            operators::DIVIDE => Operator::Divide,
            operators::MODULO => Operator::Modulo,
            operators::EQUALS => Operator::Equal,
            operators::NOT_EQUALS => Operator::Unequal,
            operators::LESS => Operator::Less,
            operators::LESS_EQUALS => Operator::LessOrEqual,
            operators::GREATER => Operator::Greater,
            operators::GREATER_EQUALS => Operator::GreaterOrEqual,
            operators::IN => Operator::In,
            "dyn" => return self.node(only(args)?),
            _ => {
                self.asks_for_type |= name == "type";
                let args = args.iter().map(|arg| self.node(arg)).collect::<Result<_, _>>()?;
                return function(Form::Global, name, args);
            }
        };
        Ok(Node::Binary(operator, self.nodes(args)?))
    }

    fn method(&mut self, target: &IdedExpr, name: &str, args: &[IdedExpr]) -> Result<Node, String> {
        if let Expr::Ident(space) = &target.expr
            && !self.locals.contains(space)
            && functions::SPACES.contains(&space.as_str())
        {
            let full = format!("{space}.{name}");
            let mut args: Vec<_> = args.iter().map(|arg| self.node(arg)).collect::<Result<_, _>>()?;
            return match (full.as_str(), args.len()) {
                ("optional.none", 0) => Ok(Node::Nothing),
                ("optional.of", 1) => args.pop().ok_or_else(String::new),
                _ => function(Form::Global, &full, args),
            };
        }
        let target = self.node(target)?;
        let mut args: Vec<_> = args.iter().map(|arg| self.node(arg)).collect::<Result<_, _>>()?;
        match (name, args.len()) {
            ("orValue" | "or", 1) => {
                let other = args.pop().ok_or_else(String::new)?;
                Ok(Node::OrValue(Box::new([target, other])))
            }
            ("hasValue", 0) => Ok(Node::HasValue(Box::new(target))),
            _ => {
                args.insert(0, target);
                function(Form::Method, name, args)
            }
        }
    }

    /// A macro was expanded by the parser; its shape says which one it was.
    fn each(&mut self, each: &ComprehensionExpr) -> Result<Node, String> {
        if self.locals.len() >= LOOPS_MAX {
            return Err(format!("loops (map, filter, all, exists) may stand {LOOPS_MAX} deep within each other"));
        }
        let over = self.node(&each.iter_range)?;
        self.locals.push(each.iter_var.clone());
        let does = self.does(each);
        self.locals.pop();
        Ok(Node::Loop(Box::new(Loop { over, does: does? })))
    }

    fn does(&mut self, each: &ComprehensionExpr) -> Result<Does, String> {
        let unknown = || "a loop that is not known here".to_owned();
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
}

fn is_accumulator(tree: &IdedExpr) -> bool {
    matches!(&tree.expr, Expr::Ident(name) if name == ACCUMULATOR)
}

/// The `x` of `accumulator + [x]`.
fn added_element(tree: &IdedExpr) -> Option<&IdedExpr> {
    let Expr::Call(add) = &tree.expr else { return None };
    match (add.func_name.as_str(), add.args.as_slice()) {
        (operators::ADD, [accumulator, added]) if is_accumulator(accumulator) => match &added.expr {
            Expr::List(list) => list.elements.first(),
            _ => None,
        },
        _ => None,
    }
}

fn only(args: &[IdedExpr]) -> Result<&IdedExpr, String> {
    match args {
        [arg] => Ok(arg),
        _ => Err("one argument is expected".into()),
    }
}

/// Whether the value of a node may be an empty optional, so that members of it may be missing, too.
fn is_optional(node: &Node) -> bool {
    match node {
        Node::Member { absence, .. } | Node::Index { absence, .. } => *absence == Absence::IsMissing,
        Node::Call(function, _) => function.optional(),
        Node::Nothing => true,
        _ => false,
    }
}

fn literal_node(literal: &LiteralValue) -> Result<Node, String> {
    Ok(Node::Literal(match literal {
        LiteralValue::Null => Value::Null,
        LiteralValue::Boolean(value) => Value::Bool(*value.inner()),
        LiteralValue::Int(value) => Value::from(*value.inner()),
        LiteralValue::UInt(value) => {
            let int = i64::try_from(*value.inner()).map_err(|_| "unsigned numbers end at 63 bits here".to_owned())?;
            Value::from(int)
        }
        LiteralValue::Double(value) => {
            let number = Number::from_f64(*value.inner()).ok_or_else(|| "a number is out of range".to_owned())?;
            Value::Number(number)
        }
        LiteralValue::String(text) => Value::String(text.inner().to_owned()),
        LiteralValue::Bytes(bytes) => return Ok(Node::Bytes(bytes.inner().to_vec())),
    }))
}

/// A list of nothing but literals is one literal.
fn folded_list(elements: Vec<Element<Node>>) -> Node {
    if !elements.iter().all(|element| matches!(element, Element::Always(Node::Literal(_)))) {
        return Node::List(elements);
    }
    let values = elements.into_iter().filter_map(|element| match element {
        Element::Always(Node::Literal(value)) => Some(value),
        Element::Always(_) | Element::IfThere(_) => None,
    });
    Node::Literal(Value::Array(values.collect()))
}

fn function(form: Form, name: &str, args: Vec<Node>) -> Result<Node, String> {
    let found: &'static Function = functions::find(form, name)?;
    found.accepts(args.len())?;
    if found.name() == "matches"
        && let [_, Node::Literal(Value::String(pattern))] = args.as_slice()
    {
        let pattern = functions::pattern(pattern)?;
        let mut args = args;
        return Ok(Node::Matches(Box::new(args.swap_remove(0)), Box::new(pattern)));
    }
    Ok(Node::Call(found, args))
}

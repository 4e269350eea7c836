//! From the parser's tree to [`Node`]s: everything about an expression that does not depend on the scope.

use cel::common::ast::{EntryExpr, Expr, IdedEntryExpr, IdedExpr, LiteralValue, operators};
use jiff::Timestamp;
use serde_json::{Number, Value};

use super::bounds::{Budget, EvalError};
use super::functions::{self, Form, Function};
use super::node::{Absence, Element, Node};
use super::operators::Operator;
use super::value::Val;

/// Names of types, as `type(x) == string` uses them.
pub(super) const KINDS: [&str; 11] =
    ["bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type", "type", "optional_type"];
/// Types with qualified names.
const LONG_KINDS: [&str; 2] = ["google.protobuf.Timestamp", "google.protobuf.Duration"];

/// A compiled expression.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) root: Node,
    /// The names it reads from the scope, sorted.
    pub(super) names: Vec<String>,
    /// Bytes of its compiled patterns.
    pub(super) pattern_bytes: usize,
}

/// Compiles a tree; the error message does not contain the expression.
pub(super) fn compile(tree: &IdedExpr) -> Result<Compiled, String> {
    let mut compiler = Compiler::default();
    let root = compiler.node(tree)?;
    // Variables may be called `type` or `list`; they mean a type only in an expression that calls `type`.
    if !compiler.asks_for_type {
        compiler.names.append(&mut compiler.kinds);
    }
    compiler.names.sort();
    compiler.names.dedup();
    Ok(Compiled { root, names: compiler.names, pattern_bytes: compiler.pattern_bytes })
}

#[derive(Default)]
pub(super) struct Compiler {
    /// The variables of the enclosing loops and bindings, outermost first.
    pub(super) locals: Vec<String>,
    /// The number of enclosing loops.
    pub(super) loops: usize,
    names: Vec<String>,
    /// Names it reads that are also names of types.
    kinds: Vec<String>,
    asks_for_type: bool,
    pattern_bytes: usize,
}

impl Compiler {
    pub(super) fn node(&mut self, tree: &IdedExpr) -> Result<Node, String> {
        match &tree.expr {
            Expr::Unspecified => Err("syntax error".into()),
            Expr::Literal(literal) => literal_node(literal),
            Expr::Ident(name) => Ok(self.name(name)),
            Expr::Select(select) if select.test => {
                Ok(Node::Has { of: self.boxed(&select.operand)?, name: select.field.clone() })
            }
            Expr::Select(select) => {
                if let Some(kind) = long_kind(tree) {
                    return Ok(Node::Kind(kind));
                }
                let of = self.boxed(&select.operand)?;
                Ok(Node::Member { of, name: select.field.clone(), absence: Absence::Fails })
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
            Expr::Struct(made) => Err(format!("messages such as `{}{{…}}` are not supported", made.type_name)),
            Expr::Call(call) => match &call.target {
                Some(target) => self.method(target, &call.func_name, &call.args),
                None => self.call(&call.func_name, &call.args),
            },
            Expr::Comprehension(each) => self.expanded(each),
        }
    }

    pub(super) fn boxed(&mut self, tree: &IdedExpr) -> Result<Box<Node>, String> {
        self.node(tree).map(Box::new)
    }

    fn nodes<const N: usize>(&mut self, trees: &[IdedExpr]) -> Result<Box<[Node; N]>, String> {
        let nodes: Vec<_> = trees.iter().map(|tree| self.node(tree)).collect::<Result<_, _>>()?;
        nodes.try_into().map(Box::new).map_err(|_| "an operator has too few operands".to_owned())
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
            EntryExpr::StructField(_) => Err("write a map as {\"key\": value}".into()),
        }
    }

    fn call(&mut self, name: &str, args: &[IdedExpr]) -> Result<Node, String> {
        if let Some(operator) = operator(name) {
            return Ok(Node::Binary(operator, self.nodes(args)?));
        }
        match name {
            operators::LOGICAL_AND => Ok(Node::And(self.nodes(args)?)),
            operators::LOGICAL_OR => Ok(Node::Or(self.nodes(args)?)),
            operators::CONDITIONAL => Ok(Node::If(self.nodes(args)?)),
            operators::LOGICAL_NOT => Ok(Node::Not(self.boxed(only(args)?)?)),
            operators::NEGATE => Ok(Node::Negate(self.boxed(only(args)?)?)),
            operators::INDEX => Ok(Node::Index { of: self.nodes(args)?, absence: Absence::Fails }),
            operators::OPT_INDEX | operators::OPT_SELECT => {
                Ok(Node::Index { of: self.nodes(args)?, absence: Absence::IsMissing })
            }
            "dyn" => self.node(only(args)?),
            "coalesce" if !args.is_empty() => {
                args.iter().map(|arg| self.node(arg)).collect::<Result<_, _>>().map(Node::Coalesce)
            }
            "coalesce" => Err("`coalesce` takes at least 1 argument(s), not 0".into()),
            "type" => {
                self.asks_for_type = true;
                Ok(Node::TypeOf(self.boxed(only(args)?)?))
            }
            _ => {
                let args = args.iter().map(|arg| self.node(arg)).collect::<Result<_, _>>()?;
                self.function(Form::Global, name, args)
            }
        }
    }

    fn method(&mut self, target: &IdedExpr, name: &str, args: &[IdedExpr]) -> Result<Node, String> {
        if let Expr::Ident(space) = &target.expr
            && !self.locals.contains(space)
            && functions::SPACES.contains(&space.as_str())
        {
            let full = format!("{space}.{name}");
            // A variable may have the name of a namespace, as in `strings.join()`.
            if functions::in_space(&full) || functions::find(Form::Method, name).is_err() {
                return self.of_space(&full, args);
            }
        }
        if let Some(made) = self.binding_method(target, name, args) {
            return made;
        }
        let target = self.node(target)?;
        let mut args: Vec<_> = args.iter().map(|arg| self.node(arg)).collect::<Result<_, _>>()?;
        match (name, args.len()) {
            ("orValue" | "or", 1) => {
                let other = args.pop().ok_or_else(String::new)?;
                let sides = Box::new([target, other]);
                Ok(if name == "or" { Node::OrElse(sides) } else { Node::OrValue(sides) })
            }
            ("hasValue", 0) => Ok(Node::HasValue(Box::new(target))),
            _ => {
                args.insert(0, target);
                self.function(Form::Method, name, args)
            }
        }
    }

    fn of_space(&mut self, name: &str, args: &[IdedExpr]) -> Result<Node, String> {
        match (name, args) {
            ("optional.none", []) => Ok(Node::Nothing),
            ("optional.of", [of]) => Ok(Node::There(self.boxed(of)?)),
            ("optional.ofNonZeroValue", [of]) => Ok(Node::ThereUnlessZero(self.boxed(of)?)),
            ("cel.bind", [variable, value, body]) => self.bind(variable, value, body),
            _ => {
                let args = args.iter().map(|arg| self.node(arg)).collect::<Result<_, _>>()?;
                self.function(Form::Global, name, args)
            }
        }
    }

    fn function(&mut self, form: Form, name: &str, args: Vec<Node>) -> Result<Node, String> {
        let node = function(form, name, args)?;
        if let Node::Matches(_, pattern) = &node {
            self.pattern_bytes += pattern.bytes();
        }
        Ok(node)
    }
}

/// A qualified name such as `google.protobuf.Timestamp`.
pub(super) fn long_kind(tree: &IdedExpr) -> Option<&'static str> {
    let mut rest = tree;
    let mut path = Vec::new();
    while let Expr::Select(select) = &rest.expr {
        path.push(select.field.as_str());
        rest = &select.operand;
    }
    match &rest.expr {
        Expr::Ident(name) if name == "google" => path.push(name),
        _ => return None,
    }
    path.reverse();
    let path = path.join(".");
    LONG_KINDS.into_iter().find(|kind| *kind == path)
}

fn only(args: &[IdedExpr]) -> Result<&IdedExpr, String> {
    match args {
        [arg] => Ok(arg),
        _ => Err("expected one argument".into()),
    }
}

fn literal_node(literal: &LiteralValue) -> Result<Node, String> {
    Ok(Node::Literal(match literal {
        LiteralValue::Null => Value::Null,
        LiteralValue::Boolean(value) => Value::Bool(*value.inner()),
        LiteralValue::Int(value) => Value::from(*value.inner()),
        LiteralValue::UInt(value) => return Ok(Node::Uint(*value.inner())),
        LiteralValue::Double(value) => {
            let number = Number::from_f64(*value.inner()).ok_or_else(|| "a number is out of range".to_owned())?;
            Value::Number(number)
        }
        LiteralValue::String(text) => Value::String(text.inner().to_owned()),
        LiteralValue::Bytes(bytes) => return Ok(Node::Bytes(bytes.inner().to_vec())),
    }))
}

/// A list of literals becomes one literal.
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
    try_out(found, &args)?;
    Ok(Node::Call(found, args))
}

/// Calls functions with literal arguments now, so that an invalid duration, timestamp, time zone or format is refused early.
fn try_out(found: &Function, args: &[Node]) -> Result<(), String> {
    let literal = |node: &'_ Node| match node {
        Node::Literal(Value::String(text)) => Val::text(text.as_str(), &mut Budget::new()).ok(),
        _ => None,
    };
    let first = match found.name() {
        "duration" | "timestamp" => args.first().and_then(literal),
        "formatTime" => Some(Val::Timestamp(Timestamp::UNIX_EPOCH)),
        name if name.starts_with("get") && args.len() == 2 => Some(Val::Timestamp(Timestamp::UNIX_EPOCH)),
        _ => return Ok(()),
    };
    let rest: Option<Vec<_>> = args.iter().skip(1).map(literal).collect();
    let (Some(first), Some(rest)) = (first, rest) else { return Ok(()) };
    let args: Vec<_> = [first].into_iter().chain(rest).collect();
    found.call(&args, &mut Budget::new()).map(|_| ()).map_err(EvalError::why)
}

/// The operator that the parser calls by this name, if it always evaluates both operands.
pub(super) fn operator(name: &str) -> Option<Operator> {
    Some(match name {
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
        _ => return None,
    })
}

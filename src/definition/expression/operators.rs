//! What the operators mean: CEL's meaning, and for a mix of int and double, which CEL refuses, that of doubles.

use std::cmp::Ordering;
use std::rc::Rc;

use super::bounds::{Budget, Fail};
use super::value::{List, Map, Val};

/// An operator with two operands that are both always evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
}

impl Operator {
    /// How it is written.
    fn sign(self) -> &'static str {
        match self {
            Operator::Add => "+",
            Operator::Subtract => "-",
            Operator::Multiply => "*",
            Operator::Divide => "/",
            Operator::Modulo => "%",
            Operator::Equal => "==",
            Operator::Unequal => "!=",
            Operator::Less => "<",
            Operator::LessOrEqual => "<=",
            Operator::Greater => ">",
            Operator::GreaterOrEqual => ">=",
            Operator::In => "in",
        }
    }

    pub(super) fn apply<'a>(self, left: &Val<'a>, right: &Val<'a>, budget: &mut Budget) -> Result<Val<'a>, Fail> {
        if let (Val::Text(left), Val::Text(right)) = (left, right) {
            budget.read(left.as_str().len().min(right.as_str().len()))?;
        }
        let ordered = |holds: fn(Ordering) -> bool| {
            let order = order(left, right).ok_or_else(|| self.misfit(left, right))?;
            Ok(Val::Bool(holds(order)))
        };
        match self {
            Operator::Add => self.add(left, right, budget),
            Operator::Subtract => self.subtract(left, right),
            Operator::Multiply => self.calculate(left, right, i64::checked_mul, |a, b| a * b),
            Operator::Divide => self.calculate(left, right, i64::checked_div, |a, b| a / b),
            Operator::Modulo => self.calculate(left, right, i64::checked_rem, |a, b| a % b),
            Operator::Equal => Ok(Val::Bool(equal(left, right, budget)?)),
            Operator::Unequal => Ok(Val::Bool(!equal(left, right, budget)?)),
            Operator::Less => ordered(Ordering::is_lt),
            Operator::LessOrEqual => ordered(Ordering::is_le),
            Operator::Greater => ordered(Ordering::is_gt),
            Operator::GreaterOrEqual => ordered(Ordering::is_ge),
            Operator::In => self.contains(left, right, budget),
        }
    }

    fn misfit(self, left: &Val<'_>, right: &Val<'_>) -> Fail {
        let hint = match (left, right) {
            (Val::Moment(_), Val::Text(_)) | (Val::Text(_), Val::Moment(_)) => {
                "; timestamp(…) makes a moment of a text"
            }
            (Val::Span(_), Val::Text(_)) | (Val::Text(_), Val::Span(_)) | (Val::Moment(_), Val::Int(_)) => {
                "; duration(…) makes a duration of a text"
            }
            (Val::Text(_), _) | (_, Val::Text(_)) if self == Operator::Add => "; string(…) makes a text of a value",
            _ => "",
        };
        let (left, right) = (left.what(), right.what());
        Fail::wrong(format!("`{}` does not work between {left} and {right}{hint}", self.sign()))
    }

    fn calculate<'a>(
        self,
        left: &Val<'a>,
        right: &Val<'a>,
        ints: fn(i64, i64) -> Option<i64>,
        doubles: fn(f64, f64) -> f64,
    ) -> Result<Val<'a>, Fail> {
        if let (Val::Int(left), Val::Int(right)) = (left, right) {
            return ints(*left, *right).map(Val::Int).ok_or_else(|| match (self, right) {
                (Operator::Divide | Operator::Modulo, 0) => Fail::wrong("a division by zero"),
                _ => Fail::wrong(format!("the result of `{}` does not fit into 64 bits", self.sign())),
            });
        }
        match (number(left), number(right)) {
            (Some(_), Some(0.0)) if matches!(self, Operator::Divide | Operator::Modulo) => {
                Err(Fail::wrong("a division by zero"))
            }
            (Some(left), Some(right)) => Val::finite(doubles(left, right)),
            (None, _) | (_, None) => Err(self.misfit(left, right)),
        }
    }

    fn add<'a>(self, left: &Val<'a>, right: &Val<'a>, budget: &mut Budget) -> Result<Val<'a>, Fail> {
        let beyond = |_| Fail::wrong("the moment is out of range");
        match (left, right) {
            (Val::Text(left), Val::Text(right)) => {
                budget.build(left.as_str().len() + right.as_str().len())?;
                Val::text([left.as_str(), right.as_str()].concat(), budget)
            }
            (Val::List(left), Val::List(right)) => {
                budget.build_values(left.len() + right.len())?;
                Ok(Val::list(left.iter().chain(right.iter()).collect()))
            }
            (Val::Bytes(left), Val::Bytes(right)) => {
                budget.build(left.len() + right.len())?;
                Ok(Val::Bytes(Rc::from([&**left, &**right].concat())))
            }
            (Val::Moment(moment), Val::Span(span)) | (Val::Span(span), Val::Moment(moment)) => {
                moment.checked_add(*span).map(Val::Moment).map_err(beyond)
            }
            (Val::Span(left), Val::Span(right)) => {
                left.checked_add(*right).map(Val::Span).ok_or_else(|| Fail::wrong("the duration is out of range"))
            }
            _ => self.calculate(left, right, i64::checked_add, |a, b| a + b),
        }
    }

    fn subtract<'a>(self, left: &Val<'a>, right: &Val<'a>) -> Result<Val<'a>, Fail> {
        match (left, right) {
            (Val::Moment(moment), Val::Span(span)) => {
                moment.checked_sub(*span).map(Val::Moment).map_err(|_| Fail::wrong("the moment is out of range"))
            }
            (Val::Moment(left), Val::Moment(right)) => Ok(Val::Span(left.duration_since(*right))),
            (Val::Span(left), Val::Span(right)) => {
                left.checked_sub(*right).map(Val::Span).ok_or_else(|| Fail::wrong("the duration is out of range"))
            }
            _ => self.calculate(left, right, i64::checked_sub, |a, b| a - b),
        }
    }

    fn contains<'a>(self, left: &Val<'a>, right: &Val<'a>, budget: &mut Budget) -> Result<Val<'a>, Fail> {
        match right {
            Val::List(list) => {
                for item in list.iter() {
                    if equal(left, &item, budget)? {
                        return Ok(Val::Bool(true));
                    }
                }
                Ok(Val::Bool(false))
            }
            Val::Map(map) => match left {
                Val::Text(key) => Ok(Val::Bool(map.get(key.as_str()).is_some())),
                _ => Ok(Val::Bool(false)),
            },
            _ => Err(self.misfit(left, right)),
        }
    }
}

/// An int or a double as a double.
pub(super) fn number(value: &Val<'_>) -> Option<f64> {
    match value {
        Val::Int(value) => Some(*value as f64),
        Val::Double(value) => Some(*value),
        _ => None,
    }
}

/// `-x`.
pub(super) fn negate<'a>(value: &Val<'a>) -> Result<Val<'a>, Fail> {
    match value {
        Val::Int(value) => {
            value.checked_neg().map(Val::Int).ok_or_else(|| Fail::wrong("the result of `-` does not fit into 64 bits"))
        }
        Val::Double(value) => Ok(Val::Double(-value)),
        Val::Span(span) => span.checked_neg().map(Val::Span).ok_or_else(|| Fail::wrong("the duration is out of range")),
        _ => Err(Fail::wrong(format!("`-` needs a number, not {}", value.what()))),
    }
}

/// How two values of the same kind lie, or nothing where there is no order between them.
pub(super) fn order(left: &Val<'_>, right: &Val<'_>) -> Option<Ordering> {
    match (left, right) {
        (Val::Int(left), Val::Int(right)) => Some(left.cmp(right)),
        (Val::Double(left), Val::Double(right)) => left.partial_cmp(right),
        (Val::Int(left), Val::Double(right)) => Some(order_mixed(*left, *right)),
        (Val::Double(left), Val::Int(right)) => Some(order_mixed(*right, *left).reverse()),
        (Val::Text(left), Val::Text(right)) => Some(left.as_str().cmp(right.as_str())),
        (Val::Bytes(left), Val::Bytes(right)) => Some(left.cmp(right)),
        (Val::Bool(left), Val::Bool(right)) => Some(left.cmp(right)),
        (Val::Moment(left), Val::Moment(right)) => Some(left.cmp(right)),
        (Val::Span(left), Val::Span(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

/// Exact where a conversion to double would round.
fn order_mixed(int: i64, double: f64) -> Ordering {
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if double >= BEYOND {
        return Ordering::Less;
    }
    if double < -BEYOND {
        return Ordering::Greater;
    }
    let whole = double.trunc();
    int.cmp(&(whole as i64)).then_with(|| whole.partial_cmp(&double).unwrap_or(Ordering::Equal))
}

/// Values of different kinds are unequal; an empty optional equals null.
pub(super) fn equal(left: &Val<'_>, right: &Val<'_>, budget: &mut Budget) -> Result<bool, Fail> {
    budget.step()?;
    match (left, right) {
        (Val::Null | Val::Missing, Val::Null | Val::Missing) => Ok(true),
        (Val::Kind(left), Val::Kind(right)) => Ok(left == right),
        (Val::Text(left), Val::Text(right)) => {
            budget.read(left.as_str().len().min(right.as_str().len()))?;
            Ok(left.as_str() == right.as_str())
        }
        (Val::List(left), Val::List(right)) => equal_lists(left, right, budget),
        (Val::Map(left), Val::Map(right)) => equal_maps(left, right, budget),
        _ => Ok(order(left, right) == Some(Ordering::Equal)),
    }
}

fn equal_lists(left: &List<'_>, right: &List<'_>, budget: &mut Budget) -> Result<bool, Fail> {
    if left.len() != right.len() {
        return Ok(false);
    }
    for (left, right) in left.iter().zip(right.iter()) {
        if !equal(&left, &right, budget)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn equal_maps(left: &Map<'_>, right: &Map<'_>, budget: &mut Budget) -> Result<bool, Fail> {
    if left.len() != right.len() {
        return Ok(false);
    }
    for key in left.keys() {
        let (Some(left), Some(right)) = (left.get(key), right.get(key)) else {
            return Ok(false);
        };
        if !equal(&left, &right, budget)? {
            return Ok(false);
        }
    }
    Ok(true)
}

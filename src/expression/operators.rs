//! The operators, as in CEL; ints with doubles, which CEL refuses, are computed as doubles.

use std::cmp::Ordering;
use std::rc::Rc;

use super::bounds::{Budget, EvalError};
use super::collections::Key;
use super::compare::{Wide, equal, number, order, wide};
use super::value::Val;

/// A binary operator that always evaluates both operands.
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
    /// Its symbol.
    pub(super) fn sign(self) -> &'static str {
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

    pub(super) fn apply<'a>(self, left: &Val<'a>, right: &Val<'a>, budget: &mut Budget) -> Result<Val<'a>, EvalError> {
        if let (Val::Text(left), Val::Text(right)) = (left, right) {
            budget.read(left.as_str().len().min(right.as_str().len()))?;
        }
        let ordered = |holds: fn(Ordering) -> bool| {
            let order = order(left, right).ok_or_else(|| self.mismatch(left, right))?;
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

    fn mismatch(self, left: &Val<'_>, right: &Val<'_>) -> EvalError {
        let hint = match (left, right) {
            (Val::Timestamp(_), Val::Text(_)) | (Val::Text(_), Val::Timestamp(_)) => {
                "; convert the string with timestamp(…)"
            }
            (Val::Duration(_), Val::Text(_)) | (Val::Text(_), Val::Duration(_)) | (Val::Timestamp(_), Val::Int(_)) => {
                "; write a duration as duration(…)"
            }
            (Val::Text(_), _) | (_, Val::Text(_)) if self == Operator::Add => "; convert the value with string(…)",
            _ => "",
        };
        let (left, right) = (left.what(), right.what());
        EvalError::invalid(format!("`{}` does not work with {left} and {right}{hint}", self.sign()))
    }

    fn calculate<'a>(
        self,
        left: &Val<'a>,
        right: &Val<'a>,
        ints: fn(i64, i64) -> Option<i64>,
        doubles: fn(f64, f64) -> f64,
    ) -> Result<Val<'a>, EvalError> {
        if let (Val::Int(left), Val::Int(right)) = (left, right) {
            return ints(*left, *right).map(Val::Int).ok_or_else(|| match (self, right) {
                (Operator::Divide | Operator::Modulo, 0) => EvalError::invalid("division by zero"),
                _ => EvalError::invalid(format!("the result of `{}` does not fit into 64 bits", self.sign())),
            });
        }
        if let Some((left, right)) = wide(left, right) {
            return self.calculate_wide(left, right);
        }
        match (number(left), number(right)) {
            (Some(_), Some(0.0)) if matches!(self, Operator::Divide | Operator::Modulo) => {
                Err(EvalError::invalid("division by zero"))
            }
            (Some(left), Some(right)) => Val::finite(doubles(left, right)),
            (None, _) | (_, None) => Err(self.mismatch(left, right)),
        }
    }

    /// Of uints, or a uint and an int: exact; a uint only if both are uints.
    fn calculate_wide<'a>(self, left: Wide, right: Wide) -> Result<Val<'a>, EvalError> {
        let (of, by) = (left.value, right.value);
        let result = match self {
            Operator::Add => of.checked_add(by),
            Operator::Subtract => of.checked_sub(by),
            Operator::Multiply => of.checked_mul(by),
            Operator::Divide | Operator::Modulo if by == 0 => return Err(EvalError::invalid("division by zero")),
            Operator::Divide => of.checked_div(by),
            Operator::Modulo => of.checked_rem(by),
            Operator::Equal
            | Operator::Unequal
            | Operator::Less
            | Operator::LessOrEqual
            | Operator::Greater
            | Operator::GreaterOrEqual
            | Operator::In => None,
        };
        let result = if left.unsigned && right.unsigned {
            result.and_then(|result| u64::try_from(result).ok()).map(Val::Uint)
        } else {
            result.and_then(|result| i64::try_from(result).ok()).map(Val::Int)
        };
        result.ok_or_else(|| EvalError::invalid(format!("the result of `{}` does not fit into 64 bits", self.sign())))
    }

    fn add<'a>(self, left: &Val<'a>, right: &Val<'a>, budget: &mut Budget) -> Result<Val<'a>, EvalError> {
        let beyond = |_| EvalError::invalid("the timestamp is out of range");
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
            (Val::Timestamp(moment), Val::Duration(span)) | (Val::Duration(span), Val::Timestamp(moment)) => {
                moment.checked_add(*span).map_err(beyond).and_then(Val::timestamp)
            }
            (Val::Duration(left), Val::Duration(right)) => Val::span(left.checked_add(*right)),
            _ => self.calculate(left, right, i64::checked_add, |a, b| a + b),
        }
    }

    fn subtract<'a>(self, left: &Val<'a>, right: &Val<'a>) -> Result<Val<'a>, EvalError> {
        match (left, right) {
            (Val::Timestamp(moment), Val::Duration(span)) => {
                let moment = moment.checked_sub(*span).map_err(|_| EvalError::invalid("the timestamp is out of range"));
                moment.and_then(Val::timestamp)
            }
            (Val::Timestamp(left), Val::Timestamp(right)) => Val::span(Some(left.duration_since(*right))),
            (Val::Duration(left), Val::Duration(right)) => Val::span(left.checked_sub(*right)),
            _ => self.calculate(left, right, i64::checked_sub, |a, b| a - b),
        }
    }

    fn contains<'a>(self, left: &Val<'a>, right: &Val<'a>, budget: &mut Budget) -> Result<Val<'a>, EvalError> {
        match right {
            Val::List(list) => {
                for item in list.iter() {
                    if equal(left, &item, budget)? {
                        return Ok(Val::Bool(true));
                    }
                }
                Ok(Val::Bool(false))
            }
            Val::Map(map) => Ok(Val::Bool(Key::sought(left).is_some_and(|key| map.find(key).is_some()))),
            _ => Err(self.mismatch(left, right)),
        }
    }
}

/// `-x`.
pub(super) fn negate<'a>(value: &Val<'a>) -> Result<Val<'a>, EvalError> {
    match value {
        Val::Int(value) => value
            .checked_neg()
            .map(Val::Int)
            .ok_or_else(|| EvalError::invalid("the result of `-` does not fit into 64 bits")),
        Val::Double(value) => Ok(Val::Double(-value)),
        Val::Duration(span) => Val::span(span.checked_neg()),
        _ => Err(EvalError::invalid(format!("`-` needs a number, not {}", value.what()))),
    }
}

//! Equality and order of values, across number types.

use std::cmp::Ordering;

use super::bounds::{Budget, EvalError};
use super::collections::{List, Map};
use super::value::Val;

/// An int or a uint.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wide {
    pub(super) value: i128,
    pub(super) unsigned: bool,
}

impl Wide {
    fn of(value: &Val<'_>) -> Option<Self> {
        match value {
            Val::Int(value) => Some(Self { value: (*value).into(), unsigned: false }),
            Val::Uint(value) => Some(Self { value: (*value).into(), unsigned: true }),
            _ => None,
        }
    }
}

pub(super) fn wide(left: &Val<'_>, right: &Val<'_>) -> Option<(Wide, Wide)> {
    Wide::of(left).zip(Wide::of(right))
}

/// An int, a uint or a double as a double.
pub(super) fn number(value: &Val<'_>) -> Option<f64> {
    match value {
        Val::Int(value) => Some(*value as f64),
        Val::Uint(value) => Some(*value as f64),
        Val::Double(value) => Some(*value),
        _ => None,
    }
}

/// The order of two values; none if they cannot be ordered.
pub(super) fn order(left: &Val<'_>, right: &Val<'_>) -> Option<Ordering> {
    match (left, right) {
        (Val::Int(left), Val::Int(right)) => Some(left.cmp(right)),
        (Val::Double(left), Val::Double(right)) => left.partial_cmp(right),
        (Val::Int(left), Val::Double(right)) => Some(order_mixed((*left).into(), *right)),
        (Val::Double(left), Val::Int(right)) => Some(order_mixed((*right).into(), *left).reverse()),
        (Val::Uint(left), Val::Double(right)) => Some(order_mixed((*left).into(), *right)),
        (Val::Double(left), Val::Uint(right)) => Some(order_mixed((*right).into(), *left).reverse()),
        (Val::Uint(_), _) | (_, Val::Uint(_)) => wide(left, right).map(|(left, right)| left.value.cmp(&right.value)),
        (Val::Text(left), Val::Text(right)) => Some(left.as_str().cmp(right.as_str())),
        (Val::Bytes(left), Val::Bytes(right)) => Some(left.cmp(right)),
        (Val::Bool(left), Val::Bool(right)) => Some(left.cmp(right)),
        (Val::Timestamp(left), Val::Timestamp(right)) => Some(left.cmp(right)),
        (Val::Duration(left), Val::Duration(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

/// Exact where a conversion to double would round.
fn order_mixed(int: i128, double: f64) -> Ordering {
    const BEYOND: f64 = 18_446_744_073_709_551_616.0;
    if double >= BEYOND {
        return Ordering::Less;
    }
    if double < -BEYOND {
        return Ordering::Greater;
    }
    let whole = double.trunc();
    int.cmp(&(whole as i128)).then_with(|| whole.partial_cmp(&double).unwrap_or(Ordering::Equal))
}

/// Values of different types are unequal. An empty optional equals null, and one with a value equals that value; CEL compares
/// optionals only with each other.
pub(super) fn equal(left: &Val<'_>, right: &Val<'_>, budget: &mut Budget) -> Result<bool, EvalError> {
    budget.step()?;
    match (left, right) {
        (Val::Null | Val::Missing, Val::Null | Val::Missing) => Ok(true),
        (Val::There(_), Val::Missing) | (Val::Missing, Val::There(_)) => Ok(false),
        (Val::There(_), _) | (_, Val::There(_)) => equal(left.settled(), right.settled(), budget),
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

fn equal_lists(left: &List<'_>, right: &List<'_>, budget: &mut Budget) -> Result<bool, EvalError> {
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

fn equal_maps(left: &Map<'_>, right: &Map<'_>, budget: &mut Budget) -> Result<bool, EvalError> {
    if left.len() != right.len() {
        return Ok(false);
    }
    for key in left.keys() {
        let (Some(left), Some(right)) = (left.find(key), right.find(key)) else {
            return Ok(false);
        };
        if !equal(&left, &right, budget)? {
            return Ok(false);
        }
    }
    Ok(true)
}

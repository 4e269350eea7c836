//! Functions on numbers.

use std::cmp::Ordering;
use std::rc::Rc;

use super::lists::extreme;
use super::{Answer, Function};
use crate::expression::bounds::{Budget, EvalError};
use crate::expression::collections::List;
use crate::expression::value::Val;

pub(super) const ALL: &[Function] = &[
    Function::global("math.greatest", (1, usize::MAX), |args, budget| chosen(args, Ordering::Greater, budget)),
    Function::global("math.least", (1, usize::MAX), |args, budget| chosen(args, Ordering::Less, budget)),
    Function::global("math.abs", (1, 1), abs),
    Function::global("math.sign", (1, 1), sign),
    Function::global("math.sqrt", (1, 1), sqrt),
    Function::global("math.ceil", (1, 1), |args, _| rounded(&args[0], f64::ceil)),
    Function::global("math.floor", (1, 1), |args, _| rounded(&args[0], f64::floor)),
    Function::global("math.round", (1, 1), |args, _| rounded(&args[0], f64::round)),
    Function::global("math.trunc", (1, 1), |args, _| rounded(&args[0], f64::trunc)),
    Function::global("math.bitAnd", (2, 2), |args, _| bits(args, |a, b| a & b)),
    Function::global("math.bitOr", (2, 2), |args, _| bits(args, |a, b| a | b)),
    Function::global("math.bitXor", (2, 2), |args, _| bits(args, |a, b| a ^ b)),
    Function::global("math.bitNot", (1, 1), bit_not),
    Function::global("math.bitShiftLeft", (2, 2), |args, _| shifted(args, u64::checked_shl)),
    Function::global("math.bitShiftRight", (2, 2), |args, _| shifted(args, u64::checked_shr)),
];

/// The extreme of several arguments, or of the elements of one list.
fn chosen<'a>(args: &[Val<'a>], wanted: Ordering, budget: &mut Budget) -> Answer<'a> {
    let list = match args {
        [Val::List(list)] => list.clone(),
        _ => List::Built(Rc::new(args.to_vec())),
    };
    for item in list.iter() {
        budget.step()?;
        if !matches!(item, Val::Int(_) | Val::Uint(_) | Val::Double(_)) {
            return Err(EvalError::invalid(format!("expected numbers, got {}", item.what())));
        }
    }
    extreme(&list, wanted, budget)
}

fn no_number(value: &Val<'_>) -> EvalError {
    EvalError::invalid(format!("expected a number, got {}", value.what()))
}

fn abs<'a>(args: &[Val<'a>], _: &mut Budget) -> Answer<'a> {
    match &args[0] {
        Val::Int(value) => {
            value.checked_abs().map(Val::Int).ok_or_else(|| EvalError::invalid("the result is out of range"))
        }
        Val::Uint(value) => Ok(Val::Uint(*value)),
        Val::Double(value) => Ok(Val::Double(value.abs())),
        other => Err(no_number(other)),
    }
}

fn sign<'a>(args: &[Val<'a>], _: &mut Budget) -> Answer<'a> {
    match &args[0] {
        Val::Int(value) => Ok(Val::Int(value.signum())),
        Val::Uint(value) => Ok(Val::Uint((*value).min(1))),
        Val::Double(value) if *value == 0.0 => Ok(Val::Double(0.0)),
        Val::Double(value) => Ok(Val::Double(value.signum())),
        other => Err(no_number(other)),
    }
}

fn sqrt<'a>(args: &[Val<'a>], _: &mut Budget) -> Answer<'a> {
    match &args[0] {
        Val::Int(value) => Val::finite((*value as f64).sqrt()),
        Val::Uint(value) => Val::finite((*value as f64).sqrt()),
        Val::Double(value) => Val::finite(value.sqrt()),
        other => Err(no_number(other)),
    }
}

/// A double without its fraction; an int is unchanged.
fn rounded<'a>(value: &Val<'a>, round: fn(f64) -> f64) -> Answer<'a> {
    match value {
        Val::Int(value) => Ok(Val::Int(*value)),
        Val::Uint(value) => Ok(Val::Uint(*value)),
        Val::Double(value) => Val::finite(round(*value)),
        other => Err(no_number(other)),
    }
}

/// A bitwise operation on two ints or two uints.
fn bits<'a>(args: &[Val<'a>], of: fn(u64, u64) -> u64) -> Answer<'a> {
    match args {
        [Val::Int(left), Val::Int(right)] => Ok(Val::Int(of(*left as u64, *right as u64) as i64)),
        [Val::Uint(left), Val::Uint(right)] => Ok(Val::Uint(of(*left, *right))),
        _ => Err(EvalError::invalid("expected two ints or two uints")),
    }
}

fn bit_not<'a>(args: &[Val<'a>], _: &mut Budget) -> Answer<'a> {
    match &args[0] {
        Val::Int(value) => Ok(Val::Int(!value)),
        Val::Uint(value) => Ok(Val::Uint(!value)),
        other => Err(EvalError::invalid(format!("expected an int or a uint, got {}", other.what()))),
    }
}

/// A logical shift; a shift by 64 or more gives 0.
fn shifted<'a>(args: &[Val<'a>], shift: fn(u64, u32) -> Option<u64>) -> Answer<'a> {
    let by = super::count(&args[1])?;
    let by = u32::try_from(by).unwrap_or(u32::MAX);
    match &args[0] {
        Val::Int(value) => Ok(Val::Int(shift(*value as u64, by).unwrap_or(0) as i64)),
        Val::Uint(value) => Ok(Val::Uint(shift(*value, by).unwrap_or(0))),
        other => Err(EvalError::invalid(format!("expected an int or a uint, got {}", other.what()))),
    }
}

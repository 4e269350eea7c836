//! Functions on numbers.

use std::cmp::Ordering;
use std::rc::Rc;

use super::lists::extreme;
use super::{Answer, Function};
use crate::definition::expression::bounds::{Budget, Fail};
use crate::definition::expression::value::{List, Val};

pub(super) const ALL: &[Function] = &[
    Function::global("math.greatest", (1, usize::MAX), |args, budget| chosen(args, Ordering::Greater, budget)),
    Function::global("math.least", (1, usize::MAX), |args, budget| chosen(args, Ordering::Less, budget)),
    Function::global("math.abs", (1, 1), abs),
    Function::global("math.ceil", (1, 1), |args, _| rounded(&args[0], f64::ceil)),
    Function::global("math.floor", (1, 1), |args, _| rounded(&args[0], f64::floor)),
    Function::global("math.round", (1, 1), |args, _| rounded(&args[0], f64::round)),
    Function::global("math.trunc", (1, 1), |args, _| rounded(&args[0], f64::trunc)),
];

/// Of several arguments, or of the elements of one list.
fn chosen<'a>(args: &[Val<'a>], wanted: Ordering, budget: &mut Budget) -> Answer<'a> {
    let list = match args {
        [Val::List(list)] => list.clone(),
        _ => List::Built(Rc::new(args.to_vec())),
    };
    for item in list.iter() {
        budget.step()?;
        if !matches!(item, Val::Int(_) | Val::Double(_)) {
            return Err(Fail::wrong(format!("numbers are needed, not {}", item.what())));
        }
    }
    extreme(&list, wanted, budget)
}

fn abs<'a>(args: &[Val<'a>], _: &mut Budget) -> Answer<'a> {
    match &args[0] {
        Val::Int(value) => value.checked_abs().map(Val::Int).ok_or_else(|| Fail::wrong("the result is out of range")),
        Val::Double(value) => Ok(Val::Double(value.abs())),
        other => Err(Fail::wrong(format!("a number is needed, not {}", other.what()))),
    }
}

/// A double that has no fraction any more; an int stays what it is.
fn rounded<'a>(value: &Val<'a>, round: fn(f64) -> f64) -> Answer<'a> {
    match value {
        Val::Int(value) => Ok(Val::Int(*value)),
        Val::Double(value) => Val::finite(round(*value)),
        other => Err(Fail::wrong(format!("a number is needed, not {}", other.what()))),
    }
}

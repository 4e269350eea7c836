//! Functions on values of any type, and conversions.

use std::rc::Rc;

use super::{Answer, Function, text};
use crate::expression::bounds::{Budget, EvalError};
use crate::expression::value::Val;

pub(super) const ALL: &[Function] = &[
    Function::both("size", (1, 1), size),
    Function::global("int", (1, 1), to_int),
    Function::global("uint", (1, 1), to_uint),
    Function::global("double", (1, 1), to_double),
    Function::global("string", (1, 1), to_string),
    Function::global("bool", (1, 1), to_bool),
    Function::global("bytes", (1, 1), to_bytes),
    Function::method("value", (1, 1), |args, _| Ok(args[0].clone())),
];

fn size<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    let size = match &args[0] {
        Val::Text(text) => {
            budget.read(text.as_str().len())?;
            text.as_str().chars().count()
        }
        Val::Bytes(bytes) => bytes.len(),
        Val::List(list) => list.len(),
        Val::Map(map) => map.len(),
        other => return Err(EvalError::invalid(format!("{} does not have a size", other.what()))),
    };
    Ok(Val::Int(i64::try_from(size).unwrap_or(i64::MAX)))
}

fn no_way(value: &Val<'_>, to: &str) -> EvalError {
    EvalError::invalid(format!("cannot convert {} to {to}", value.what()))
}

fn to_int<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    match &args[0] {
        Val::Int(value) => Ok(Val::Int(*value)),
        Val::Uint(value) => {
            i64::try_from(*value).map(Val::Int).map_err(|_| EvalError::invalid("the number does not fit into 63 bits"))
        }
        // -2^63 itself is refused, as in CEL: it may be the result of rounding.
        Val::Double(value) if *value > -LIMIT && *value < LIMIT => Ok(Val::Int(*value as i64)),
        Val::Double(_) => Err(EvalError::invalid("the number does not fit into 64 bits")),
        Val::Text(_) => {
            let int =
                text(&args[0], budget)?.parse().map_err(|_| EvalError::invalid("the string is not a whole number"))?;
            Ok(Val::Int(int))
        }
        Val::Timestamp(moment) => Ok(Val::Int(moment.as_second())),
        other => Err(no_way(other, "an int")),
    }
}

fn to_uint<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    const LIMIT: f64 = 18_446_744_073_709_551_616.0;
    match &args[0] {
        Val::Uint(value) => Ok(Val::Uint(*value)),
        Val::Int(value) => {
            u64::try_from(*value).map(Val::Uint).map_err(|_| EvalError::invalid("the number is negative"))
        }
        Val::Double(value) if *value > -1.0 && *value < LIMIT => Ok(Val::Uint(*value as u64)),
        Val::Double(_) => Err(EvalError::invalid("the number does not fit into 64 unsigned bits")),
        Val::Text(_) => {
            let uint = text(&args[0], budget)?
                .parse()
                .map_err(|_| EvalError::invalid("the string is not an unsigned whole number"))?;
            Ok(Val::Uint(uint))
        }
        other => Err(no_way(other, "a uint")),
    }
}

fn to_double<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    match &args[0] {
        Val::Int(value) => Ok(Val::Double(*value as f64)),
        Val::Uint(value) => Ok(Val::Double(*value as f64)),
        Val::Double(value) => Ok(Val::Double(*value)),
        Val::Text(_) => {
            let double =
                text(&args[0], budget)?.parse().map_err(|_| EvalError::invalid("the string is not a number"))?;
            Val::finite(double)
        }
        other => Err(no_way(other, "a double")),
    }
}

fn to_string<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    match &args[0] {
        Val::Text(_) => Ok(args[0].clone()),
        Val::Null => Err(no_way(&args[0], "a text")),
        Val::Bytes(bytes) => {
            budget.build(bytes.len())?;
            let text = std::str::from_utf8(bytes).map_err(|_| EvalError::invalid("the bytes are not valid UTF-8"))?;
            Val::text(text, budget)
        }
        other => {
            let text = other.to_text(budget)?;
            Val::text(text, budget)
        }
    }
}

fn to_bool<'a>(args: &[Val<'a>], _: &mut Budget) -> Answer<'a> {
    match &args[0] {
        Val::Bool(value) => Ok(Val::Bool(*value)),
        Val::Text(text) => match text.as_str() {
            "true" | "True" | "TRUE" | "t" | "1" => Ok(Val::Bool(true)),
            "false" | "False" | "FALSE" | "f" | "0" => Ok(Val::Bool(false)),
            _ => Err(EvalError::invalid("the string is not a boolean")),
        },
        other => Err(no_way(other, "a boolean")),
    }
}

fn to_bytes<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    match &args[0] {
        Val::Bytes(_) => Ok(args[0].clone()),
        Val::Text(_) => {
            let text = text(&args[0], budget)?;
            budget.build(text.len())?;
            Ok(Val::Bytes(Rc::from(text.as_bytes())))
        }
        other => Err(no_way(other, "bytes")),
    }
}

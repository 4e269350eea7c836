//! The functions of expressions, which are resolved at compile time. All are pure, and spend budget for what they read and build.

mod codecs;
mod format;
mod lists;
mod numbers;
mod texts;
mod timestamps;
mod values;

pub(super) use codecs::percent_encoded;
pub(super) use lists::sorted;
pub(super) use texts::{matches, pattern};

use super::bounds::{Budget, EvalError};
use super::collections::{List, Map};
use super::value::Val;
use crate::text::nearest;

type Answer<'a> = Result<Val<'a>, EvalError>;
type Run = for<'a> fn(&[Val<'a>], &mut Budget) -> Answer<'a>;

/// Namespaces of functions, such as `math` in `math.abs(x)`.
pub(super) const SPACES: [&str; 10] =
    ["math", "json", "base64", "hash", "url", "lists", "maps", "strings", "optional", "cel"];
/// Functions in a namespace that are compiled specially.
const BUILT_IN: [&str; 4] = ["optional.none", "optional.of", "optional.ofNonZeroValue", "cel.bind"];

/// The form of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `f(x)`, `space.f(x)`
    Global,
    /// `x.f()`
    Method,
}

/// The forms in which a function can be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Global,
    Method,
    Both,
}

/// A function; the receiver of a method is its first argument.
#[derive(Debug)]
pub(super) struct Function {
    name: &'static str,
    style: Style,
    /// The smallest and largest number of arguments.
    arguments: (usize, usize),
    run: Run,
}

impl Function {
    const fn global(name: &'static str, arguments: (usize, usize), run: Run) -> Self {
        Self { name, style: Style::Global, arguments, run }
    }

    const fn method(name: &'static str, arguments: (usize, usize), run: Run) -> Self {
        Self { name, style: Style::Method, arguments, run }
    }

    const fn both(name: &'static str, arguments: (usize, usize), run: Run) -> Self {
        Self { name, style: Style::Both, arguments, run }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Checks the number of arguments.
    pub(super) fn accepts(&self, count: usize) -> Result<(), String> {
        let (fewest, most) = self.arguments;
        if (fewest..=most).contains(&count) {
            return Ok(());
        }
        let own = usize::from(self.style == Style::Method);
        let (fewest, count) = (fewest - own, count.saturating_sub(own));
        let expected = match most {
            usize::MAX => format!("at least {fewest}"),
            most if most - own == fewest => fewest.to_string(),
            most => format!("{fewest} to {}", most - own),
        };
        Err(format!("`{}` takes {expected} argument(s), not {count}", self.name))
    }

    pub(super) fn call<'a>(&self, args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
        (self.run)(args, budget).map_err(|error| error.within(self.name))
    }
}

fn all() -> impl Iterator<Item = &'static Function> {
    [texts::ALL, format::ALL, lists::ALL, numbers::ALL, values::ALL, codecs::ALL, timestamps::ALL].into_iter().flatten()
}

/// Whether there is a function with this qualified name, `namespace.function`.
pub(super) fn in_space(name: &str) -> bool {
    BUILT_IN.contains(&name) || all().any(|function| function.name == name)
}

/// The function with this name; the error message suggests a similar name.
pub(super) fn find(form: Form, name: &str) -> Result<&'static Function, String> {
    let other = match form {
        Form::Global => Style::Method,
        Form::Method => Style::Global,
    };
    if let Some(found) = all().find(|function| function.name == name && function.style != other) {
        return Ok(found);
    }
    if let Some(found) = all().find(|function| function.name == name) {
        return Err(match found.style {
            Style::Method => format!("call `{name}` on a value: x.{name}(…)"),
            Style::Global | Style::Both => format!("call `{name}` with the value as argument: {name}(x)"),
        });
    }
    Err(match nearest(name, all().map(|function| function.name)) {
        Some(near) => format!("unknown function `{name}`; did you mean `{near}`?"),
        None => format!("unknown function `{name}`"),
    })
}

fn text<'v>(value: &'v Val<'_>, budget: &mut Budget) -> Result<&'v str, EvalError> {
    match value {
        Val::Text(text) => {
            budget.read(text.as_str().len())?;
            Ok(text.as_str())
        }
        other => Err(EvalError::invalid(format!("expected a string, got {}", other.what()))),
    }
}

fn list<'v, 'a>(value: &'v Val<'a>, budget: &mut Budget) -> Result<&'v List<'a>, EvalError> {
    match value {
        Val::List(list) => {
            budget.steps(list.len())?;
            Ok(list)
        }
        other => Err(EvalError::invalid(format!("expected a list, got {}", other.what()))),
    }
}

fn map<'v, 'a>(value: &'v Val<'a>, budget: &mut Budget) -> Result<&'v Map<'a>, EvalError> {
    match value {
        Val::Map(map) => {
            budget.steps(map.len())?;
            Ok(map)
        }
        other => Err(EvalError::invalid(format!("expected a map, got {}", other.what()))),
    }
}

/// A whole number; a double without fraction counts.
fn int(value: &Val<'_>) -> Result<i64, EvalError> {
    match value {
        Val::Int(value) => Ok(*value),
        Val::Uint(value) => {
            i64::try_from(*value).map_err(|_| EvalError::invalid("the number does not fit into 63 bits"))
        }
        Val::Double(value) if value.fract() == 0.0 && value.abs() < 9.0e15 => Ok(*value as i64),
        other => Err(EvalError::invalid(format!("expected a whole number, got {}", other.what()))),
    }
}

/// A whole number that is not negative.
fn count(value: &Val<'_>) -> Result<usize, EvalError> {
    usize::try_from(int(value)?).map_err(|_| EvalError::invalid("the number must not be negative"))
}

/// The names of the functions that can be called in this form.
#[cfg(test)]
pub(super) fn names(form: Form) -> Vec<&'static str> {
    all().map(Function::name).filter(|name| find(form, name).is_ok()).collect()
}

//! The functions an expression may call, found when it is read. All are pure and pay for what they read and build.

mod codecs;
mod format;
mod lists;
mod moments;
mod numbers;
mod texts;
mod values;

pub(super) use codecs::percent_encoded;
pub(super) use lists::sorted;
pub(super) use texts::{matches, pattern};

use super::bounds::{Budget, Fail};
use super::collections::{List, Map};
use super::value::Val;

type Answer<'a> = Result<Val<'a>, Fail>;
type Run = for<'a> fn(&[Val<'a>], &mut Budget) -> Answer<'a>;

/// Names that are not variables when a function is called on them.
pub(super) const SPACES: [&str; 10] =
    ["math", "json", "base64", "hash", "url", "lists", "maps", "strings", "optional", "cel"];
/// What is called in a space, but is no function of a table.
const BUILT_IN: [&str; 4] = ["optional.none", "optional.of", "optional.ofNonZeroValue", "cel.bind"];

/// How a call is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `f(x)`, `space.f(x)`
    Global,
    /// `x.f()`
    Method,
}

/// Which forms a function has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Global,
    Method,
    Both,
}

/// A function; what it is called on counts as its first argument.
#[derive(Debug)]
pub(super) struct Function {
    name: &'static str,
    style: Style,
    /// Fewest and most arguments.
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

    /// Whether it takes that many arguments; the error is a sentence.
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
        Err(format!("`{}` takes {expected} argument(s), here are {count}", self.name))
    }

    pub(super) fn call<'a>(&self, args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
        (self.run)(args, budget).map_err(|fail| fail.within(self.name))
    }
}

fn all() -> impl Iterator<Item = &'static Function> {
    [texts::ALL, format::ALL, lists::ALL, numbers::ALL, values::ALL, codecs::ALL, moments::ALL].into_iter().flatten()
}

/// Whether something of that name, `space.function`, can be called.
pub(super) fn in_space(name: &str) -> bool {
    BUILT_IN.contains(&name) || all().any(|function| function.name == name)
}

/// The function of that name; the error is a sentence, with the nearest name there is.
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
            Style::Method => format!("`{name}` is called on a value: x.{name}(…)"),
            Style::Global | Style::Both => format!("`{name}` is not called on a value: {name}(x)"),
        });
    }
    let near = all().map(|function| (strsim::osa_distance(function.name, name), function.name)).min();
    Err(match near {
        Some((0..=2, near)) => format!("there is no function `{name}`; there is `{near}`"),
        _ => format!("there is no function `{name}`"),
    })
}

fn text<'v>(value: &'v Val<'_>, budget: &mut Budget) -> Result<&'v str, Fail> {
    match value {
        Val::Text(text) => {
            budget.read(text.as_str().len())?;
            Ok(text.as_str())
        }
        other => Err(Fail::wrong(format!("a text is needed, not {}", other.what()))),
    }
}

fn list<'v, 'a>(value: &'v Val<'a>, budget: &mut Budget) -> Result<&'v List<'a>, Fail> {
    match value {
        Val::List(list) => {
            budget.steps(list.len())?;
            Ok(list)
        }
        other => Err(Fail::wrong(format!("a list is needed, not {}", other.what()))),
    }
}

fn map<'v, 'a>(value: &'v Val<'a>, budget: &mut Budget) -> Result<&'v Map<'a>, Fail> {
    match value {
        Val::Map(map) => {
            budget.steps(map.len())?;
            Ok(map)
        }
        other => Err(Fail::wrong(format!("a map is needed, not {}", other.what()))),
    }
}

/// A whole number, also of a double without fraction.
fn int(value: &Val<'_>) -> Result<i64, Fail> {
    match value {
        Val::Int(value) => Ok(*value),
        Val::Uint(value) => i64::try_from(*value).map_err(|_| Fail::wrong("the number does not fit into 63 bits")),
        Val::Double(value) if value.fract() == 0.0 && value.abs() < 9.0e15 => Ok(*value as i64),
        other => Err(Fail::wrong(format!("a whole number is needed, not {}", other.what()))),
    }
}

/// A whole number that counts something.
fn count(value: &Val<'_>) -> Result<usize, Fail> {
    usize::try_from(int(value)?).map_err(|_| Fail::wrong("a number that is not negative is needed"))
}

/// The names one can call in that form.
#[cfg(test)]
pub(super) fn names(form: Form) -> Vec<&'static str> {
    all().map(Function::name).filter(|name| find(form, name).is_ok()).collect()
}

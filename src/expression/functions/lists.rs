//! Functions on lists and maps.

use std::cmp::Ordering;

use super::{Answer, Function, count, int, list, map};
use crate::expression::bounds::{Budget, EvalError};
use crate::expression::collections::{Entries, List};
use crate::expression::compare::{equal, order};
use crate::expression::operators::Operator;
use crate::expression::value::Val;

/// Levels that `flatten` dissolves at most.
const FLATTEN_LEVELS_MAX: usize = 32;

pub(super) const ALL: &[Function] = &[
    Function::method("sum", (1, 1), sum),
    Function::method("min", (1, 1), |args, budget| extreme(list(&args[0], budget)?, Ordering::Less, budget)),
    Function::method("max", (1, 1), |args, budget| extreme(list(&args[0], budget)?, Ordering::Greater, budget)),
    Function::method("sort", (1, 1), sort),
    Function::method("distinct", (1, 1), distinct),
    Function::method("flatten", (1, 2), flatten),
    Function::method("slice", (3, 3), slice),
    Function::method("chunk", (2, 2), chunk),
    Function::method("first", (1, 1), |args, budget| {
        Ok(list(&args[0], budget)?.get(0).map_or(Val::Missing, Val::there))
    }),
    Function::method("last", (1, 1), last),
    Function::global("lists.range", (1, 1), range),
    Function::global("range", (1, 1), range),
    Function::method("merge", (2, 2), merge),
    Function::global("maps.merge", (2, 2), merge),
    Function::method("keys", (1, 1), keys),
    Function::method("values", (1, 1), values),
];

fn last<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    let list = list(&args[0], budget)?;
    Ok(list.len().checked_sub(1).and_then(|at| list.get(at)).map_or(Val::Missing, Val::there))
}

fn sum<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    let mut total = Val::Int(0);
    for (at, item) in list(&args[0], budget)?.iter().enumerate() {
        total = match item {
            // The first element determines the type of the sum.
            Val::Duration(_) | Val::Uint(_) if at == 0 => item,
            Val::Int(_) | Val::Uint(_) | Val::Double(_) | Val::Duration(_) => {
                Operator::Add.apply(&total, &item, budget)?
            }
            other => {
                return Err(EvalError::invalid(format!(
                    "expected a list of numbers, but it contains {}",
                    other.what()
                )));
            }
        };
    }
    Ok(total)
}

/// The least or the greatest element.
pub(super) fn extreme<'a>(list: &List<'a>, wanted: Ordering, budget: &mut Budget) -> Answer<'a> {
    let mut items = list.iter();
    let mut best = items.next().ok_or_else(|| EvalError::invalid("the list is empty"))?;
    for item in items {
        budget.step()?;
        if let Val::Text(text) = &item {
            budget.read(text.as_str().len())?;
        }
        match order(&item, &best) {
            Some(order) if order == wanted => best = item,
            Some(_) => {}
            None => {
                return Err(EvalError::invalid(format!("{} and {} cannot be ordered", best.what(), item.what())));
            }
        }
    }
    Ok(best)
}

fn sort<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    let list = list(&args[0], budget)?;
    budget.build_values(list.len())?;
    sorted(list.iter().map(|item| (item.clone(), item)).collect(), budget)
}

/// Elements sorted by their keys, which are the first of each pair; the sort is stable.
pub(in crate::expression) fn sorted<'a>(mut keyed: Vec<(Val<'a>, Val<'a>)>, budget: &mut Budget) -> Answer<'a> {
    // Types cannot be ordered with each other: checked first, so that sorting never compares two that cannot be ordered.
    if let Some((first, _)) = keyed.first()
        && let Some((other, _)) = keyed.iter().find(|(key, _)| order(first, key).is_none())
    {
        return Err(EvalError::invalid(format!("{} and {} cannot be ordered", first.what(), other.what())));
    }
    let text: usize =
        keyed.iter().map(|(key, _)| if let Val::Text(text) = key { text.as_str().len() } else { 0 }).sum();
    let rounds = keyed.len().max(2).ilog2() as usize;
    budget.steps(keyed.len().saturating_mul(rounds) / 2)?;
    budget.read(text.saturating_mul(rounds))?;
    keyed.sort_by(|(left, _), (right, _)| order(left, right).unwrap_or(Ordering::Equal));
    Ok(Val::list(keyed.into_iter().map(|(_, item)| item).collect()))
}

fn distinct<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    let list = list(&args[0], budget)?;
    budget.build_values(list.len())?;
    let mut found: Vec<Val<'a>> = Vec::new();
    for item in list.iter() {
        let mut known = false;
        for other in &found {
            if equal(other, &item, budget)? {
                known = true;
                break;
            }
        }
        if !known {
            found.push(item);
        }
    }
    Ok(Val::list(found))
}

fn flatten<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    let levels = args.get(1).map_or(Ok(1), count)?;
    if levels > FLATTEN_LEVELS_MAX {
        return Err(EvalError::invalid(format!("cannot flatten more than {FLATTEN_LEVELS_MAX} levels")));
    }
    let mut flat = Vec::new();
    flatten_into(&mut flat, list(&args[0], budget)?, levels, budget)?;
    Ok(Val::list(flat))
}

fn flatten_into<'a>(
    flat: &mut Vec<Val<'a>>,
    items: &List<'a>,
    levels: usize,
    budget: &mut Budget,
) -> Result<(), EvalError> {
    for item in items.iter() {
        budget.build_values(1)?;
        match item {
            Val::List(inner) if levels > 0 => flatten_into(flat, &inner, levels - 1, budget)?,
            other => flat.push(other),
        }
    }
    Ok(())
}

fn slice<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    let (list, from, to) = (list(&args[0], budget)?, count(&args[1])?, count(&args[2])?);
    if from > to || to > list.len() {
        return Err(EvalError::invalid("the list does not have these positions"));
    }
    budget.build_values(to - from)?;
    Ok(Val::list(list.iter().skip(from).take(to - from).collect()))
}

fn chunk<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    let (list, size) = (list(&args[0], budget)?, count(&args[1])?);
    if size == 0 {
        return Err(EvalError::invalid("the size of a chunk must be at least 1"));
    }
    budget.build_values(list.len())?;
    budget.build_values(list.len().div_ceil(size))?;
    let items: Vec<_> = list.iter().collect();
    Ok(Val::list(items.chunks(size).map(|part| Val::list(part.to_vec())).collect()))
}

fn range<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    let end = int(&args[0])?.max(0);
    budget.build_values(usize::try_from(end).unwrap_or(usize::MAX))?;
    Ok(Val::list((0..end).map(Val::Int).collect()))
}

fn merge<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    let mut merged = Entries::default();
    for arg in args {
        let map = map(arg, budget)?;
        budget.build_map(map.len())?;
        for key in map.keys() {
            budget.build(key.len())?;
            merged.insert(key, map.find(key).unwrap_or(Val::Null));
        }
    }
    Ok(Val::map(merged))
}

fn keys<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    let map = map(&args[0], budget)?;
    budget.build_values(map.len())?;
    map.keys().into_iter().map(|key| key.value(budget)).collect::<Result<_, _>>().map(Val::list)
}

fn values<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    let map = map(&args[0], budget)?;
    budget.build_values(map.len())?;
    Ok(Val::list(map.keys().into_iter().filter_map(|key| map.find(key)).collect()))
}

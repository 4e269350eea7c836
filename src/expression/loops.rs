//! Evaluates loops: one iteration for each element, with its variables as the innermost locals.

use super::bounds::EvalError;
use super::collections::{Entries, Key};
use super::evaluate::{Answer, Evaluation};
use super::functions;
use super::node::{Does, Loop, Node};
use super::value::Val;

/// The variables of one iteration.
enum Iteration<'a> {
    One(Val<'a>),
    Pair(Val<'a>, Val<'a>),
}

impl<'a> Evaluation<'a, '_> {
    pub(super) fn run_loop(&mut self, each: &'a Loop) -> Answer<'a> {
        let iterations = self.iterations(each)?;
        match &each.does {
            Does::All(holds) => self.decide(iterations, holds, false),
            Does::Exists(holds) => self.decide(iterations, holds, true),
            Does::ExistsOne(holds) => {
                let mut count = 0;
                for iteration in iterations {
                    count += usize::from(self.in_iteration(iteration, |all| all.truth(holds, "`exists_one`"))?);
                }
                Ok(Val::Bool(count == 1))
            }
            Does::Collect { keep, value } => self.collect(iterations, keep.as_ref(), value),
            Does::Revalue { keep, value } => self.revalue(iterations, keep.as_ref(), value),
            Does::Reenter { keep, value } => self.reenter(iterations, keep.as_ref(), value),
            Does::SortBy(key) => {
                self.budget.build_values(iterations.len())?;
                let mut keyed = Vec::with_capacity(iterations.len());
                for iteration in iterations {
                    let element = iteration.last().clone();
                    keyed.push((self.in_iteration(iteration, |all| all.present(key))?, element));
                }
                functions::sorted(keyed, self.budget).map_err(|error| error.within("sortBy"))
            }
        }
    }

    fn iterations(&mut self, each: &'a Loop) -> Result<Vec<Iteration<'a>>, EvalError> {
        match self.present(&each.over)? {
            Val::List(list) => {
                self.budget.build_values(list.len())?;
                if !each.pair {
                    return Ok(list.iter().map(Iteration::One).collect());
                }
                self.budget.build_values(list.len())?;
                Ok((0..).map(Val::Int).zip(list.iter()).map(|(at, element)| Iteration::Pair(at, element)).collect())
            }
            Val::Map(_) if matches!(each.does, Does::SortBy(_)) => {
                Err(EvalError::invalid("`sortBy`: expected a list, got a map"))
            }
            Val::Map(map) => {
                self.budget.build_values(map.len())?;
                let mut iterations = Vec::with_capacity(map.len());
                for key in map.keys() {
                    let name = key.value(self.budget)?;
                    iterations.push(if each.pair {
                        Iteration::Pair(name, map.find(key).unwrap_or(Val::Null))
                    } else {
                        Iteration::One(name)
                    });
                }
                Ok(iterations)
            }
            other => Err(EvalError::invalid(format!("a loop needs a list or a map, not {}", other.what()))),
        }
    }

    fn in_iteration<T>(
        &mut self,
        iteration: Iteration<'a>,
        run: impl FnOnce(&mut Self) -> Result<T, EvalError>,
    ) -> Result<T, EvalError> {
        let outside = self.locals.len();
        match iteration {
            Iteration::One(element) => self.locals.push(element),
            Iteration::Pair(key, value) => self.locals.extend([key, value]),
        }
        let answer = run(self);
        self.locals.truncate(outside);
        answer
    }

    /// Like `&&` and `||` over all elements: one that decides outweighs errors of others.
    fn decide(&mut self, iterations: Vec<Iteration<'a>>, holds: &'a Node, decides: bool) -> Answer<'a> {
        let name = if decides { "`exists`" } else { "`all`" };
        let mut failed = None;
        for iteration in iterations {
            match self.in_iteration(iteration, |all| all.truth(holds, name)) {
                Ok(value) if value == decides => return Ok(Val::Bool(decides)),
                Ok(_) => {}
                Err(EvalError::Bound(why)) => return Err(EvalError::Bound(why)),
                Err(why) => failed = failed.or(Some(why)),
            }
        }
        failed.map_or(Ok(Val::Bool(!decides)), Err)
    }

    /// The value of one iteration; none if it is filtered out.
    fn kept(
        &mut self,
        iteration: Iteration<'a>,
        keep: Option<&'a Node>,
        value: &'a Node,
    ) -> Result<Option<Val<'a>>, EvalError> {
        self.in_iteration(iteration, |all| {
            if let Some(keep) = keep
                && !all.truth(keep, "`filter`")?
            {
                return Ok(None);
            }
            all.value(value).map(Some)
        })
    }

    fn collect(&mut self, iterations: Vec<Iteration<'a>>, keep: Option<&'a Node>, value: &'a Node) -> Answer<'a> {
        self.budget.build_values(iterations.len())?;
        let mut list = Vec::new();
        for iteration in iterations {
            list.extend(self.kept(iteration, keep, value)?);
        }
        Ok(Val::list(list))
    }

    fn revalue(&mut self, iterations: Vec<Iteration<'a>>, keep: Option<&'a Node>, value: &'a Node) -> Answer<'a> {
        self.budget.build_map(iterations.len())?;
        let mut entries = Entries::default();
        for iteration in iterations {
            let key = iteration.first().clone();
            if let Some(value) = self.kept(iteration, keep, value)? {
                let key = Key::of(&key)?;
                self.budget.build(key.len())?;
                entries.insert(key, value);
            }
        }
        Ok(Val::map(entries))
    }

    fn reenter(&mut self, iterations: Vec<Iteration<'a>>, keep: Option<&'a Node>, value: &'a Node) -> Answer<'a> {
        let mut entries = Entries::default();
        for iteration in iterations {
            let Some(made) = self.kept(iteration, keep, value)? else { continue };
            let Val::Map(made) = made.settled() else {
                return Err(EvalError::invalid(format!(
                    "`transformMapEntry` needs a map for each element, not {}",
                    made.what()
                )));
            };
            self.budget.build_map(made.len())?;
            for key in made.keys() {
                self.budget.build(key.len())?;
                if entries.insert(key, made.find(key).unwrap_or(Val::Null)) {
                    return Err(EvalError::invalid("duplicate key in a map"));
                }
            }
        }
        Ok(Val::map(entries))
    }
}

impl<'a> Iteration<'a> {
    fn first(&self) -> &Val<'a> {
        match self {
            Iteration::One(first) | Iteration::Pair(first, _) => first,
        }
    }

    fn last(&self) -> &Val<'a> {
        match self {
            Iteration::One(last) | Iteration::Pair(_, last) => last,
        }
    }
}

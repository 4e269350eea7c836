//! Evaluates loops: one turn for each element, with its variables as the innermost locals.

use super::bounds::Fail;
use super::collections::{Entries, Key};
use super::evaluate::{Answer, Evaluation};
use super::functions;
use super::node::{Does, Loop, Node};
use super::value::Val;

/// What the variables of a loop are in one turn.
enum Turn<'a> {
    One(Val<'a>),
    Pair(Val<'a>, Val<'a>),
}

impl<'a> Evaluation<'a, '_> {
    pub(super) fn run_loop(&mut self, each: &'a Loop) -> Answer<'a> {
        let turns = self.turns(each)?;
        match &each.does {
            Does::All(holds) => self.decide(turns, holds, false),
            Does::Exists(holds) => self.decide(turns, holds, true),
            Does::ExistsOne(holds) => {
                let mut count = 0;
                for turn in turns {
                    count += usize::from(self.in_turn(turn, |all| all.truth(holds, "`exists_one`"))?);
                }
                Ok(Val::Bool(count == 1))
            }
            Does::Collect { keep, value } => self.collect(turns, keep.as_ref(), value),
            Does::Revalue { keep, value } => self.revalue(turns, keep.as_ref(), value),
            Does::Reenter { keep, value } => self.reenter(turns, keep.as_ref(), value),
            Does::SortBy(key) => {
                self.budget.build_values(turns.len())?;
                let mut keyed = Vec::with_capacity(turns.len());
                for turn in turns {
                    let element = turn.last().clone();
                    keyed.push((self.in_turn(turn, |all| all.present(key))?, element));
                }
                functions::sorted(keyed, self.budget).map_err(|fail| fail.within("sortBy"))
            }
        }
    }

    fn turns(&mut self, each: &'a Loop) -> Result<Vec<Turn<'a>>, Fail> {
        match self.present(&each.over)? {
            Val::List(list) => {
                self.budget.build_values(list.len())?;
                if !each.pair {
                    return Ok(list.iter().map(Turn::One).collect());
                }
                self.budget.build_values(list.len())?;
                Ok((0..).map(Val::Int).zip(list.iter()).map(|(at, element)| Turn::Pair(at, element)).collect())
            }
            Val::Map(_) if matches!(each.does, Does::SortBy(_)) => {
                Err(Fail::wrong("`sortBy`: a list is needed, not a map"))
            }
            Val::Map(map) => {
                self.budget.build_values(map.len())?;
                let mut turns = Vec::with_capacity(map.len());
                for key in map.keys() {
                    let name = key.value(self.budget)?;
                    turns.push(if each.pair {
                        Turn::Pair(name, map.find(key).unwrap_or(Val::Null))
                    } else {
                        Turn::One(name)
                    });
                }
                Ok(turns)
            }
            other => Err(Fail::wrong(format!("a loop needs a list or a map, not {}", other.what()))),
        }
    }

    fn in_turn<T>(&mut self, turn: Turn<'a>, run: impl FnOnce(&mut Self) -> Result<T, Fail>) -> Result<T, Fail> {
        let outside = self.locals.len();
        match turn {
            Turn::One(element) => self.locals.push(element),
            Turn::Pair(key, value) => self.locals.extend([key, value]),
        }
        let answer = run(self);
        self.locals.truncate(outside);
        answer
    }

    /// Like `&&` and `||` over all elements: one that decides outweighs failures of others.
    fn decide(&mut self, turns: Vec<Turn<'a>>, holds: &'a Node, decides: bool) -> Answer<'a> {
        let name = if decides { "`exists`" } else { "`all`" };
        let mut failed = None;
        for turn in turns {
            match self.in_turn(turn, |all| all.truth(holds, name)) {
                Ok(value) if value == decides => return Ok(Val::Bool(decides)),
                Ok(_) => {}
                Err(Fail::Bound(why)) => return Err(Fail::Bound(why)),
                Err(why) => failed = failed.or(Some(why)),
            }
        }
        failed.map_or(Ok(Val::Bool(!decides)), Err)
    }

    /// The value of one turn, or nothing where it is not kept.
    fn kept(&mut self, turn: Turn<'a>, keep: Option<&'a Node>, value: &'a Node) -> Result<Option<Val<'a>>, Fail> {
        self.in_turn(turn, |all| {
            if let Some(keep) = keep
                && !all.truth(keep, "`filter`")?
            {
                return Ok(None);
            }
            all.value(value).map(Some)
        })
    }

    fn collect(&mut self, turns: Vec<Turn<'a>>, keep: Option<&'a Node>, value: &'a Node) -> Answer<'a> {
        self.budget.build_values(turns.len())?;
        let mut list = Vec::new();
        for turn in turns {
            list.extend(self.kept(turn, keep, value)?);
        }
        Ok(Val::list(list))
    }

    fn revalue(&mut self, turns: Vec<Turn<'a>>, keep: Option<&'a Node>, value: &'a Node) -> Answer<'a> {
        self.budget.build_map(turns.len())?;
        let mut entries = Entries::default();
        for turn in turns {
            let key = turn.first().clone();
            if let Some(value) = self.kept(turn, keep, value)? {
                let key = Key::of(&key)?;
                self.budget.build(key.len())?;
                entries.insert(key, value);
            }
        }
        Ok(Val::map(entries))
    }

    fn reenter(&mut self, turns: Vec<Turn<'a>>, keep: Option<&'a Node>, value: &'a Node) -> Answer<'a> {
        let mut entries = Entries::default();
        for turn in turns {
            let Some(made) = self.kept(turn, keep, value)? else { continue };
            let Val::Map(made) = made.settled() else {
                return Err(Fail::wrong(format!("`transformMapEntry` needs a map for each, not {}", made.what())));
            };
            self.budget.build_map(made.len())?;
            for key in made.keys() {
                self.budget.build(key.len())?;
                if entries.insert(key, made.find(key).unwrap_or(Val::Null)) {
                    return Err(Fail::wrong("a map has the same key twice"));
                }
            }
        }
        Ok(Val::map(entries))
    }
}

impl<'a> Turn<'a> {
    fn first(&self) -> &Val<'a> {
        match self {
            Turn::One(first) | Turn::Pair(first, _) => first,
        }
    }

    fn last(&self) -> &Val<'a> {
        match self {
            Turn::One(last) | Turn::Pair(_, last) => last,
        }
    }
}

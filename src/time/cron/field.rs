//! One field of a cron expression, and the numbers that match it.

/// The kind of a field: its name and its range.
#[derive(Debug)]
pub(super) struct Field {
    name: &'static str,
    min: i8,
    max: i8,
    /// Names of numbers; the first is the name of `min`.
    words: &'static [&'static str],
}

pub(super) const MINUTES: Field = Field { name: "minute", min: 0, max: 59, words: &[] };
pub(super) const HOURS: Field = Field { name: "hour", min: 0, max: 23, words: &[] };
pub(super) const DAYS: Field = Field { name: "day of the month", min: 1, max: 31, words: &[] };
pub(super) const MONTHS: Field = Field {
    name: "month",
    min: 1,
    max: 12,
    words: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
/// 0 and 7 are both Sunday.
pub(super) const WEEKDAYS: Field =
    Field { name: "day of the week", min: 0, max: 7, words: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

/// The numbers that match a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Set {
    bits: u64,
    /// It was written with `*`.
    pub(super) starred: bool,
    /// The last day of each month matches too.
    pub(super) last: bool,
}

impl Set {
    pub(super) fn has(self, number: i8) -> bool {
        self.bits & (1 << number) != 0
    }
}

impl Field {
    /// Reads `*`, `5`, `1-5`, each with `/step`, and lists of them.
    pub(super) fn parse(&self, text: &str) -> Result<Set, String> {
        let mut set = Set::default();
        for item in text.split(',') {
            if self.is_days() && item.eq_ignore_ascii_case("l") {
                set.last = true;
                continue;
            }
            let (range, step) = match item.split_once('/') {
                Some((range, step)) => (range, Some(self.step(step)?)),
                None => (item, None),
            };
            let (from, to) = self.range(range, step)?;
            set.starred |= self.is_star(range);
            for number in (from..=to).step_by(step.unwrap_or(1)) {
                set.bits |= 1 << number;
            }
        }
        if self.max == WEEKDAYS.max && set.has(7) {
            set.bits = set.bits & !(1 << 7) | 1;
        }
        Ok(set)
    }

    fn range(&self, text: &str, step: Option<usize>) -> Result<(i8, i8), String> {
        if self.is_star(text) {
            return Ok((self.min, self.top()));
        }
        match text.split_once('-') {
            Some((from, to)) => {
                let (from, to) = (self.number(from)?, self.number(to)?);
                // A range may end with Sunday: `fri-0`.
                let to = if self.max == WEEKDAYS.max && to == 0 && from > 0 { 7 } else { to };
                if from > to {
                    return Err(format!("the range `{text}` in the {} field is reversed", self.name));
                }
                Ok((from, to))
            }
            None => {
                let number = self.number(text)?;
                Ok((number, if step.is_some() { self.top() } else { number }))
            }
        }
    }

    fn number(&self, text: &str) -> Result<i8, String> {
        let word = self.words.iter().zip(self.min..).find(|(word, _)| text.eq_ignore_ascii_case(word));
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = word.map(|(_, number)| number).or_else(|| text.parse().ok().filter(|_| digits));
        number.filter(|number| (self.min..=self.max).contains(number)).ok_or_else(|| {
            format!("`{text}` in the {} field is not a number from {} to {}", self.name, self.min, self.max)
        })
    }

    fn step(&self, text: &str) -> Result<usize, String> {
        let step = text.parse().ok().filter(|step| (1..=usize::from(self.max.unsigned_abs())).contains(step));
        step.ok_or_else(|| {
            format!("the step `/{text}` in the {} field is not a number from 1 to {}", self.name, self.max)
        })
    }

    fn is_days(&self) -> bool {
        self.max == DAYS.max
    }

    fn is_star(&self, text: &str) -> bool {
        text == "*" || (text == "?" && (self.is_days() || self.max == WEEKDAYS.max))
    }

    /// The largest number that `*` means: Sunday counts once.
    fn top(&self) -> i8 {
        if self.max == WEEKDAYS.max { 6 } else { self.max }
    }
}

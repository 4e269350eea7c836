//! Cron expressions in a time zone: which moment comes next. Zones come from tables inside this binary, not from the machine.
//!
//! Five fields: minute, hour, day of the month, month, day of the week. Where a zone changes its clock, one rule of two applies:
//!
//! - An expression without `*` in its minute and hour means **fixed times**: every one comes once a day. One that the clock
//!   jumps over comes at the first moment after the jump (several such come once); one that the clock shows twice comes the
//!   first time.
//! - One with `*` in either **follows the clock**: it comes whenever the clock shows a time it names, so that `*/15 * * * *` goes
//!   on every 15 minutes. A time that the clock jumps over does not come, one that it shows twice comes twice.

mod field;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::cursor::shortened;
use super::zone::Zone;
use field::{DAYS, Field, HOURS, MINUTES, MONTHS, Set, WEEKDAYS};

/// Longest expression, in bytes.
const SOURCE_MAX: usize = 200;
/// Days looked at for the next one: 41 years. The rarest (a certain weekday on a certain day of February) come within 12.
const DAYS_MAX: usize = 15_000;
/// Changes of a zone's clock looked at: five for each of those years.
const CHANGES_MAX: usize = 200;
/// How an expression may look.
const SHAPE: &str =
    "five fields: minute, hour, day of the month, month, day of the week, as in `0 9 * * 1-5` or `30 6 1 * *`";

/// Why a text is no expression or no zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Wrong {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// A cron expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    minutes: Set,
    hours: Set,
    days: Set,
    months: Set,
    weekdays: Set,
}

impl Cron {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong with it, and how it should look; also if no day ever fits, as in `0 0 30 2 *`.
    pub fn parse(text: &str) -> Result<Cron, Wrong> {
        let wrong = |why: String| Wrong {
            message: format!("`{}` is no cron expression: {why}", shortened(text)),
            hint: SHAPE.into(),
        };
        if text.len() > SOURCE_MAX {
            return Err(wrong(format!("it has more than {SOURCE_MAX} bytes")));
        }
        let written = by_name(text.trim()).unwrap_or(text);
        let fields: Vec<&str> = written.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            let why = match fields.len() {
                6 | 7 => "it has a field for seconds or years, which there is none for".into(),
                count => format!("five fields are needed, and there are {count}"),
            };
            return Err(wrong(why));
        };
        let set = |field: &Field, text| field.parse(text).map_err(wrong);
        let cron = Cron {
            minutes: set(&MINUTES, minutes)?,
            hours: set(&HOURS, hours)?,
            days: set(&DAYS, days)?,
            months: set(&MONTHS, months)?,
            weekdays: set(&WEEKDAYS, weekdays)?,
        };
        if cron.can_come() {
            return Ok(cron);
        }
        Err(Wrong {
            message: format!("`{}` never comes: no such month has such a day", shortened(text)),
            hint: "choose another day or month; `L` is the last day of each month".into(),
        })
    }

    /// The first moment after `after` that it names in a zone; none in 41 years, or beyond the calendar.
    pub fn next(&self, after: Timestamp, zone: &Zone) -> Option<Timestamp> {
        let zone = zone.rules();
        let (mut since, mut offset) = (after, zone.to_offset(after));
        let mut from = minute_after(offset.to_datetime(after))?;
        if !self.follows_clock() {
            // What the clock shows a second time has come already.
            from = from.max(shown_before(zone, after)?);
        }
        for _ in 0..CHANGES_MAX {
            // Until the zone's next change its clock runs evenly, and finding the next time is reading a calendar.
            let found = self.next_shown(from)?;
            let change = zone.following(since).next();
            let at = offset.to_timestamp(found).ok()?;
            let Some(change) = change.filter(|change| change.timestamp() <= at) else { return Some(at) };
            let (ended, begins) =
                (offset.to_datetime(change.timestamp()), change.offset().to_datetime(change.timestamp()));
            if self.follows_clock() {
                from = minute_from(begins)?;
            } else if found < begins {
                return Some(change.timestamp());
            } else {
                from = minute_from(begins.max(ended))?;
            }
            (since, offset) = (change.timestamp(), change.offset());
        }
        None
    }

    fn follows_clock(&self) -> bool {
        self.minutes.starred || self.hours.starred
    }

    /// The first time of the calendar from `from` on, whatever a zone's clock makes of it.
    fn next_shown(&self, from: DateTime) -> Option<DateTime> {
        let (mut date, mut earliest) = (from.date(), from.time());
        for _ in 0..DAYS_MAX {
            let other_month = !self.months.has(date.month());
            if !other_month
                && self.has_day(date)
                && let Some(time) = self.next_time(earliest)
            {
                return Some(date.to_datetime(time));
            }
            date = if other_month { date.last_of_month() } else { date }.tomorrow().ok()?;
            earliest = Time::midnight();
        }
        None
    }

    /// If both are restricted, a day of the month or a day of the week suffices, as in every cron.
    fn has_day(&self, date: Date) -> bool {
        let day = self.days.has(date.day()) || (self.days.last && date == date.last_of_month());
        let weekday = self.weekdays.has(date.weekday().to_sunday_zero_offset());
        if self.days.starred || self.weekdays.starred { day && weekday } else { day || weekday }
    }

    fn next_time(&self, earliest: Time) -> Option<Time> {
        (earliest.hour()..24).filter(|hour| self.hours.has(*hour)).find_map(|hour| {
            let first = if hour == earliest.hour() { earliest.minute() } else { 0 };
            let minute = (first..60).find(|minute| self.minutes.has(*minute))?;
            Time::new(hour, minute, 0, 0).ok()
        })
    }

    fn can_come(&self) -> bool {
        const LONGEST: [i8; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let by_weekday = !self.days.starred && !self.weekdays.starred;
        by_weekday
            || self.days.last
            || (1..=12)
                .zip(LONGEST)
                .any(|(month, longest)| self.months.has(month) && (1..=longest).any(|day| self.days.has(day)))
    }
}

fn by_name(text: &str) -> Option<&'static str> {
    Some(match text.to_ascii_lowercase().as_str() {
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" => "0 0 * * *",
        "@weekly" => "0 0 * * 0",
        "@monthly" => "0 0 1 * *",
        "@yearly" | "@annually" => "0 0 1 1 *",
        _ => return None,
    })
}

/// The first whole minute after a time.
fn minute_after(shown: DateTime) -> Option<DateTime> {
    let whole = shown.with().second(0).subsec_nanosecond(0).build().ok()?;
    whole.checked_add(SignedDuration::from_mins(1)).ok()
}

/// The first whole minute from a time on. Offsets are whole minutes, except those of long ago.
fn minute_from(shown: DateTime) -> Option<DateTime> {
    if shown.second() == 0 && shown.subsec_nanosecond() == 0 { Some(shown) } else { minute_after(shown) }
}

/// What a zone's clock had shown when it was last changed, at `at` or before; the beginning of time if it never was.
fn shown_before(zone: &TimeZone, at: Timestamp) -> Option<DateTime> {
    let instant = SignedDuration::from_nanos(1);
    let Some(change) = at.checked_add(instant).ok().and_then(|at| zone.preceding(at).next()) else {
        return Some(DateTime::MIN);
    };
    let before: Offset = zone.to_offset(change.timestamp().checked_sub(instant).ok()?);
    minute_from(before.to_datetime(change.timestamp()))
}

#[cfg(test)]
mod tests;

//! Cron expressions in a time zone: when the next moment is. Zones come from tables inside this binary, not from the machine.
//!
//! Five fields: minute, hour, day of the month, month, day of the week. Where a zone changes its clock, one of two rules applies:
//!
//! - An expression without `*` in its minute and hour has **fixed times**: each fires once a day. A time that the clock skips
//!   fires at the first moment after the gap (several skipped times fire once); a time that occurs twice fires the first time.
//! - An expression with `*` in either **follows the clock**: it fires whenever the clock shows a matching time, so that
//!   `*/15 * * * *` continues every 15 minutes. A skipped time does not fire, a time that occurs twice fires twice.
//!
//! Written by hand, because no cron crate has both rules on top of jiff's time zones.

mod field;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::Error;
use super::zone::Zone;
use crate::text::shortened;
use field::{DAYS, Field, HOURS, MINUTES, MONTHS, Set, WEEKDAYS};

/// Longest expression, in bytes.
const SOURCE_MAX: usize = 200;
/// Days searched for the next match: 41 years. The rarest (a certain weekday on 29 February) come within 12.
const DAYS_MAX: usize = 15_000;
/// Clock changes of a zone that are searched: five for each of those years.
const CHANGES_MAX: usize = 200;
/// The form of an expression.
const SHAPE: &str =
    "write five fields: minute, hour, day of the month, month, day of the week, as in `0 9 * * 1-5` or `30 6 1 * *`";

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
    /// It is malformed, or no day ever matches, as in `0 0 30 2 *`.
    pub fn parse(text: &str) -> Result<Cron, Error> {
        let error = |why: String| Error {
            message: format!("`{}` is not a valid cron expression: {why}", shortened(text)),
            hint: SHAPE.into(),
        };
        if text.len() > SOURCE_MAX {
            return Err(error(format!("it is longer than {SOURCE_MAX} bytes")));
        }
        let written = by_name(text.trim()).unwrap_or(text);
        let fields: Vec<&str> = written.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            let why = match fields.len() {
                6 | 7 => "seconds and years are not supported".into(),
                1 => "it has 1 field instead of five".into(),
                count => format!("it has {count} fields instead of five"),
            };
            return Err(error(why));
        };
        let set = |field: &Field, text| field.parse(text).map_err(error);
        let cron = Cron {
            minutes: set(&MINUTES, minutes)?,
            hours: set(&HOURS, hours)?,
            days: set(&DAYS, days)?,
            months: set(&MONTHS, months)?,
            weekdays: set(&WEEKDAYS, weekdays)?,
        };
        if cron.can_match() {
            return Ok(cron);
        }
        Err(Error {
            message: format!("`{}` never fires: these months do not have these days", shortened(text)),
            hint: "choose another day or month; `L` is the last day of each month".into(),
        })
    }

    /// The first matching moment after `after` in a zone; none if there is none within 41 years or before the year 10000.
    pub fn next(&self, after: Timestamp, zone: &Zone) -> Option<Timestamp> {
        let zone = zone.rules();
        let (mut since, mut offset) = (after, zone.to_offset(after));
        let mut from = minute_after(offset.to_datetime(after))?;
        if !self.follows_clock() {
            // A time that the clock shows a second time has already fired.
            from = from.max(shown_before(zone, after)?);
        }
        for _ in 0..CHANGES_MAX {
            // Until the zone's next change the offset is constant, so the next time follows from the calendar alone.
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

    /// The first matching local time at or after `from`, ignoring clock changes.
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

    /// If both are restricted, a matching day of the month or day of the week suffices, as in every cron.
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

    fn can_match(&self) -> bool {
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

/// The first whole minute at or after a time. Offsets are whole minutes, except historical ones.
fn minute_from(shown: DateTime) -> Option<DateTime> {
    if shown.second() == 0 && shown.subsec_nanosecond() == 0 { Some(shown) } else { minute_after(shown) }
}

/// The local time just before the zone's last change at or before `at`; [`DateTime::MIN`] if there was none.
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

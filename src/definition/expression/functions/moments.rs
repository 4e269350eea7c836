//! Moments and durations. Parts of a moment are those of UTC, counted as CEL counts them.

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

use super::{Answer, Function, text};
use crate::definition::expression::bounds::{Budget, Fail};
use crate::definition::expression::value::Val;
use crate::resilience::duration;

pub(super) const ALL: &[Function] = &[
    Function::global("timestamp", (1, 1), timestamp),
    Function::global("duration", (1, 1), span),
    Function::method("getFullYear", (1, 1), |args, _| part(args, |at| at.year().into())),
    Function::method("getMonth", (1, 1), |args, _| part(args, |at| i64::from(at.month()) - 1)),
    Function::method("getDate", (1, 1), |args, _| part(args, |at| at.day().into())),
    Function::method("getDayOfMonth", (1, 1), |args, _| part(args, |at| i64::from(at.day()) - 1)),
    Function::method("getDayOfWeek", (1, 1), |args, _| part(args, |at| days_since_sunday(at.weekday()))),
    Function::method("getDayOfYear", (1, 1), |args, _| part(args, |at| i64::from(at.day_of_year()) - 1)),
    Function::method("getHours", (1, 1), |args, _| part_or_whole(args, 3_600_000, |at| at.hour().into())),
    Function::method("getMinutes", (1, 1), |args, _| part_or_whole(args, 60_000, |at| at.minute().into())),
    Function::method("getSeconds", (1, 1), |args, _| part_or_whole(args, 1_000, |at| at.second().into())),
    Function::method("getMilliseconds", (1, 1), |args, _| part_or_whole(args, 1, |at| at.millisecond().into())),
];

fn days_since_sunday(day: Weekday) -> i64 {
    day.to_sunday_zero_offset().into()
}

fn part<'a>(args: &[Val<'a>], part: fn(&Zoned) -> i64) -> Answer<'a> {
    match &args[0] {
        Val::Moment(moment) => Ok(Val::Int(part(&moment.to_zoned(TimeZone::UTC)))),
        other => Err(Fail::wrong(format!("a moment is needed, not {}", other.what()))),
    }
}

/// A part of a moment, or a duration in whole units.
fn part_or_whole<'a>(args: &[Val<'a>], millis: i128, of: fn(&Zoned) -> i64) -> Answer<'a> {
    match &args[0] {
        Val::Span(span) => Ok(Val::Int(i64::try_from(span.as_millis() / millis).unwrap_or(i64::MAX))),
        _ => part(args, of),
    }
}

fn timestamp<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    let beyond = |_| Fail::wrong("the moment is out of range");
    match &args[0] {
        Val::Moment(moment) => Ok(Val::Moment(*moment)),
        Val::Int(seconds) => Timestamp::from_second(*seconds).map(Val::Moment).map_err(beyond),
        _ => {
            let moment = text(&args[0], budget)?.parse();
            moment.map(Val::Moment).map_err(|_| Fail::wrong("the text is no moment such as 2026-03-01T12:00:00Z"))
        }
    }
}

fn span<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    if let Val::Span(span) = &args[0] {
        return Ok(Val::Span(*span));
    }
    let written = text(&args[0], budget)?;
    let (negative, size) = written.strip_prefix('-').map_or((false, written), |size| (true, size));
    // The reader's own sentence shows the text.
    let wrong = || Fail::wrong("the text is no duration such as 250ms, 1h30m or 3d");
    let size = duration::parse(size).map_err(|_| wrong())?;
    let span = SignedDuration::try_from(size).map_err(|_| wrong())?;
    Ok(Val::Span(if negative { -span } else { span }))
}

//! Real zones with real clock changes, and texts that are not valid.

use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The next moments after one, in the zone's local time.
fn after(moment: &str, count: usize, cron: &str, zone: &str) -> Vec<String> {
    let (cron, zone) = (Cron::parse(cron).unwrap(), Zone::find(zone).unwrap());
    let mut moment = at(moment);
    let mut shown = Vec::new();
    for _ in 0..count {
        moment = cron.next(moment, &zone).unwrap();
        shown.push(zone.show(moment));
    }
    shown
}

#[test]
fn working_days_fire_at_nine_local_time() {
    let expected = ["2026-03-27T09:00:00+01:00", "2026-03-30T09:00:00+02:00", "2026-03-31T09:00:00+02:00"];
    assert_eq!(after("2026-03-26T23:30:00Z", 3, "0 9 * * 1-5", "Europe/Berlin"), expected);
    assert_eq!(after("2026-03-26T23:30:00Z", 3, "0 9 ? * mon-Fri", "europe/berlin"), expected);
}

#[test]
fn the_next_moment_is_later_even_if_this_one_matches() {
    assert_eq!(after("2026-01-01T09:00:00Z", 1, "0 9 * * *", "UTC"), ["2026-01-02T09:00:00+00:00"]);
    assert_eq!(after("2026-01-01T08:59:59.999999Z", 1, "0 9 * * *", "UTC"), ["2026-01-01T09:00:00+00:00"]);
}

#[test]
fn a_fixed_time_in_a_gap_fires_once_at_the_first_moment_after_it() {
    let expected = ["2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"];
    assert_eq!(after("2026-03-27T12:00:00Z", 3, "30 2 * * *", "Europe/Berlin"), expected);
    let expected = ["2026-03-08T03:00:00-04:00", "2026-03-09T02:15:00-04:00"];
    assert_eq!(after("2026-03-07T12:00:00Z", 2, "15 2 * * *", "America/New_York"), expected);
    // Half an hour is missing there.
    let expected = ["2026-10-03T02:15:00+10:30", "2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"];
    assert_eq!(after("2026-10-02T12:00:00Z", 3, "15 2 * * *", "Australia/Lord_Howe"), expected);
}

#[test]
fn several_fixed_times_in_a_gap_fire_once_together_with_one_right_after_it() {
    let expected = ["2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00", "2026-03-30T02:30:00+02:00"];
    assert_eq!(after("2026-03-28T12:00:00Z", 3, "0,30 2,3 * * *", "Europe/Berlin")[..1], expected[..1]);
    assert_eq!(after("2026-03-29T01:30:00Z", 2, "0,30 2,3 * * *", "Europe/Berlin"), expected[1..]);
    assert_eq!(after("2026-03-28T12:00:00Z", 2, "0 2,3 * * *", "Europe/Berlin"), expected[..2]);
}

#[test]
fn a_fixed_time_that_occurs_twice_fires_the_first_time() {
    let expected = ["2026-10-24T02:30:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"];
    assert_eq!(after("2026-10-23T12:00:00Z", 3, "30 2 * * *", "Europe/Berlin"), expected);
    // Also when the search starts in the repeated hour, and with a list of hours.
    assert_eq!(after("2026-10-25T01:10:00Z", 1, "30 2 * * *", "Europe/Berlin"), expected[2..]);
    assert_eq!(
        after("2026-10-25T00:30:00Z", 2, "30 2,14 * * *", "Europe/Berlin"),
        ["2026-10-25T14:30:00+01:00", "2026-10-26T02:30:00+01:00"]
    );
    let expected = ["2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"];
    assert_eq!(after("2026-11-01T04:00:00Z", 2, "30 1 * * *", "America/New_York"), expected);
    let expected = ["2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"];
    assert_eq!(after("2026-04-04T12:00:00Z", 2, "45 1 * * *", "Australia/Lord_Howe"), expected);
}

#[test]
fn every_quarter_of_an_hour_continues_evenly_over_clock_changes() {
    let quarters = |moment: &str, zone: &str| {
        let (cron, zone) = (Cron::parse("*/15 * * * *").unwrap(), Zone::find(zone).unwrap());
        let mut moment = at(moment);
        for _ in 0..40 {
            let next = cron.next(moment, &zone).unwrap();
            assert_eq!(next.duration_since(moment), SignedDuration::from_mins(15), "after {}", zone.show(moment));
            moment = next;
        }
    };
    quarters("2026-03-28T22:00:00Z", "Europe/Berlin");
    quarters("2026-10-24T22:00:00Z", "Europe/Berlin");
    quarters("2026-03-08T04:00:00Z", "America/New_York");
    quarters("2026-11-01T03:00:00Z", "America/New_York");
    quarters("2026-10-03T12:00:00Z", "Australia/Lord_Howe");
    quarters("2026-04-04T12:00:00Z", "Australia/Lord_Howe");
}

#[test]
fn an_hourly_expression_fires_twice_in_a_repeated_hour_and_not_in_a_skipped_one() {
    let expected = ["2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"];
    assert_eq!(after("2026-10-24T23:30:00Z", 3, "@hourly", "Europe/Berlin"), expected);
    let expected = ["2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00"];
    assert_eq!(after("2026-03-28T23:30:00Z", 2, "@hourly", "Europe/Berlin"), expected);
    // Half an hour is shown twice, and the whole hour in it once.
    let expected = ["2026-04-05T01:45:00+11:00", "2026-04-05T01:45:00+10:30", "2026-04-05T02:45:00+10:30"];
    assert_eq!(after("2026-04-04T14:00:00Z", 3, "45 * * * *", "Australia/Lord_Howe"), expected);
}

#[test]
fn every_other_hour_follows_local_time_and_not_elapsed_hours() {
    let expected = ["2026-03-29T00:00:00+01:00", "2026-03-29T04:00:00+02:00"];
    assert_eq!(after("2026-03-28T22:30:00Z", 2, "0 */2 * * *", "Europe/Berlin"), expected);
    let expected = ["2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T04:00:00+01:00"];
    assert_eq!(after("2026-10-24T22:30:00Z", 3, "0 */2 * * *", "Europe/Berlin"), expected);
}

#[test]
fn a_zone_with_an_offset_of_three_quarters_of_an_hour_works() {
    assert_eq!(after("2026-01-01T00:00:00Z", 1, "0 6 * * *", "Asia/Kathmandu"), ["2026-01-01T06:00:00+05:45"]);
    assert_eq!(Zone::find("Asia/Kathmandu").unwrap().name(), "Asia/Kathmandu");
}

#[test]
fn a_leap_day_is_found_across_2100_which_has_none() {
    let expected = ["2028-02-29T00:00:00+00:00", "2032-02-29T00:00:00+00:00"];
    assert_eq!(after("2026-01-01T00:00:00Z", 2, "0 0 29 2 *", "UTC"), expected);
    assert_eq!(after("2096-02-29T00:00:00Z", 1, "0 0 29 2 *", "UTC"), ["2104-02-29T00:00:00+00:00"]);
}

#[test]
fn l_is_the_last_day_of_each_month() {
    let expected = ["2028-01-31T23:00:00+00:00", "2028-02-29T23:00:00+00:00", "2028-03-31T23:00:00+00:00"];
    assert_eq!(after("2028-01-01T00:00:00Z", 3, "0 23 L * *", "UTC"), expected);
}

#[test]
fn either_day_field_suffices_if_both_are_restricted() {
    let expected = ["2026-06-05T00:00:00+00:00", "2026-06-12T00:00:00+00:00", "2026-06-13T00:00:00+00:00"];
    assert_eq!(after("2026-06-01T00:00:00Z", 3, "0 0 13 * fri", "UTC"), expected);
}

#[test]
fn steps_lists_and_ranges_that_end_on_sunday_are_valid() {
    let expected = ["2026-06-05T08:05:00+00:00", "2026-06-05T08:25:00+00:00", "2026-06-05T08:45:00+00:00"];
    assert_eq!(after("2026-06-05T00:00:00Z", 3, "5/20 8 * * *", "UTC"), expected);
    let weekend = ["2026-06-05T00:00:00+00:00", "2026-06-06T00:00:00+00:00", "2026-06-07T00:00:00+00:00"];
    for cron in ["0 0 * * fri-sun", "0 0 * * 5-7", "0 0 * * 5,sat,0", "0 0 * JUN 5-0"] {
        assert_eq!(after("2026-06-02T00:00:00Z", 3, cron, "UTC"), weekend, "{cron}");
    }
}

#[test]
fn an_expression_that_never_fires_is_refused() {
    for cron in ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 31 2 ?"] {
        let error = Cron::parse(cron).unwrap_err();
        assert!(error.message.ends_with("never fires: these months do not have these days"), "{error}");
    }
    // The day of the week matches here.
    assert!(Cron::parse("0 0 30 2 1").is_ok());
}

#[test]
fn a_malformed_expression_is_refused_with_the_field_that_is_wrong() {
    for (cron, why) in [
        ("", "it has 0 fields instead of five"),
        ("9", "it has 1 field instead of five"),
        ("0 9 * *", "it has 4 fields instead of five"),
        ("0 0 9 * * *", "seconds and years are not supported"),
        ("60 9 * * *", "`60` in the minute field is not a number from 0 to 59"),
        ("0 24 * * *", "`24` in the hour field is not a number from 0 to 23"),
        ("0 0 0 * *", "`0` in the day of the month field is not a number from 1 to 31"),
        ("0 0 * 13 *", "`13` in the month field is not a number from 1 to 12"),
        ("0 0 * * mo", "`mo` in the day of the week field is not a number from 0 to 7"),
        ("5-1 * * * *", "the range `5-1` in the minute field is reversed"),
        ("*/0 * * * *", "the step `/0` in the minute field is not a number from 1 to 59"),
        ("+1 * * * *", "`+1` in the minute field is not a number from 0 to 59"),
        ("1,,2 * * * *", "`` in the minute field is not a number from 0 to 59"),
        ("0 ? * * *", "`?` in the hour field is not a number from 0 to 23"),
    ] {
        let error = Cron::parse(cron).unwrap_err();
        assert_eq!(error.message, format!("`{cron}` is not a valid cron expression: {why}"));
        assert!(error.hint.starts_with("write five fields"), "{}", error.hint);
    }
}

#[test]
fn an_unknown_zone_is_refused_with_a_similar_name() {
    let error = Zone::find("Europe/Berln").unwrap_err();
    assert_eq!(error.message, "unknown time zone `Europe/Berln`");
    assert_eq!(error.hint, "did you mean `Europe/Berlin`?");
    assert!(Zone::find("Mars").is_err() && Zone::find("").is_err() && Zone::find("+02:00").is_err());
    assert_eq!(Zone::find("UTC").unwrap(), Zone::utc());
}

#[test]
fn nothing_fires_after_the_end_of_the_calendar() {
    let cron = Cron::parse("* * * * *").unwrap();
    assert_eq!(cron.next(Timestamp::MAX, &Zone::utc()), None);
}

const ZONES: [&str; 6] =
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Apia"];

proptest! {
    /// Compares with a search minute by minute.
    #[test]
    fn an_hourly_expression_fires_whenever_the_clock_shows_its_minute(
        start in 1_700_000_000i64..1_900_000_000, minute in 0u8..60, zone in 0usize..6,
    ) {
        let zone = Zone::find(ZONES[zone]).unwrap();
        let after = Timestamp::from_second(start).unwrap();
        let next = Cron::parse(&format!("{minute} * * * *")).unwrap().next(after, &zone).unwrap();
        let whole = start - start.rem_euclid(60);
        let shown = (1..300).map(|count| Timestamp::from_second(whole + count * 60).unwrap())
            .find(|at| zone.show(*at)[14..16] == format!("{minute:02}"));
        prop_assert_eq!(Some(next), shown);
    }

    /// Once for each date of the calendar.
    #[test]
    fn a_fixed_time_fires_once_a_day(start in 1_700_000_000i64..1_900_000_000, hour in 0u8..24, minute in 0u8..60, zone in 0usize..6) {
        let zone = Zone::find(ZONES[zone]).unwrap();
        let cron = Cron::parse(&format!("{minute} {hour} * * *")).unwrap();
        let mut moment = Timestamp::from_second(start).unwrap();
        let mut dates = Vec::new();
        for _ in 0..30 {
            moment = cron.next(moment, &zone).unwrap();
            dates.push(zone.show(moment)[..10].parse::<Date>().unwrap());
        }
        for pair in dates.windows(2) {
            prop_assert_eq!(pair[0].tomorrow().unwrap(), pair[1]);
        }
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in "[-*/?,0-9a-zL ]{0,24}") {
        if let Ok(cron) = Cron::parse(&text) {
            prop_assert!(cron.next(Timestamp::UNIX_EPOCH, &Zone::utc()).is_some(), "{}", text);
        }
    }
}

//! Tokens and room of limit groups, at times that the tests choose.

use super::*;

const TEN: Rate = Rate { count: 10, per: Duration::from_secs(1) };
const ONE_AN_HOUR: Rate = Rate { count: 1, per: Duration::from_secs(3_600) };

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap()
}

fn ten() -> LimitKey {
    LimitKey { rate: Some(TEN), group: 10, ..LimitKey::default() }
}

fn two_at_once(key: Option<&str>) -> LimitKey {
    LimitKey { concurrency: Some(2), key: key.map(str::to_owned), group: 2, ..LimitKey::default() }
}

fn room(groups: &Groups, now: i64) -> Vec<(i64, u32)> {
    let mut rooms: Vec<_> = groups.rooms(at(now)).into_iter().map(|(_, group, room)| (group, room)).collect();
    rooms.sort_unstable();
    rooms
}

#[test]
fn tokens_are_leased_once_a_second_and_bound_the_claims() {
    let mut groups = Groups::default();
    let token = |groups: &mut Groups, now| groups.token("a", &ten(), &TEN, at(now));
    assert_eq!(token(&mut groups, 0), TokenAnswer::Lease(1));
    groups.leased("a", &ten(), 2, at(100), at(0));
    assert_eq!(room(&groups, 0), [(10, 2)]);
    let asked: Vec<TokenAnswer> = (0..5).map(|_| token(&mut groups, 10)).collect();
    let later = || TokenAnswer::NotBefore(at(1_000));
    assert_eq!(asked, [TokenAnswer::Taken, TokenAnswer::Taken, later(), later(), later()]);
    assert_eq!((room(&groups, 500), groups.next_at(at(500))), (vec![(10, 0)], Some(at(1_000))));
    // A lease may bring the tokens of one second.
    assert_eq!((room(&groups, 1_000), groups.next_at(at(1_000))), (vec![(10, 10)], None));
    assert_eq!(token(&mut groups, 1_000), TokenAnswer::Lease(6));
}

#[test]
fn a_group_that_waits_for_its_rate_delays_no_other_group() {
    let mut groups = Groups::default();
    let hourly = LimitKey { rate: Some(ONE_AN_HOUR), group: 1, ..LimitKey::default() };
    groups.leased("a", &hourly, 0, at(3_600_000), at(0));
    groups.leased("a", &ten(), 5, at(0), at(0));
    // Only limited groups are listed.
    assert_eq!(room(&groups, 10), [(1, 0), (10, 5)]);
    assert_eq!(groups.token("a", &ten(), &TEN, at(10)), TokenAnswer::Taken);
    assert_eq!(groups.enter("a", &two_at_once(None), at(10)), None);
    // The row is read again after five minutes, whatever it said.
    assert_eq!(groups.token("a", &hourly, &ONE_AN_HOUR, at(300_000)), TokenAnswer::Lease(1));
}

#[test]
fn an_unused_lease_expires() {
    let mut groups = Groups::default();
    groups.leased("a", &ten(), 5, at(0), at(0));
    assert_eq!(groups.token("a", &ten(), &TEN, at(1_500)), TokenAnswer::Lease(1));
}

#[test]
fn an_attempt_without_room_returns_only_its_own_token() {
    let mut groups = Groups::default();
    let both = LimitKey { concurrency: Some(2), ..ten() };
    for limit_key in [&both, &ten()] {
        groups.leased("a", limit_key, 1, at(0), at(0));
        assert_eq!(groups.token("a", limit_key, &TEN, at(1)), TokenAnswer::Taken);
    }
    groups.refused("a", &both, at(2));
    assert_eq!(room(&groups, 3), [(10, 0), (10, 0)]);
    groups.left("a", None, at(3));
    assert_eq!(groups.enter("a", &both, at(3)), None);
    assert_eq!(groups.token("a", &both, &TEN, at(3)), TokenAnswer::Taken);
    // It has no rate, so it took no token.
    groups.refused("a", &two_at_once(None), at(4));
    assert!(matches!(groups.token("a", &ten(), &TEN, at(5)), TokenAnswer::NotBefore(_)));
    assert!(matches!(groups.token("a", &both, &TEN, at(5)), TokenAnswer::NotBefore(_)));
}

#[test]
fn no_more_attempts_try_than_may_be_under_way() {
    let mut groups = Groups::default();
    let limit_key = two_at_once(None);
    let enter = |groups: &mut Groups, now| groups.enter("a", &limit_key, at(now));
    let asked: Vec<_> = (0..3).map(|_| enter(&mut groups, 0)).collect();
    assert_eq!(asked, [None, None, Some(at(1_000))]);
    assert_eq!((room(&groups, 1), groups.next_at(at(1))), (vec![(2, 0)], Some(at(1_000))));
    groups.left("a", Some("eu"), at(1));
    assert_eq!((room(&groups, 1), groups.next_at(at(1))), (vec![(2, 1)], None));
    assert_eq!((enter(&mut groups, 2), enter(&mut groups, 2)), (None, Some(at(1_000))));
    groups.begun("a", &limit_key);
    assert_eq!(room(&groups, 3), [(2, 0)]);
}

#[test]
fn one_attempt_a_second_probes_a_full_group() {
    let mut groups = Groups::default();
    let limit_key = two_at_once(None);
    let enter = |groups: &mut Groups, now| groups.enter("a", &limit_key, at(now));
    assert_eq!(enter(&mut groups, 0), None);
    groups.refused("a", &limit_key, at(0));
    assert_eq!((room(&groups, 1), enter(&mut groups, 1)), (vec![(2, 0)], Some(at(1_000))));
    // Attempts of other processes may have ended.
    assert_eq!((room(&groups, 1_000), enter(&mut groups, 1_000)), (vec![(2, 1)], None));
    assert_eq!(enter(&mut groups, 1_001), Some(at(2_000)));
    groups.begun("a", &limit_key);
    assert_eq!(room(&groups, 1_002), [(2, 1)]);
    // The room was not used up, so all of it may be free.
    assert_eq!(
        (room(&groups, 2_500), enter(&mut groups, 2_500), room(&groups, 2_500)),
        (vec![(2, 2)], None, vec![(2, 1)])
    );
}

#[test]
fn a_full_key_is_opened_by_its_own_attempts_only() {
    let mut groups = Groups::default();
    let keyed = two_at_once(Some("eu"));
    groups.refused("a", &keyed, at(0));
    for (target, key) in [("a", Some("us")), ("a", None), ("b", Some("eu"))] {
        groups.left(target, key, at(1));
        assert_eq!(room(&groups, 1), [(2, 0)], "{target} {key:?}");
    }
    (0..5).for_each(|_| groups.left("a", Some("eu"), at(1)));
    assert_eq!(room(&groups, 1), [(2, 2)]);
}

#[test]
fn an_attempt_without_a_token_returns_its_room() {
    let mut groups = Groups::default();
    let limit_key = two_at_once(None);
    groups.refused("a", &limit_key, at(0));
    assert_eq!(groups.enter("a", &limit_key, at(1_000)), None);
    groups.leave("a", &limit_key);
    assert_eq!(room(&groups, 1_001), [(2, 1)]);
}

#[test]
fn a_group_knows_when_it_opened_and_why_it_was_closed() {
    let mut groups = Groups::default();
    let (tens, two) = (ten(), two_at_once(None));
    assert_eq!((groups.token("a", &tens, &TEN, at(0)), groups.opened("a", &tens)), (TokenAnswer::Lease(1), None));
    groups.leased("a", &tens, 1, at(0), at(0));
    assert_eq!(groups.token("a", &tens, &TEN, at(0)), TokenAnswer::Taken);
    assert_eq!(
        (groups.token("a", &tens, &TEN, at(1_500)), groups.opened("a", &tens)),
        (TokenAnswer::Lease(2), Some((at(1_000), Reason::Rate)))
    );
    (0..2).for_each(|_| assert_eq!(groups.enter("a", &two, at(0)), None));
    assert_eq!(groups.opened("a", &two), None);
    groups.left("a", None, at(700));
    groups.left("a", None, at(800));
    assert_eq!(groups.opened("a", &two), Some((at(700), Reason::Concurrency)));
    (0..2).for_each(|_| assert_eq!(groups.enter("a", &two, at(900)), None));
    assert_eq!(
        (groups.enter("a", &two, at(1_200)), groups.opened("a", &two)),
        (None, Some((at(1_000), Reason::Concurrency)))
    );
}

#[test]
fn the_number_of_known_groups_is_bounded() {
    let mut groups = Groups::default();
    for number in 0..REMEMBERED_MAX + 10 {
        groups.leased(&number.to_string(), &ten(), 0, at(0), at(0));
    }
    assert!(groups.0.len() <= REMEMBERED_MAX);
}

//! Tokens and room, group by group, with a time of the test's own.

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
fn tokens_are_leased_once_a_second_and_claimed_are_as_many_as_there_are() {
    let mut groups = Groups::default();
    let token = |groups: &mut Groups, now| groups.token("a", &ten(), &TEN, at(now));
    assert_eq!(token(&mut groups, 0), Token::Lease(1));
    groups.leased("a", &ten(), 2, at(100), at(0));
    assert_eq!(room(&groups, 0), [(10, 2)]);
    let asked: Vec<Token> = (0..5).map(|_| token(&mut groups, 10)).collect();
    let later = || Token::NotBefore(at(1_000));
    assert_eq!(asked, [Token::Taken, Token::Taken, later(), later(), later()]);
    assert_eq!((room(&groups, 500), groups.next_at(at(500))), (vec![(10, 0)], Some(at(1_000))));
    // As many as fall due in a second may be there again.
    assert_eq!((room(&groups, 1_000), groups.next_at(at(1_000))), (vec![(10, 10)], None));
    assert_eq!(token(&mut groups, 1_000), Token::Lease(6));
}

#[test]
fn what_waits_for_a_rate_is_in_the_way_of_no_other_queue() {
    let mut groups = Groups::default();
    let hourly = LimitKey { rate: Some(ONE_AN_HOUR), group: 1, ..LimitKey::default() };
    groups.leased("a", &hourly, 0, at(3_600_000), at(0));
    groups.leased("a", &ten(), 5, at(0), at(0));
    // What has no limits is not told of at all.
    assert_eq!(room(&groups, 10), [(1, 0), (10, 5)]);
    assert_eq!(groups.token("a", &ten(), &TEN, at(10)), Token::Taken);
    assert_eq!(groups.enter("a", &two_at_once(None), at(10)), None);
    // Whatever the row said: somebody looks again.
    assert_eq!(groups.token("a", &hourly, &ONE_AN_HOUR, at(300_000)), Token::Lease(1));
}

#[test]
fn a_lease_that_was_not_used_is_gone() {
    let mut groups = Groups::default();
    groups.leased("a", &ten(), 5, at(0), at(0));
    assert_eq!(groups.token("a", &ten(), &TEN, at(1_500)), Token::Lease(1));
}

#[test]
fn who_finds_no_room_gives_back_the_token_it_took_and_no_other() {
    let mut groups = Groups::default();
    let both = LimitKey { concurrency: Some(2), ..ten() };
    for limit_key in [&both, &ten()] {
        groups.leased("a", limit_key, 1, at(0), at(0));
        assert_eq!(groups.token("a", limit_key, &TEN, at(1)), Token::Taken);
    }
    groups.refused("a", &both, at(2));
    assert_eq!(room(&groups, 3), [(10, 0), (10, 0)]);
    groups.left("a", None, at(3));
    assert_eq!(groups.enter("a", &both, at(3)), None);
    assert_eq!(groups.token("a", &both, &TEN, at(3)), Token::Taken);
    // It has no rate, so that it has taken nothing.
    groups.refused("a", &two_at_once(None), at(4));
    assert!(matches!(groups.token("a", &ten(), &TEN, at(5)), Token::NotBefore(_)));
    assert!(matches!(groups.token("a", &both, &TEN, at(5)), Token::NotBefore(_)));
}

#[test]
fn no_more_are_tried_than_may_be_under_way_and_as_many_as_have_ended() {
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
fn of_a_full_queue_one_a_second_finds_out_whether_there_is_room() {
    let mut groups = Groups::default();
    let limit_key = two_at_once(None);
    let enter = |groups: &mut Groups, now| groups.enter("a", &limit_key, at(now));
    assert_eq!(enter(&mut groups, 0), None);
    groups.refused("a", &limit_key, at(0));
    assert_eq!((room(&groups, 1), enter(&mut groups, 1)), (vec![(2, 0)], Some(at(1_000))));
    // Others may have ended elsewhere.
    assert_eq!((room(&groups, 1_000), enter(&mut groups, 1_000)), (vec![(2, 1)], None));
    assert_eq!(enter(&mut groups, 1_001), Some(at(2_000)));
    groups.begun("a", &limit_key);
    assert_eq!(room(&groups, 1_002), [(2, 1)]);
    // Nobody took that: there is all the room there can be.
    assert_eq!(
        (room(&groups, 2_500), enter(&mut groups, 2_500), room(&groups, 2_500)),
        (vec![(2, 2)], None, vec![(2, 1)])
    );
}

#[test]
fn a_key_that_is_full_is_opened_by_its_own() {
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
fn who_gets_no_token_leaves_its_room_to_another() {
    let mut groups = Groups::default();
    let limit_key = two_at_once(None);
    groups.refused("a", &limit_key, at(0));
    assert_eq!(groups.enter("a", &limit_key, at(1_000)), None);
    groups.leave("a", &limit_key);
    assert_eq!(room(&groups, 1_001), [(2, 1)]);
}

#[test]
fn a_queue_knows_when_it_opened_and_what_for() {
    let mut groups = Groups::default();
    let (tens, two) = (ten(), two_at_once(None));
    assert_eq!((groups.token("a", &tens, &TEN, at(0)), groups.opened("a", &tens)), (Token::Lease(1), None));
    groups.leased("a", &tens, 1, at(0), at(0));
    assert_eq!(groups.token("a", &tens, &TEN, at(0)), Token::Taken);
    assert_eq!(
        (groups.token("a", &tens, &TEN, at(1_500)), groups.opened("a", &tens)),
        (Token::Lease(2), Some((at(1_000), Reason::Rate)))
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
fn what_is_remembered_has_a_bound() {
    let mut groups = Groups::default();
    for number in 0..REMEMBERED_MAX + 10 {
        groups.leased(&number.to_string(), &ten(), 0, at(0), at(0));
    }
    assert!(groups.0.len() <= REMEMBERED_MAX);
}

//! Tokens and room, queue by queue, with a time of the test's own.

use super::*;

const TEN: Rate = Rate { count: 10, per: Duration::from_secs(1) };
const ONE_AN_HOUR: Rate = Rate { count: 1, per: Duration::from_secs(3_600) };

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap()
}

fn ten() -> Wanted {
    Wanted { rate: Some(TEN), queue: 10, ..Wanted::default() }
}

fn two_at_once(key: Option<&str>) -> Wanted {
    Wanted { concurrency: Some(2), key: key.map(str::to_owned), queue: 2, ..Wanted::default() }
}

fn room(queues: &Queues, now: i64) -> Vec<(i64, u32)> {
    let mut rooms: Vec<_> = queues.rooms(at(now)).into_iter().map(|(_, queue, room)| (queue, room)).collect();
    rooms.sort_unstable();
    rooms
}

#[test]
fn tokens_are_leased_once_a_second_and_claimed_are_as_many_as_there_are() {
    let mut queues = Queues::default();
    let token = |queues: &mut Queues, now| queues.token("a", &ten(), &TEN, at(now));
    assert_eq!(token(&mut queues, 0), Token::Lease(1));
    queues.leased("a", &ten(), 2, at(100), at(0));
    assert_eq!(room(&queues, 0), [(10, 2)]);
    let asked: Vec<Token> = (0..5).map(|_| token(&mut queues, 10)).collect();
    let later = || Token::NotBefore(at(1_000));
    assert_eq!(asked, [Token::Taken, Token::Taken, later(), later(), later()]);
    assert_eq!((room(&queues, 500), queues.next_at(at(500))), (vec![(10, 0)], Some(at(1_000))));
    // As many as fall due in a second may be there again.
    assert_eq!((room(&queues, 1_000), queues.next_at(at(1_000))), (vec![(10, 10)], None));
    assert_eq!(token(&mut queues, 1_000), Token::Lease(6));
}

#[test]
fn what_waits_for_a_rate_is_in_the_way_of_no_other_queue() {
    let mut queues = Queues::default();
    let hourly = Wanted { rate: Some(ONE_AN_HOUR), queue: 1, ..Wanted::default() };
    queues.leased("a", &hourly, 0, at(3_600_000), at(0));
    queues.leased("a", &ten(), 5, at(0), at(0));
    // What has no limits is not told of at all.
    assert_eq!(room(&queues, 10), [(1, 0), (10, 5)]);
    assert_eq!(queues.token("a", &ten(), &TEN, at(10)), Token::Taken);
    assert_eq!(queues.enter("a", &two_at_once(None), at(10)), None);
    // Whatever the row said: somebody looks again.
    assert_eq!(queues.token("a", &hourly, &ONE_AN_HOUR, at(300_000)), Token::Lease(1));
}

#[test]
fn a_lease_that_was_not_used_is_gone() {
    let mut queues = Queues::default();
    queues.leased("a", &ten(), 5, at(0), at(0));
    assert_eq!(queues.token("a", &ten(), &TEN, at(1_500)), Token::Lease(1));
}

#[test]
fn who_finds_no_room_gives_back_the_token_it_took_and_no_other() {
    let mut queues = Queues::default();
    let both = Wanted { concurrency: Some(2), ..ten() };
    for wanted in [&both, &ten()] {
        queues.leased("a", wanted, 1, at(0), at(0));
        assert_eq!(queues.token("a", wanted, &TEN, at(1)), Token::Taken);
    }
    queues.refused("a", &both, at(2));
    assert_eq!(room(&queues, 3), [(10, 0), (10, 0)]);
    queues.left("a", None, at(3));
    assert_eq!(queues.enter("a", &both, at(3)), None);
    assert_eq!(queues.token("a", &both, &TEN, at(3)), Token::Taken);
    // It has no rate, so that it has taken nothing.
    queues.refused("a", &two_at_once(None), at(4));
    assert!(matches!(queues.token("a", &ten(), &TEN, at(5)), Token::NotBefore(_)));
    assert!(matches!(queues.token("a", &both, &TEN, at(5)), Token::NotBefore(_)));
}

#[test]
fn no_more_are_tried_than_may_be_under_way_and_as_many_as_have_ended() {
    let mut queues = Queues::default();
    let wanted = two_at_once(None);
    let enter = |queues: &mut Queues, now| queues.enter("a", &wanted, at(now));
    let asked: Vec<_> = (0..3).map(|_| enter(&mut queues, 0)).collect();
    assert_eq!(asked, [None, None, Some(at(1_000))]);
    assert_eq!((room(&queues, 1), queues.next_at(at(1))), (vec![(2, 0)], Some(at(1_000))));
    queues.left("a", Some("eu"), at(1));
    assert_eq!((room(&queues, 1), queues.next_at(at(1))), (vec![(2, 1)], None));
    assert_eq!((enter(&mut queues, 2), enter(&mut queues, 2)), (None, Some(at(1_000))));
    queues.begun("a", &wanted);
    assert_eq!(room(&queues, 3), [(2, 0)]);
}

#[test]
fn of_a_full_queue_one_a_second_finds_out_whether_there_is_room() {
    let mut queues = Queues::default();
    let wanted = two_at_once(None);
    let enter = |queues: &mut Queues, now| queues.enter("a", &wanted, at(now));
    assert_eq!(enter(&mut queues, 0), None);
    queues.refused("a", &wanted, at(0));
    assert_eq!((room(&queues, 1), enter(&mut queues, 1)), (vec![(2, 0)], Some(at(1_000))));
    // Others may have ended elsewhere.
    assert_eq!((room(&queues, 1_000), enter(&mut queues, 1_000)), (vec![(2, 1)], None));
    assert_eq!(enter(&mut queues, 1_001), Some(at(2_000)));
    queues.begun("a", &wanted);
    assert_eq!(room(&queues, 1_002), [(2, 1)]);
    // Nobody took that: there is all the room there can be.
    assert_eq!(
        (room(&queues, 2_500), enter(&mut queues, 2_500), room(&queues, 2_500)),
        (vec![(2, 2)], None, vec![(2, 1)])
    );
}

#[test]
fn a_key_that_is_full_is_opened_by_its_own() {
    let mut queues = Queues::default();
    let keyed = two_at_once(Some("eu"));
    queues.refused("a", &keyed, at(0));
    for (target, key) in [("a", Some("us")), ("a", None), ("b", Some("eu"))] {
        queues.left(target, key, at(1));
        assert_eq!(room(&queues, 1), [(2, 0)], "{target} {key:?}");
    }
    (0..5).for_each(|_| queues.left("a", Some("eu"), at(1)));
    assert_eq!(room(&queues, 1), [(2, 2)]);
}

#[test]
fn who_gets_no_token_leaves_its_room_to_another() {
    let mut queues = Queues::default();
    let wanted = two_at_once(None);
    queues.refused("a", &wanted, at(0));
    assert_eq!(queues.enter("a", &wanted, at(1_000)), None);
    queues.leave("a", &wanted);
    assert_eq!(room(&queues, 1_001), [(2, 1)]);
}

#[test]
fn a_queue_knows_when_it_opened_and_what_for() {
    let mut queues = Queues::default();
    let (tens, two) = (ten(), two_at_once(None));
    assert_eq!((queues.token("a", &tens, &TEN, at(0)), queues.opened("a", &tens)), (Token::Lease(1), None));
    queues.leased("a", &tens, 1, at(0), at(0));
    assert_eq!(queues.token("a", &tens, &TEN, at(0)), Token::Taken);
    assert_eq!(
        (queues.token("a", &tens, &TEN, at(1_500)), queues.opened("a", &tens)),
        (Token::Lease(2), Some((at(1_000), Reason::Rate)))
    );
    (0..2).for_each(|_| assert_eq!(queues.enter("a", &two, at(0)), None));
    assert_eq!(queues.opened("a", &two), None);
    queues.left("a", None, at(700));
    queues.left("a", None, at(800));
    assert_eq!(queues.opened("a", &two), Some((at(700), Reason::Concurrency)));
    (0..2).for_each(|_| assert_eq!(queues.enter("a", &two, at(900)), None));
    assert_eq!(
        (queues.enter("a", &two, at(1_200)), queues.opened("a", &two)),
        (None, Some((at(1_000), Reason::Concurrency)))
    );
}

#[test]
fn what_is_remembered_has_a_bound() {
    let mut queues = Queues::default();
    for number in 0..REMEMBERED_MAX + 10 {
        queues.leased(&number.to_string(), &ten(), 0, at(0), at(0));
    }
    assert!(queues.0.len() <= REMEMBERED_MAX);
}

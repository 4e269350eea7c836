//! Votes: one for each, counted after each, until a rule holds or nobody is left.

use super::*;
use crate::engine::{Act, Refusal, Status, TaskOutcome, TaskRefusal};
use crate::testkit::Error;

const BOARD: &str = "
variables: { outcome: null, votes: null }
output: { outcome: '${ outcome }', votes: '${ votes }' }
activities:
  - id: vote
    task:
      candidates: { users: [ann, bob, carl, ann] }
      decisions: [approve, reject, abstain]
      vote:
        - { decide: reject, when: votes.reject > 0 }
        - { decide: approve, when: votes.approve * 2 > size(voters) }
    output: { outcome: result.decision, votes: result.votes }
    on_error: [{ code: task.undecided, output: { outcome: error.code }, to: exit }]
    next: { approve: exit, reject: exit, abstain: exit }
";

fn board() -> Scenario {
    let mut scenario = scenario(BOARD);
    started(&mut scenario);
    scenario
}

fn vote(scenario: &mut Scenario, user: &str, decision: &str) -> Result<(), Error> {
    scenario.complete(user, Some(decision), Value::Null)
}

#[test]
fn the_first_rule_that_holds_decides_a_vote() {
    let mut scenario = board();
    vote(&mut scenario, "ann", "approve").unwrap();
    assert_eq!(scenario.standing(), Some("vote"));
    assert_eq!(scenario.task().unwrap().ballots[0].user, "ann");
    vote(&mut scenario, "carl", "approve").unwrap();
    assert_eq!(
        scenario.output(),
        Some(&json!({ "outcome": "approve", "votes": { "approve": 2, "reject": 0, "abstain": 0 } }))
    );
    let closed = scenario.task().unwrap().closed.as_ref().unwrap();
    assert_eq!((closed.by.as_deref(), closed.ballots.len()), (Some("carl"), 2));
}

#[test]
fn one_veto_is_enough_where_a_rule_says_so() {
    let mut scenario = board();
    vote(&mut scenario, "ann", "approve").unwrap();
    vote(&mut scenario, "bob", "reject").unwrap();
    assert_eq!(scenario.output().unwrap()["outcome"], "reject");
}

#[test]
fn each_person_votes_once_and_only_for_themselves() {
    let mut scenario = board();
    vote(&mut scenario, "ann", "abstain").unwrap();
    for (refused, expected) in [
        (vote(&mut scenario, "ann", "approve"), TaskRefusal::Voted("ann".into())),
        (vote(&mut scenario, "eve", "approve"), TaskRefusal::NotCandidate("eve".into())),
        (
            scenario.act("bob", Act::Claim { lease_for: seconds(5) }),
            TaskRefusal::Vote("every candidate decides for themselves"),
        ),
        (
            scenario.act("boss", Act::Reassign { to: Some("eve".into()), comment: None }),
            TaskRefusal::Vote("every candidate decides for themselves"),
        ),
    ] {
        match refused {
            Err(Error::Refused(Refusal::Task(refusal))) => assert_eq!(refusal, expected),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_vote_without_remaining_voters_is_undecided() {
    let mut scenario = board();
    for user in ["ann", "bob", "carl"] {
        vote(&mut scenario, user, "abstain").unwrap();
    }
    assert_eq!(scenario.status(), Some(Status::Completed));
    assert_eq!(scenario.output().unwrap()["outcome"], "task.undecided");
    let closed = scenario.task().unwrap().closed.as_ref().unwrap();
    assert_eq!((closed.outcome, closed.ballots.len()), (TaskOutcome::Undecided, 3));
}

#[test]
fn decisions_have_names_in_any_letters() {
    let text = "
variables: { outcome: null }
output: ${ outcome }
activities:
  - id: vote
    task:
      candidates: { users: [ann] }
      decisions: { 'Ja, gern!': Yes, 'Nein.': No, 保留: Wait }
      vote: [{ decide: 'Ja, gern!', when: 'votes[\"Ja, gern!\"] > 0 && votes[\"保留\"] == 0' }]
    output: { outcome: result.decision }
    next: { 'Ja, gern!': exit, 'Nein.': exit, 保留: exit }
";
    let mut scenario = scenario(text);
    started(&mut scenario);
    let unknown = vote(&mut scenario, "ann", "ja, gern!");
    assert!(matches!(&unknown, Err(Error::Refused(Refusal::Task(TaskRefusal::Decision(_))))), "{unknown:?}");
    vote(&mut scenario, "ann", "Ja, gern!").unwrap();
    assert_eq!(scenario.output(), Some(&json!("Ja, gern!")));
}

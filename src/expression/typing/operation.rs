//! What the operators give for kinds of values, as `operators` and `compare` compute them.

use super::kinds::Kinds;
use super::known::Type;
use crate::expression::operators::Operator;

/// The kinds that an operator gives for two single kinds; none if it fails.
fn outcome(operator: Operator, left: Kinds, right: Kinds) -> Kinds {
    match operator {
        Operator::Add => added(left, right),
        Operator::Subtract => match (left, right) {
            (Kinds::TIME, Kinds::SPAN) => Kinds::TIME,
            (Kinds::TIME, Kinds::TIME) | (Kinds::SPAN, Kinds::SPAN) => Kinds::SPAN,
            _ => calculated(left, right),
        },
        Operator::Multiply | Operator::Divide | Operator::Modulo => calculated(left, right),
        Operator::Equal | Operator::Unequal => Kinds::BOOL,
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
            let ordered = Kinds::TEXT.or(Kinds::BYTES).or(Kinds::BOOL).or(Kinds::TIME).or(Kinds::SPAN);
            let numbers = left.within(Kinds::NUMBER) && right.within(Kinds::NUMBER);
            if numbers || (left == right && left.within(ordered)) { Kinds::BOOL } else { Kinds::NONE }
        }
        Operator::In => {
            if right.within(Kinds::LIST.or(Kinds::MAP)) {
                Kinds::BOOL
            } else {
                Kinds::NONE
            }
        }
    }
}

fn added(left: Kinds, right: Kinds) -> Kinds {
    match (left, right) {
        (Kinds::TIME, Kinds::SPAN) | (Kinds::SPAN, Kinds::TIME) => Kinds::TIME,
        _ if left == right && left.within(Kinds::TEXT.or(Kinds::BYTES).or(Kinds::LIST).or(Kinds::SPAN)) => left,
        _ => calculated(left, right),
    }
}

fn calculated(left: Kinds, right: Kinds) -> Kinds {
    match (left, right) {
        _ if !left.or(right).within(Kinds::NUMBER) => Kinds::NONE,
        (Kinds::DOUBLE, _) | (_, Kinds::DOUBLE) => Kinds::DOUBLE,
        (Kinds::UINT, Kinds::UINT) => Kinds::UINT,
        _ => Kinds::INT,
    }
}

/// What an operator gives for two values that may be of several kinds.
pub(super) struct Applied {
    /// The kinds of the result; none if it always fails.
    pub(super) gives: Kinds,
    /// The kinds of the left value with which it always fails, and those of the right value.
    pub(super) left_fails: Kinds,
    pub(super) right_fails: Kinds,
}

impl Applied {
    pub(super) fn to(operator: Operator, left: Kinds, right: Kinds) -> Self {
        let mut gives = Kinds::NONE;
        let (mut left_works, mut right_works) = (Kinds::NONE, Kinds::NONE);
        for one in left.each() {
            for other in right.each() {
                let made = outcome(operator, one, other);
                gives = gives.or(made);
                if !made.is_none() {
                    left_works = left_works.or(one);
                    right_works = right_works.or(other);
                }
            }
        }
        Applied { gives, left_fails: left.without(left_works), right_fails: right.without(right_works) }
    }
}

/// Whether two values can be equal.
pub(super) fn can_equal(left: &Type, right: &Type) -> bool {
    let (one, other) = (left.kinds(), right.kinds());
    if one.has(Kinds::ABSENT) && other.has(Kinds::ABSENT) || one.has(Kinds::NUMBER) && other.has(Kinds::NUMBER) {
        return true;
    }
    // What may be of several kinds is known too little to compare its strings.
    let only_text = |kinds: Kinds| kinds.without(Kinds::ABSENT) == Kinds::TEXT;
    match (left.texts(), right.texts()) {
        (Some(left), Some(right)) if only_text(one) && only_text(other) => !left.set.is_disjoint(&right.set),
        (_, _) => one.has(other),
    }
}

/// The type of a sum of lists.
pub(super) fn lists_added(left: &Type, right: &Type) -> Type {
    Type::list(left.element().join(&right.element()))
}

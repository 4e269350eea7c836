//! A type: the kinds a value may have, and what is known of its parts. Bounded in depth and size, because documents are hostile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::kinds::Kinds;
use super::members::{Member, Rest, Shape};

/// Levels of a type; deeper parts are unknown.
pub const DEPTH_MAX: u8 = 8;
/// Parts of a type; the parts of a larger one are unknown.
pub const WEIGHT_MAX: u32 = 2_000;
/// Strings of which one is known to be the value.
const TEXTS_MAX: usize = 100;
/// Bytes of a string that is remembered as a possible value.
const TEXT_BYTES_MAX: usize = 200;

/// What is known of a value. Parts that are absent here are unknown.
#[derive(Debug, Clone, PartialEq)]
pub struct Type {
    kinds: Kinds,
    /// The only strings it can be.
    texts: Option<Arc<Texts>>,
    element: Option<Arc<Type>>,
    shape: Option<Arc<Shape>>,
    /// The value of an optional that is not empty.
    held: Option<Arc<Type>>,
    depth: u8,
    weight: u32,
}

/// The only strings that a value can be.
#[derive(Debug, Clone, PartialEq)]
pub struct Texts {
    /// The strings.
    pub set: BTreeSet<String>,
    /// They are the decisions of a task.
    pub are_decisions: bool,
}

impl Type {
    /// A value of these kinds, with unknown parts.
    pub const fn of(kinds: Kinds) -> Self {
        Self { kinds, texts: None, element: None, shape: None, held: None, depth: 1, weight: 1 }
    }

    /// Nothing is known.
    pub const fn unknown() -> Self {
        Self::of(Kinds::DYN)
    }

    /// One of these strings.
    pub fn one_of(texts: Texts) -> Self {
        let fits = texts.set.len() <= TEXTS_MAX && texts.set.iter().all(|text| text.len() <= TEXT_BYTES_MAX);
        Self { texts: fits.then(|| Arc::new(texts)), ..Self::of(Kinds::TEXT) }
    }

    /// This string.
    pub fn text(text: &str) -> Self {
        Self::one_of(Texts { set: BTreeSet::from([text.to_owned()]), are_decisions: false })
    }

    /// A list of such elements.
    pub fn list(element: Type) -> Self {
        Self { element: Some(Arc::new(element)), ..Self::of(Kinds::LIST) }.bounded()
    }

    /// A map of this shape.
    pub fn map(shape: Shape) -> Self {
        Self { shape: Some(Arc::new(shape)), ..Self::of(Kinds::MAP) }.bounded()
    }

    /// An optional with such a value, if it is not empty.
    pub fn optional(held: Type) -> Self {
        Self { held: Some(Arc::new(held)), ..Self::of(Kinds::OPTIONAL) }.bounded()
    }

    /// The type of a JSON value.
    pub fn of_value(value: &Value) -> Self {
        Self::of_value_at(value, 0)
    }

    fn of_value_at(value: &Value, depth: u8) -> Self {
        match value {
            Value::Null => Self::of(Kinds::NULL),
            Value::Bool(_) => Self::of(Kinds::BOOL),
            Value::Number(number) if number.is_i64() => Self::of(Kinds::INT),
            Value::Number(_) => Self::of(Kinds::DOUBLE.or(Kinds::INT)),
            Value::String(text) => Self::text(text),
            Value::Array(_) | Value::Object(_) if depth >= DEPTH_MAX => Self::unknown(),
            Value::Array(items) if items.len() > WEIGHT_MAX as usize => Self::of(Kinds::LIST),
            Value::Array(items) => {
                let element =
                    items.iter().fold(Self::of(Kinds::NONE), |all, item| all.join(&Self::of_value_at(item, depth + 1)));
                Self::list(element)
            }
            Value::Object(members) if members.len() > WEIGHT_MAX as usize => Self::of(Kinds::MAP),
            Value::Object(members) => {
                let member = |(name, value): (&String, &Value)| {
                    (name.clone(), Member { is: Self::of_value_at(value, depth + 1), always: true })
                };
                Self::map(Shape::new(members.iter().map(member).collect(), Rest::Closed))
            }
        }
    }

    /// Forgets the parts of a type that is too deep or too large.
    fn bounded(mut self) -> Self {
        let parts: Vec<&Type> = self
            .element
            .iter()
            .chain(&self.held)
            .map(Arc::as_ref)
            .chain(self.shape.iter().flat_map(|shape| shape.members.values().map(|member| &member.is)))
            .collect();
        self.depth = parts.iter().map(|part| part.depth).max().unwrap_or_default().saturating_add(1);
        self.weight = parts.iter().fold(1, |sum: u32, part| sum.saturating_add(part.weight));
        if self.depth > DEPTH_MAX || self.weight > WEIGHT_MAX {
            return Self { texts: self.texts, ..Self::of(self.kinds) };
        }
        self
    }

    /// Its kinds.
    pub fn kinds(&self) -> Kinds {
        self.kinds
    }

    /// How large it is, as a measure of the work it makes.
    pub(super) fn weight(&self) -> u32 {
        self.weight
    }

    /// Whether nothing is known of it.
    pub fn is_unknown(&self) -> bool {
        Kinds::DYN.within(self.kinds)
    }

    /// The only strings it can be, if they are known.
    pub(super) fn texts(&self) -> Option<&Texts> {
        self.texts.as_deref()
    }

    /// The elements, if it is a list.
    pub(super) fn element(&self) -> Type {
        self.element.as_deref().cloned().unwrap_or(Self::unknown())
    }

    /// What is known of its members, if it is a map.
    pub fn shape(&self) -> Option<&Shape> {
        self.shape.as_deref()
    }

    /// The value of an optional that is not empty.
    pub(super) fn held(&self) -> Type {
        self.held.as_deref().cloned().unwrap_or(Self::unknown())
    }

    /// A value of one type or the other.
    pub fn join(&self, other: &Type) -> Type {
        let kinds = self.kinds.or(other.kinds);
        if Kinds::DYN.within(kinds) {
            return Self::unknown();
        }
        let texts = self.part(
            other,
            Kinds::TEXT,
            |of| of.texts.as_ref(),
            |one, other| {
                let set: BTreeSet<String> = one.set.union(&other.set).cloned().collect();
                let are_decisions = one.are_decisions && other.are_decisions;
                (set.len() <= TEXTS_MAX).then_some(Texts { set, are_decisions })
            },
        );
        let element = self.part(other, Kinds::LIST, |of| of.element.as_ref(), |one, other| Some(one.join(other)));
        let shape = self.part(other, Kinds::MAP, |of| of.shape.as_ref(), Shape::join);
        let held = self.part(other, Kinds::OPTIONAL, |of| of.held.as_ref(), |one, other| Some(one.join(other)));
        Type { kinds, texts, element, shape, held, depth: 1, weight: 1 }.bounded()
    }

    /// A part of a join: that of the one side that has the kind, or of both.
    fn part<'t, T: PartialEq>(
        &'t self,
        other: &'t Type,
        kind: Kinds,
        part: fn(&'t Type) -> Option<&'t Arc<T>>,
        join: impl FnOnce(&T, &T) -> Option<T>,
    ) -> Option<Arc<T>> {
        match (self.kinds.has(kind), other.kinds.has(kind)) {
            (true, false) => part(self).cloned(),
            (false, true) => part(other).cloned(),
            (false, false) => None,
            (true, true) => match (part(self)?, part(other)?) {
                (one, other) if one == other => Some(one.clone()),
                (one, other) => join(one, other).map(Arc::new),
            },
        }
    }

    /// The same value, if it is none of these kinds.
    pub fn without(&self, kinds: Kinds) -> Type {
        self.only(self.kinds.without(kinds))
    }

    /// The same value, if it is one of these kinds.
    pub fn only(&self, kinds: Kinds) -> Type {
        let kinds = self.kinds.and(kinds);
        let keep = |kind: Kinds| kinds.has(kind);
        Type {
            kinds,
            texts: self.texts.clone().filter(|_| keep(Kinds::TEXT)),
            element: self.element.clone().filter(|_| keep(Kinds::LIST)),
            shape: self.shape.clone().filter(|_| keep(Kinds::MAP)),
            held: self.held.clone().filter(|_| keep(Kinds::OPTIONAL)),
            ..*self
        }
    }

    /// The same, or a value of these kinds.
    pub fn or(&self, kinds: Kinds) -> Type {
        self.join(&Type::of(kinds))
    }

    /// The same, without a warning where it is null.
    pub fn quiet(&self) -> Type {
        if self.kinds.has(Kinds::NULL) { self.without(Kinds::NULL).or(Kinds::UNSET) } else { self.clone() }
    }

    /// The value that an operator or a function gets: that of an optional. An empty one fails there, as null does.
    pub(super) fn settled(&self) -> Type {
        if self.is_unknown() || !self.kinds.has(Kinds::OPTIONAL) {
            return self.clone();
        }
        let held = self.held();
        if held.kinds.has(Kinds::OPTIONAL) {
            // An optional in an optional may be a value that is empty.
            return Self::unknown();
        }
        self.without(Kinds::OPTIONAL).join(&held).or(Kinds::UNSET)
    }

    /// The value as it is stored: JSON has no timestamps, durations and bytes.
    pub fn stored(&self) -> Type {
        if self.is_unknown() {
            return self.clone();
        }
        let settled = self.settled();
        let written = Kinds::BYTES.or(Kinds::TIME).or(Kinds::SPAN).or(Kinds::TYPE);
        let mut stored = settled.without(written.or(Kinds::LIST).or(Kinds::MAP));
        if settled.kinds.has(written) {
            stored = stored.or(Kinds::TEXT);
        }
        if settled.kinds.has(Kinds::NUMBER.without(Kinds::INT)) {
            stored = stored.without(Kinds::UINT).or(Kinds::INT.or(Kinds::DOUBLE));
        }
        if settled.kinds.has(Kinds::LIST) {
            let list = settled.element.as_ref().map(|element| Type::list(element.stored()));
            stored = stored.join(&list.unwrap_or(Type::of(Kinds::LIST)));
        }
        if settled.kinds.has(Kinds::MAP) {
            let map = settled.shape().map(|shape| Type::map(shape.each(Type::stored)));
            stored = stored.join(&map.unwrap_or(Type::of(Kinds::MAP)));
        }
        stored
    }

    /// The same map with other knowledge of one member.
    pub(super) fn with_member(&self, name: &str, member: Member) -> Type {
        let mut members: BTreeMap<String, Member> = BTreeMap::new();
        let mut shape = self.shape().cloned().unwrap_or_else(|| Shape::new(BTreeMap::new(), Rest::Open));
        members.append(&mut shape.members);
        members.insert(name.to_owned(), member);
        Type { shape: Some(Arc::new(Shape { members, ..shape })), ..self.clone() }.bounded()
    }
}

//! Sets of kinds of values, as bits: what an expression may be.

/// A sentence does not list more kinds.
const MANY: usize = 5;

/// A set of kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kinds(u16);

impl Kinds {
    /// No kind: the element of an empty list.
    pub const NONE: Kinds = Kinds(0);
    /// A null that the author has to expect: an optional property without a default.
    pub const NULL: Kinds = Kinds(1);
    /// A null that may be there, but is not worth a warning: a variable that may not be assigned yet.
    pub const UNSET: Kinds = Kinds(1 << 1);
    /// A boolean.
    pub const BOOL: Kinds = Kinds(1 << 2);
    /// An int of 64 bits.
    pub const INT: Kinds = Kinds(1 << 3);
    /// An unsigned int.
    pub const UINT: Kinds = Kinds(1 << 4);
    /// A double.
    pub const DOUBLE: Kinds = Kinds(1 << 5);
    /// A string.
    pub const TEXT: Kinds = Kinds(1 << 6);
    /// Bytes.
    pub const BYTES: Kinds = Kinds(1 << 7);
    /// A list.
    pub const LIST: Kinds = Kinds(1 << 8);
    /// A map.
    pub const MAP: Kinds = Kinds(1 << 9);
    /// A timestamp.
    pub const TIME: Kinds = Kinds(1 << 10);
    /// A duration.
    pub const SPAN: Kinds = Kinds(1 << 11);
    /// A type, the value of `type(x)`.
    pub const TYPE: Kinds = Kinds(1 << 12);
    /// An optional, empty or not.
    pub const OPTIONAL: Kinds = Kinds(1 << 13);
    /// Any number.
    pub const NUMBER: Kinds = Self::INT.or(Self::UINT).or(Self::DOUBLE);
    /// Null, expected or not.
    pub const ABSENT: Kinds = Self::NULL.or(Self::UNSET);
    /// Everything: nothing is known. Its null is not worth a warning.
    pub const DYN: Kinds = Kinds((1 << 14) - 1).without(Self::NULL);

    /// The kinds of both.
    pub const fn or(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }

    /// The kinds that both have.
    pub const fn and(self, other: Kinds) -> Kinds {
        Kinds(self.0 & other.0)
    }

    /// The kinds that the other does not have.
    pub const fn without(self, other: Kinds) -> Kinds {
        Kinds(self.0 & !other.0)
    }

    /// Whether it has none.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether the two have a kind in common.
    pub const fn has(self, other: Kinds) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether the other has all of its kinds.
    pub const fn within(self, other: Kinds) -> bool {
        self.0 & !other.0 == 0
    }

    /// Each of its kinds alone.
    pub(super) fn each(self) -> impl Iterator<Item = Kinds> {
        (0..14).map(|bit| Kinds(1 << bit)).filter(move |kind| self.has(*kind))
    }

    /// For messages: `a number or null`.
    pub fn what(self) -> String {
        let mut words: Vec<&str> = Vec::new();
        for kind in self.each() {
            let word = kind.word();
            if !words.contains(&word) {
                words.push(word);
            }
        }
        // Null is the last alternative that a reader expects.
        words.sort_by_key(|word| *word == "null");
        match words.as_slice() {
            [] => "nothing".into(),
            many if many.len() > MANY => "any value".into(),
            [word] => (*word).into(),
            [words @ .., last] => format!("{} or {last}", words.join(", ")),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::NULL | Self::UNSET => "null",
            Self::BOOL => "a boolean",
            Self::INT | Self::UINT | Self::DOUBLE => "a number",
            Self::TEXT => "a string",
            Self::BYTES => "bytes",
            Self::LIST => "a list",
            Self::MAP => "a map",
            Self::TIME => "a timestamp",
            Self::SPAN => "a duration",
            Self::TYPE => "a type",
            _ => "an optional",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_read_as_a_person_says_them() {
        assert_eq!(Kinds::NULL.or(Kinds::NUMBER).what(), "a number or null");
        assert_eq!(Kinds::TEXT.what(), "a string");
        assert_eq!(Kinds::ABSENT.what(), "null");
        assert_eq!(Kinds::DYN.what(), "any value");
        assert_eq!(Kinds::TEXT.or(Kinds::LIST).or(Kinds::UNSET).what(), "a string, a list or null");
    }

    #[test]
    fn what_is_unknown_is_everything_but_an_expected_null() {
        assert!(!Kinds::DYN.has(Kinds::NULL) && Kinds::DYN.has(Kinds::UNSET) && Kinds::DYN.has(Kinds::OPTIONAL));
        assert_eq!(Kinds::DYN.each().count(), 13);
    }
}

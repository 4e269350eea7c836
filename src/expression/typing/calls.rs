//! What functions take and give. A function that is not listed takes and gives anything.

use super::kinds::Kinds;
use super::known::Type;
use super::members::{Rest, Shape};

/// What one function takes and gives.
pub(super) struct Signature {
    /// The kinds of each argument, the receiver first; the last holds for all that follow.
    pub(super) takes: &'static [Kinds],
    pub(super) gives: Gives,
}

/// What a function gives.
#[derive(Debug, Clone, Copy)]
pub(super) enum Gives {
    Kinds(Kinds),
    /// A list of these.
    ListOf(Kinds),
    /// The kinds of its first argument that it takes.
    TheSame,
    /// Lists of its first argument's elements.
    Chunks,
    /// An element of its first argument.
    Element,
    /// An element of its first argument, as an optional.
    MaybeElement,
    /// The sum of its first argument.
    Sum,
    /// A number of one of its arguments, or of its list.
    OneOfThem,
    /// A map of anything.
    AnyMap,
    /// Its first argument.
    First,
}

const ANY: Kinds = Kinds::DYN.or(Kinds::NULL);
const TEXT: Kinds = Kinds::TEXT;
const NUMBER: Kinds = Kinds::NUMBER;
const WHOLE: Kinds = Kinds::INT.or(Kinds::UINT);
const TEXT_OR_BYTES: Kinds = Kinds::TEXT.or(Kinds::BYTES);
const TIME_OR_SPAN: Kinds = Kinds::TIME.or(Kinds::SPAN);
const NOT_NULL: Kinds = ANY.without(Kinds::ABSENT);
const TEXT_OR_LIST: Kinds = TEXT.or(Kinds::LIST);
const SIZED: Kinds = TEXT_OR_BYTES.or(Kinds::LIST).or(Kinds::MAP);
const INTLIKE: Kinds = NUMBER.or(TEXT).or(Kinds::TIME);
const NUMBER_OR_TEXT: Kinds = NUMBER.or(TEXT);
const BOOL_OR_TEXT: Kinds = Kinds::BOOL.or(TEXT);
const NUMBER_OR_LIST: Kinds = NUMBER.or(Kinds::LIST);
const MOMENT: Kinds = Kinds::TIME.or(Kinds::INT).or(TEXT);
const PERIOD: Kinds = Kinds::SPAN.or(TEXT);

/// The signature of a function.
pub(super) fn signature(name: &str) -> Option<Signature> {
    let of = |takes, gives| Some(Signature { takes, gives });
    match name {
        "contains" | "startsWith" | "endsWith" | "matches" => of(&[TEXT, TEXT], Gives::Kinds(Kinds::BOOL)),
        "split" => of(&[TEXT, TEXT, NUMBER], Gives::ListOf(TEXT)),
        "join" => of(&[Kinds::LIST, TEXT], Gives::Kinds(TEXT)),
        "replace" => of(&[TEXT, TEXT, TEXT, NUMBER], Gives::Kinds(TEXT)),
        "substring" | "charAt" => of(&[TEXT, NUMBER], Gives::Kinds(TEXT)),
        "indexOf" | "lastIndexOf" => of(&[TEXT, TEXT, NUMBER], Gives::Kinds(Kinds::INT)),
        "trim" | "lowerAscii" | "upperAscii" | "strings.quote" | "url.encode" | "uuid5" => {
            of(&[TEXT], Gives::Kinds(TEXT))
        }
        "reverse" => of(&[TEXT_OR_LIST], Gives::TheSame),
        "format" => of(&[TEXT, Kinds::LIST], Gives::Kinds(TEXT)),
        "size" => of(&[SIZED], Gives::Kinds(Kinds::INT)),
        "int" => of(&[INTLIKE], Gives::Kinds(Kinds::INT)),
        "uint" => of(&[NUMBER_OR_TEXT], Gives::Kinds(Kinds::UINT)),
        "double" => of(&[NUMBER_OR_TEXT], Gives::Kinds(Kinds::DOUBLE)),
        "string" => of(&[NOT_NULL], Gives::Kinds(TEXT)),
        "bool" => of(&[BOOL_OR_TEXT], Gives::Kinds(Kinds::BOOL)),
        "bytes" => of(&[TEXT_OR_BYTES], Gives::Kinds(Kinds::BYTES)),
        "value" => of(&[ANY], Gives::First),
        "json.encode" => of(&[ANY], Gives::Kinds(TEXT)),
        "base64.encode" | "hash.sha256" => of(&[TEXT_OR_BYTES], Gives::Kinds(TEXT)),
        "base64.decode" => of(&[TEXT], Gives::Kinds(Kinds::BYTES)),
        "json.decode" => of(&[TEXT], Gives::Kinds(Kinds::DYN)),
        _ => of_collections(name).or_else(|| of_numbers(name)).or_else(|| of_times(name)),
    }
}

fn of_collections(name: &str) -> Option<Signature> {
    let of = |takes, gives| Some(Signature { takes, gives });
    match name {
        "sum" => of(&[Kinds::LIST], Gives::Sum),
        "min" | "max" => of(&[Kinds::LIST], Gives::Element),
        "sort" | "distinct" => of(&[Kinds::LIST], Gives::TheSame),
        "slice" => of(&[Kinds::LIST, NUMBER, NUMBER], Gives::TheSame),
        "flatten" => of(&[Kinds::LIST, NUMBER], Gives::Kinds(Kinds::LIST)),
        "chunk" => of(&[Kinds::LIST, NUMBER], Gives::Chunks),
        "first" | "last" => of(&[Kinds::LIST], Gives::MaybeElement),
        "range" | "lists.range" => of(&[NUMBER], Gives::ListOf(Kinds::INT)),
        "merge" | "maps.merge" => of(&[Kinds::MAP, Kinds::MAP], Gives::AnyMap),
        "keys" | "values" => of(&[Kinds::MAP], Gives::Kinds(Kinds::LIST)),
        _ => None,
    }
}

fn of_numbers(name: &str) -> Option<Signature> {
    let of = |takes, gives| Some(Signature { takes, gives });
    match name {
        "math.greatest" | "math.least" => of(&[NUMBER_OR_LIST], Gives::OneOfThem),
        "math.abs" | "math.sign" | "math.ceil" | "math.floor" | "math.round" | "math.trunc" => {
            of(&[NUMBER], Gives::TheSame)
        }
        "math.sqrt" => of(&[NUMBER], Gives::Kinds(Kinds::DOUBLE)),
        "math.bitAnd" | "math.bitOr" | "math.bitXor" => of(&[WHOLE, WHOLE], Gives::TheSame),
        "math.bitNot" => of(&[WHOLE], Gives::TheSame),
        "math.bitShiftLeft" | "math.bitShiftRight" => of(&[WHOLE, NUMBER], Gives::TheSame),
        _ => None,
    }
}

fn of_times(name: &str) -> Option<Signature> {
    let of = |takes, gives| Some(Signature { takes, gives });
    match name {
        "timestamp" => of(&[MOMENT], Gives::Kinds(Kinds::TIME)),
        "duration" => of(&[PERIOD], Gives::Kinds(Kinds::SPAN)),
        "formatTime" => of(&[Kinds::TIME, TEXT, TEXT], Gives::Kinds(TEXT)),
        "getFullYear" | "getMonth" | "getDate" | "getDayOfMonth" | "getDayOfWeek" | "getDayOfYear" => {
            of(&[Kinds::TIME, TEXT], Gives::Kinds(Kinds::INT))
        }
        "getHours" | "getMinutes" | "getSeconds" | "getMilliseconds" => {
            of(&[TIME_OR_SPAN, TEXT], Gives::Kinds(Kinds::INT))
        }
        _ => None,
    }
}

/// What a function gives for arguments that fit.
pub(super) fn given(signature: &Signature, args: &[Type]) -> Type {
    let first = || args.first().cloned().unwrap_or(Type::unknown());
    let taken = || signature.takes.first().map_or_else(first, |takes| first().only(*takes));
    match signature.gives {
        Gives::Kinds(kinds) => Type::of(kinds),
        Gives::ListOf(kinds) => Type::list(Type::of(kinds)),
        Gives::TheSame => {
            let same = taken();
            // What was one of several strings is changed now.
            if same.kinds().has(TEXT) { same.without(TEXT).or(TEXT) } else { same }
        }
        Gives::Chunks => Type::list(Type::list(taken().element())),
        Gives::Element => taken().element(),
        Gives::MaybeElement => Type::optional(taken().element()),
        Gives::Sum => Type::of(taken().element().kinds().and(NUMBER.or(Kinds::SPAN)).or(NUMBER)),
        Gives::OneOfThem => Type::of(NUMBER),
        Gives::AnyMap => Type::map(Shape::new(Default::default(), Rest::Open)),
        Gives::First => first(),
    }
}

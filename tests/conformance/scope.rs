//! What is out of scope, and why.

use crate::case::Case;

/// Why a case cannot be run here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Group {
    Protobuf,
    TypesOnly,
    Names,
    Blocks,
}

impl Group {
    pub(crate) const ALL: [Group; 4] = [Group::Protobuf, Group::TypesOnly, Group::Names, Group::Blocks];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Group::Protobuf => "protobuf messages, enums and wrappers",
            Group::TypesOnly => "the type checker only",
            Group::Names => "containers and qualified names",
            Group::Blocks => "`cel.block`",
        }
    }

    pub(crate) fn why(self) -> &'static str {
        match self {
            Group::Protobuf => {
                "Values are JSON. There are no messages to build, no fields with defaults, no extensions, no enums and no \
                 wrapper types."
            }
            Group::TypesOnly => {
                "These say which type an expression is given before it runs, and yield no value. Variables are JSON \
                 whose kind is known only then, so there is no such checker."
            }
            Group::Names => {
                "A name is one word. There is no container to resolve it in, and no variable has a dot in its name."
            }
            Group::Blocks => {
                "`cel.block`, `cel.index` and `cel.iterVar` are what an optimiser writes, not people. `cel.bind` is there."
            }
        }
    }
}

/// Words by which a case is known to need protobuf.
const PROTOBUF: [&str; 8] = [
    "TestAllTypes",
    "NestedEnum",
    "GlobalEnum",
    "TestRequired",
    "proto.getExt",
    "proto.hasExt",
    "google.protobuf.",
    "Value{",
];
/// Those of protobuf's own types that CEL has as kinds of its own.
const OWN_KINDS: [&str; 2] = ["google.protobuf.Timestamp", "google.protobuf.Duration"];

pub(crate) fn outside(case: &Case) -> Option<Group> {
    let mut told = case.told.clone();
    // The container is only where names would be looked for.
    let container = told.as_object_mut().and_then(|told| told.remove("container"));
    let mut text = told.to_string();
    for kind in OWN_KINDS {
        text = text.replace(kind, "");
    }
    if PROTOBUF.iter().any(|word| text.contains(word)) || text.contains("enumValue") {
        return Some(Group::Protobuf);
    }
    if case.source.contains("cel.block") || case.source.contains("cel.iterVar") {
        return Some(Group::Blocks);
    }
    if told.get("checkOnly").is_some() {
        return Some(Group::TypesOnly);
    }
    let dotted = told["bindings"].as_object().is_some_and(|bindings| bindings.keys().any(|name| name.contains('.')));
    (dotted || (container.is_some() && case.suite == "namespace")).then_some(Group::Names)
}

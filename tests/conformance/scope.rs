//! Cases that are out of scope, with reasons.

use crate::case::Case;

/// The reason why a case is out of scope.
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
                "Values are JSON: there are no messages, default fields, extensions, enums or wrapper types."
            }
            Group::TypesOnly => {
                "These cases check the type of an expression before it runs, and have no value. Variables are JSON \
                 whose type is known only at run time, so there is no type checker."
            }
            Group::Names => "A name is a single identifier. There are no containers, and variable names have no dots.",
            Group::Blocks => {
                "`cel.block`, `cel.index` and `cel.iterVar` are written by optimisers, not by people. `cel.bind` is supported."
            }
        }
    }
}

/// Words that identify cases with protobuf.
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
/// Protobuf types that are also types of CEL.
const OWN_KINDS: [&str; 2] = ["google.protobuf.Timestamp", "google.protobuf.Duration"];

pub(crate) fn outside(case: &Case) -> Option<Group> {
    let mut data = case.data.clone();
    // The container only matters for resolving names.
    let container = data.as_object_mut().and_then(|data| data.remove("container"));
    let mut text = data.to_string();
    for kind in OWN_KINDS {
        text = text.replace(kind, "");
    }
    if PROTOBUF.iter().any(|word| text.contains(word)) || text.contains("enumValue") {
        return Some(Group::Protobuf);
    }
    if case.source.contains("cel.block") || case.source.contains("cel.iterVar") {
        return Some(Group::Blocks);
    }
    if data.get("checkOnly").is_some() {
        return Some(Group::TypesOnly);
    }
    let dotted = data["bindings"].as_object().is_some_and(|bindings| bindings.keys().any(|name| name.contains('.')));
    (dotted || (container.is_some() && case.suite == "namespace")).then_some(Group::Names)
}

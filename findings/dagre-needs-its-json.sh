#!/bin/sh
# dagre 0.1.2 (Rust): its features `json`, `serde` and `serde_json` look optional, and the crate does not compile without them.
#
# The module for JSON is part of the crate whether the feature is there or not. A program that only computes places of boxes, and
# therefore takes the crate with `default-features = false`, cannot be built.
#
# Seen: see the end. So the default features stay.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
build() {
    cargo init --quiet --vcs none --name finding "$1"
    (cd "$1" && shift && cargo add --quiet dagre@=0.1.2 "$@" && CARGO_TARGET_DIR="$dir/target" cargo build --quiet 2> seen) && echo "it compiles" && return
    grep -q 'unresolved import `serde`' "$1/seen" && echo "unresolved import \`serde\`"
}
build with > seen
build without --no-default-features >> seen
cat seen
diff - seen <<'END'
it compiles
unresolved import `serde`
END

#!/bin/sh
# cel 0.15.0 (Rust): the integers of a JSON value are of two types, by their sign, and the two cannot be added.
#
# A variable that is made from serde_json holds 3 as a uint and -3 as an int; the 1 of an expression is an int. So `n + 1` fails for
# 3 and works for -3, while `n > 1` works for both: comparisons mix the types, arithmetic does not.
#
# Seen: see the end. So numbers from JSON have to become ints before an expression sees them.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cargo init --quiet --vcs none --name finding .
cargo add --quiet --no-default-features --features parser_pratt,json cel@=0.15.0
cargo add --quiet serde_json@1
cat > src/main.rs <<'END'
use cel::{Context, Program};

fn main() {
    for n in [serde_json::json!(3), serde_json::json!(-3)] {
        for source in ["n + 1", "n > 1"] {
            let mut context = Context::default();
            context.add_variable("n", n.clone()).unwrap();
            let seen = match Program::compile(source).unwrap().execute(&context) {
                Ok(value) => format!("{value:?}"),
                Err(_) => "an error".to_owned(),
            };
            println!("n = {n}: {source} -> {seen}");
        }
    }
}
END
CARGO_TARGET_DIR="$dir/target" cargo run --quiet > seen
cat seen
diff - seen <<'END'
n = 3: n + 1 -> an error
n = 3: n > 1 -> Bool(true)
n = -3: n + 1 -> Int(-2)
n = -3: n > 1 -> Bool(false)
END

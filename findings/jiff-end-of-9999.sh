#!/bin/sh
# jiff 0.2.46 (Rust): the last day of the year 9999 is no Timestamp, although RFC 3339 has it.
#
# The largest Timestamp is 26 hours before the end of the year 9999, so that it can be shown in every time zone. A text such as
# 9999-12-31T23:59:59Z, which many systems use for "no end", is refused; as a civil date and time it is read.
#
# Seen: see the end. So "until the year 9999" promises a little less than it says.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cargo init --quiet --vcs none --name finding .
cargo add --quiet --no-default-features --features std jiff@=0.2.46
cat > src/main.rs <<'END'
fn main() {
    println!("largest: {}", jiff::Timestamp::MAX);
    for text in ["9999-12-30T22:00:00Z", "9999-12-31T23:59:59Z"] {
        println!("{text}: {}", if text.parse::<jiff::Timestamp>().is_ok() { "read" } else { "refused" });
    }
    println!("without a zone: {}", "9999-12-31T23:59:59".parse::<jiff::civil::DateTime>().is_ok());
}
END
CARGO_TARGET_DIR="$dir/target" cargo run --quiet > seen
cat seen
diff - seen <<'END'
largest: 9999-12-30T22:00:00.999999999Z
9999-12-30T22:00:00Z: read
9999-12-31T23:59:59Z: refused
without a zone: true
END

#!/bin/sh
# async-compression 0.4.52 (Rust): a gzip body of two members ends after the first, without an error.
#
# RFC 1952 says that a file of several members is their contents one after the other; `gzip -d`, Python and zlib's tools read it so,
# and servers that compress piece by piece send it. The decoder stops after one member and reports a complete body, unless
# `multiple_members(true)` was called.
#
# Seen: Python reads 10 bytes, the decoder 5, and 10 with `multiple_members`.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
(printf 01234 | gzip; printf 56789 | gzip) > two.gz
cargo init --quiet --vcs none --name finding .
cargo add --quiet --no-default-features --features tokio,gzip async-compression@=0.4.52
cargo add --quiet --features rt,macros,io-util,fs tokio@1
cat > src/main.rs <<'END'
use async_compression::tokio::bufread::GzipDecoder;
use tokio::io::AsyncReadExt;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let packed = std::fs::read("two.gz").unwrap();
    for all in [false, true] {
        let mut decoder = GzipDecoder::new(&packed[..]);
        decoder.multiple_members(all);
        let mut text = String::new();
        decoder.read_to_string(&mut text).await.unwrap();
        println!("multiple_members({all}): {text}");
    }
}
END
python3 -c 'import gzip; print("python:", gzip.decompress(open("two.gz", "rb").read()).decode())' > seen
CARGO_TARGET_DIR="$dir/target" cargo run --quiet >> seen
cat seen
diff - seen <<'END'
python: 0123456789
multiple_members(false): 01234
multiple_members(true): 0123456789
END

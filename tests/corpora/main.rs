//! Replays the corpora of the fuzz targets: every file is taken without a panic, and soon.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use doors::DOORS;

mod doors;

/// One file, in a debug build on a busy machine.
const TAKEN_WITHIN: Duration = Duration::from_secs(10);
/// Files of one corpus: it is a short replay, not a fuzz run.
const FILES_MAX: usize = 200;
/// Bytes of one file.
const BYTES_MAX: usize = 16 * 1024;

#[test]
fn every_file_of_the_corpora_is_taken_soon() {
    for door in DOORS {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpora").join(door.name);
        let mut files: Vec<_> = fs::read_dir(&corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!((1..=FILES_MAX).contains(&files.len()), "{}: {} files", door.name, files.len());
        for file in files {
            let bytes = fs::read(&file).unwrap();
            assert!(bytes.len() <= BYTES_MAX, "{}: {} bytes", file.display(), bytes.len());
            let began = Instant::now();
            (door.take)(&bytes);
            assert!(began.elapsed() < TAKEN_WITHIN, "{}: {:?}", file.display(), began.elapsed());
        }
    }
}

#[test]
fn every_door_has_a_fuzz_target() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/Cargo.toml")).unwrap();
    for door in DOORS {
        assert!(manifest.contains(&format!("name = \"{}\"", door.name)), "{}", door.name);
    }
}

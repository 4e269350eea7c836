//! Secrets in files, as Docker and Kubernetes provide them.

use std::io::Read;
use std::path::Path;

/// The most bytes of a secret, or of its file.
pub const BYTES_MAX: usize = 64 * 1024;

/// The content of a file without its final line end.
///
/// # Errors
/// A sentence, if the file cannot be read, is empty or is too long. It does not contain the content.
pub fn read(path: &Path) -> Result<String, String> {
    let place = path.display();
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| format!("{place} cannot be read: {error}"))?;
    // An error about text that is not UTF-8 does not show it.
    let bytes = file.take(BYTES_MAX as u64 + 1).read_to_string(&mut text);
    let bytes = bytes.map_err(|error| format!("{place} cannot be read: {error}"))?;
    if bytes > BYTES_MAX {
        return Err(format!("{place} has more than {BYTES_MAX} bytes, so it is not the file of a secret"));
    }
    let line = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    match line.is_empty() {
        true => Err(format!("{place} is empty: write the secret into it")),
        false => Ok(line.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_final_line_end_is_not_part_of_a_secret() {
        let path = std::env::temp_dir().join(format!("leveret-secret-{}-{}", std::process::id(), fastrand::u64(..)));
        for (content, secret) in [("a b\r\n", "a b"), ("a\n\n", "a\n"), ("a", "a")] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(read(&path).unwrap(), secret);
        }
        std::fs::write(&path, "\n").unwrap();
        assert!(read(&path).unwrap_err().contains("is empty"));
        std::fs::write(&path, "hunter2".repeat(10_000)).unwrap();
        let error = read(&path).unwrap_err();
        assert!(error.contains("more than") && !error.contains("hunter2"), "{error}");
        std::fs::remove_file(&path).unwrap();
        assert!(read(&path).unwrap_err().contains("cannot be read"));
    }
}

//! What the pages load besides themselves: a style sheet and two scripts, part of the program. Each has the hash of its content in its
//! name, so that a browser may keep it for ever.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::fault::Fault;
use crate::http::problem::Problem;

/// One file.
struct Asset {
    /// The beginning and the end of its name; the hash is between them.
    name: [&'static str; 2],
    kind: &'static str,
    bytes: &'static [u8],
}

const CSS: Asset =
    Asset { name: ["leveret", "css"], kind: "text/css; charset=utf-8", bytes: include_bytes!("assets/leveret.css") };
const SCRIPT: Asset = Asset {
    name: ["leveret", "js"],
    kind: "text/javascript; charset=utf-8",
    bytes: include_bytes!("assets/leveret.js"),
};
// htmx 2.0.11, from npm; its licence is beside it.
const HTMX: Asset =
    Asset { name: ["htmx", "js"], kind: "text/javascript; charset=utf-8", bytes: include_bytes!("assets/htmx.min.js") };

/// The names of all files, with their hashes.
pub(super) struct Names {
    pub(super) css: String,
    pub(super) script: String,
    pub(super) htmx: String,
}

static NAMES: LazyLock<Names> =
    LazyLock::new(|| Names { css: CSS.hashed(), script: SCRIPT.hashed(), htmx: HTMX.hashed() });

/// Where the files are.
pub(super) fn names() -> &'static Names {
    &NAMES
}

impl Asset {
    fn hashed(&self) -> String {
        let hash = hex::encode(Sha256::digest(self.bytes));
        format!("{}-{}.{}", self.name[0], hash.get(..12).unwrap_or_default(), self.name[1])
    }
}

pub(super) async fn serve(Path(name): Path<String>) -> Result<Response, Fault> {
    let names = names();
    let asset = [(&names.css, CSS), (&names.script, SCRIPT), (&names.htmx, HTMX)];
    let Some((_, asset)) = asset.into_iter().find(|(known, _)| **known == name) else {
        return Err(Problem::not_found("this file is of another version of Leveret: load the page again").into());
    };
    let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
    let kind = HeaderValue::from_static(asset.kind);
    Ok(([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, forever)], asset.bytes).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `dist/htmx.min.js` in the package htmx.org 2.0.11 of npm.
    const HTMX_SHA256: &str = "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717";
    /// The most bytes of the script that is written here.
    const SCRIPT_MAX: usize = 30_000;

    #[test]
    fn htmx_is_the_one_that_was_published_and_its_licence_is_beside_it() {
        assert_eq!(hex::encode(Sha256::digest(HTMX.bytes)), HTMX_SHA256);
        assert!(String::from_utf8_lossy(HTMX.bytes).contains("2.0.11"), "another version");
        assert!(include_str!("assets/htmx.LICENSE").starts_with("Zero-Clause BSD"));
    }

    #[test]
    fn the_own_script_is_small_and_evaluates_nothing() {
        assert!(SCRIPT.bytes.len() < SCRIPT_MAX, "{}", SCRIPT.bytes.len());
        let script = String::from_utf8_lossy(SCRIPT.bytes);
        for word in ["eval(", "innerHTML", "insertAdjacentHTML", "document.write", "new Function"] {
            assert!(!script.contains(word), "{word}");
        }
    }

    #[test]
    fn a_name_changes_with_the_content() {
        let other = Asset { name: ["leveret", "css"], kind: "", bytes: b"" };
        assert_ne!(other.hashed(), CSS.hashed());
        assert!(CSS.hashed().starts_with("leveret-") && CSS.hashed().ends_with(".css"));
    }
}

//! docs/problems.md and the pages below `/problems`, written from the table. A test compares the document; `UPDATE_EXPECT=1` writes it.

use std::fmt::Write;

use super::kind::{Kind, Line};

const HEAD: &str = "\
# Problems

Every error of the HTTP API is `application/problem+json` (RFC 9457): `type`, `title`, `status`, `detail`, the address of its page here as `help`, `errors` where
a body is refused, and `trace_id` if the request had a `traceparent`. Programs compare `type`: the names below do not change. They are names and not addresses,
because every installation has its own address; `help` leads to the page that the process itself serves, as in `/problems/refused`.

`errors` lists the places: `pointer` (a JSON pointer into the body) and `detail`; of documents also `severity`, `path`, `line`, `column` and `hint`, of schedules `hint`.
A 503 and a 429 carry `Retry-After`.

This page is written from the table by which the program answers ([src/http/problem/kind.rs](../src/http/problem/kind.rs)); `UPDATE_EXPECT=1 cargo test --test documents`
writes it.

| `type` | Status | Means | What to do |
|---|---|---|---|
";

/// The whole document.
pub fn page() -> String {
    let mut page = String::from(HEAD);
    for kind in Kind::ALL {
        let Line { urn, status, means, remedy, .. } = kind.line();
        // Writing to a text cannot fail.
        let _ = writeln!(page, "| <a id=\"{}\"></a>`{urn}` | {status} | {means} | {remedy} |", kind.name());
    }
    page
}

/// The page of one kind, as the process serves it.
pub(in crate::http) fn told(kind: Kind) -> String {
    let Line { urn, status, title, means, remedy } = kind.line();
    format!("{title}\n\ntype:    {urn}\nstatus:  {status}\nmeans:   {means}\nto do:   {remedy}\n")
}

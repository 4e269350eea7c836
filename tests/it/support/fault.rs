//! A row of the table of faults: what was done, how often, to how many instances, what held afterwards, and how long it took until
//! they moved again. A row whose fault did not fire fails its test: a fault that was not injected proves nothing.
//!
//! `make faults` runs every test that has a row, several times, with `FAULTS_REPORT` naming a file; each run appends a line to it, and
//! scripts/faults/run.py makes docs/reliability.md of them. It finds the rows by `Fault::new` in the sources, so that each is written
//! out in its test, with its texts.

use std::fs::OpenOptions;
use std::io::Write;
use std::time::{Duration, Instant};

use leveret::config::variable;
use serde_json::json;

/// A fault of one test, from before it fires until everything is checked.
pub(crate) struct Fault {
    name: &'static str,
    catalogue: &'static str,
    invariants: &'static str,
    fired: usize,
    under_way: i64,
    since: Option<Instant>,
    took: Vec<Duration>,
    is_written: bool,
}

impl Fault {
    /// What is done; its numbers in the catalogue of faults; and the invariants that the test checks after it, by their numbers.
    pub(crate) fn new(name: &'static str, catalogue: &'static str, invariants: &'static str) -> Self {
        Self { name, catalogue, invariants, fired: 0, under_way: 0, since: None, took: Vec::new(), is_written: false }
    }

    /// It has happened, while this number of instances had not ended. The time until they move again begins.
    pub(crate) fn fired(&mut self, under_way: i64) {
        self.fired += 1;
        self.under_way += under_way;
        self.since = Some(Instant::now());
    }

    /// The same for a fault that happened several times; nothing is said of the time.
    pub(crate) fn fired_times(&mut self, times: usize, under_way: i64) {
        self.fired += times;
        self.under_way += under_way;
    }

    /// What it had stopped has moved again.
    pub(crate) fn recovered(&mut self) {
        let since = self.since.take().expect("the fault has fired before");
        self.took.push(since.elapsed());
    }

    /// The same, where the test has measured the time.
    pub(crate) fn recovered_in(&mut self, took: Duration) {
        self.took.push(took);
    }

    /// Everything was checked.
    pub(crate) fn held(mut self) {
        assert!(self.fired > 0, "`{}` did not fire: nothing was proven", self.name);
        self.is_written = true;
        let Some(report) = variable("FAULTS_REPORT") else { return };
        let took: Vec<u128> = self.took.iter().map(Duration::as_millis).collect();
        let row = json!({
            "fault": self.name, "catalogue": self.catalogue, "invariants": self.invariants,
            "fired": self.fired, "under_way": self.under_way, "took_ms": took,
        });
        let mut file = OpenOptions::new().create(true).append(true).open(report).unwrap();
        // In one write, because tests run side by side.
        file.write_all(format!("{row}\n").as_bytes()).unwrap();
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        assert!(self.is_written || std::thread::panicking(), "the row `{}` does not say that it held", self.name);
    }
}

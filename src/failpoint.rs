//! Fail points: places where a test can kill the process. They do nothing without the feature `failpoints`.

/// Arms the fail points that the environment names in `FAILPOINTS`; does nothing without the feature `failpoints`.
pub fn arm() {
    // Kept for the life of the process: dropping it would disarm them.
    #[cfg(feature = "failpoints")]
    std::mem::forget(fail::FailScenario::setup());
}

/// A place where a test can kill the process; does nothing without the feature `failpoints`.
#[cfg(feature = "failpoints")]
pub fn reach(name: &'static str) {
    fail::fail_point!(name, |_| kill(name));
}

/// A place where a test can kill the process; does nothing without the feature `failpoints`.
#[cfg(not(feature = "failpoints"))]
pub fn reach(_name: &'static str) {}

/// A place where a test can kill the process over one thing: the name is the place, a blank, and what it is about. Does nothing without
/// the feature `failpoints`.
#[cfg(feature = "failpoints")]
pub fn reach_at(place: &str, what: &str) {
    let name = format!("{place} {what}");
    fail::fail_point!(&name, |_| kill(&name));
}

/// A place where a test can kill the process over one thing; does nothing without the feature `failpoints`.
#[cfg(not(feature = "failpoints"))]
pub fn reach_at(_place: &str, _what: &str) {}

#[cfg(feature = "failpoints")]
fn kill(name: &str) {
    // The test waits for this line: a fail point that was not reached proves nothing.
    tracing::error!(point = name, "killed at a fail point");
    // No destructor, no flush: the same as a power cut.
    if nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL).is_ok() {
        std::thread::sleep(std::time::Duration::from_secs(60));
    }
}

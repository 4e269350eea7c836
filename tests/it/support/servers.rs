//! The servers that all tests share, and servers of a test's own that it may hurt.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use leveret::config::Config;
use leveret::sandbox::{Profile, Sandbox};

/// The servers of this run: those of `DATABASE_URL` and `AMQP_URL`, else private ones under `.leveret/test`, started by whichever
/// test process comes first and left running for the next run (`make clean` stops them). Those of the root that `SERVERS_ROOT` names are
/// under `.leveret/test-<suite>`.
pub(crate) fn shared() -> &'static Sandbox {
    static SHARED: OnceLock<Sandbox> = OnceLock::new();
    SHARED.get_or_init(|| {
        let mut directory = Profile::Test.directory(Path::new(env!("CARGO_MANIFEST_DIR")));
        if let Some(root) = Config::servers_root() {
            let suite = root.file_name().unwrap().to_string_lossy().into_owned();
            directory.set_file_name(format!("{}-{suite}", Profile::Test.name()));
        }
        Sandbox::start_missing(&directory, Profile::Test, &Config::urls_from_environment()).unwrap()
    })
}

/// Servers that only one test uses, stopped and deleted at its end. A start costs seconds: for tests of faults alone.
pub(crate) struct Private {
    sandbox: Sandbox,
    directory: PathBuf,
}

impl Private {
    /// Starts them.
    pub(crate) fn start() -> Self {
        Self::start_in(&std::env::temp_dir())
    }

    /// Starts them somewhere below a directory.
    pub(crate) fn start_in(parent: &Path) -> Self {
        let directory = parent.join(format!("leveret-test-{:016x}", fastrand::u64(..)));
        let sandbox = match Sandbox::start(&directory, Profile::Test) {
            Ok(sandbox) => sandbox,
            Err(error) => {
                let _ = Sandbox::remove(&directory);
                panic!("{error:#}");
            }
        };
        Self { sandbox, directory }
    }
}

impl Deref for Private {
    type Target = Sandbox;
    fn deref(&self) -> &Sandbox {
        &self.sandbox
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        if let Err(error) = Sandbox::remove(&self.directory) {
            eprintln!("servers are left behind in {}: {error:#}", self.directory.display());
        }
    }
}

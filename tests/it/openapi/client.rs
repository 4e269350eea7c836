//! A client in Python, generated from the document.

use std::path::Path;
use std::time::Duration;

use tokio::process::Command;

use super::{run, tools};
use crate::support::InProcess;

const APPROVAL: &str = "
name: approval
variables: { decision: null }
output: { decision: '${ decision }' }
activities:
  - id: approve
    task: { title: 'Approve ${ instance.key }', candidates: { groups: [managers] }, decisions: [accept, refuse] }
    output: { decision: result.decision }
    next: exit
";
/// JSON is YAML, which the generator does not know.
const CONFIG: &str = "
project_name_override: leveret-client
package_name_override: leveret_client
content_type_overrides: { application/yaml: application/json, image/svg+xml: text/plain }
";
/// The generator formats what it writes.
const GENERATED_WITHIN: Duration = Duration::from_secs(120);
const JOURNEY_WITHIN: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_generated_python_client_starts_watches_and_completes() {
    let bin = tools().await;
    let leveret = InProcess::new().await;
    leveret.apply(APPROVAL).await;
    let folder = std::env::temp_dir().join(format!("leveret-client-{:016x}", fastrand::u64(..)));
    std::fs::create_dir(&folder).unwrap();
    let base = leveret.url("/livez").trim_end_matches("/livez").to_owned();
    let (document, config) = (folder.join("openapi.json"), folder.join("config.yaml"));
    std::fs::write(&document, leveret.text("/openapi.json").await).unwrap();
    std::fs::write(&config, CONFIG).unwrap();
    let mut generate = Command::new(bin.join("openapi-python-client"));
    generate.arg("generate").arg("--path").arg(&document).arg("--config").arg(&config).args(["--meta", "none"]);
    // It formats with the `ruff` of the same environment.
    let path = format!("{}:{}", bin.display(), leveret::config::variable("PATH").unwrap_or_default());
    let said = run(generate.current_dir(&folder).env("PATH", path), GENERATED_WITHIN).await;
    assert!(!said.to_lowercase().contains("warning"), "it does not understand the whole document:\n{said}");
    let journey = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/python-client/journey.py");
    let mut python = Command::new(bin.join("python"));
    python.arg(journey).arg(&base).env("PYTHONPATH", &folder).env("PYTHONDONTWRITEBYTECODE", "1");
    let said = run(&mut python, JOURNEY_WITHIN).await;
    assert!(said.contains("the journey is complete"), "{said}");
    std::fs::remove_dir_all(&folder).unwrap();
    leveret.stop().await;
}

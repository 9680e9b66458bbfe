//! Where the parts of the world are: what `cargo xtask` exports, or else the note it left behind.

use std::ffi::OsString;
use std::path::PathBuf;

/// The folder with etcd, kube-apiserver and kube-controller-manager.
pub fn control_plane() -> Result<PathBuf, String> {
    lookup("HOLDFAST_TEST_ASSETS")
}

/// The Prometheus binary.
pub fn prometheus() -> Result<PathBuf, String> {
    lookup("HOLDFAST_TEST_PROMETHEUS")
}

/// How often the story of random crashes goes round: `default`, unless `cargo xtask torture` says more.
pub fn torture_rounds(default: u32) -> u32 {
    variable("HOLDFAST_TORTURE_ROUNDS")
        .and_then(|value| value.to_str()?.parse().ok())
        .unwrap_or(default)
}

/// The folder of this test run. What earlier runs left is removed by the first who asks.
pub fn run_folder() -> PathBuf {
    static FOLDER: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let base = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
            remove_finished_runs(&base);
            let folder = base.join(format!("world-{}", std::process::id()));
            std::fs::create_dir_all(&folder).expect("the folder of target/tmp is writable");
            folder
        })
        .clone()
}

fn remove_finished_runs(base: &std::path::Path) {
    let Ok(entries) = std::fs::read_dir(base) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let finished = name
            .strip_prefix("world-")
            .is_some_and(|process| !PathBuf::from("/proc").join(process).exists());
        if finished && let Err(error) = std::fs::remove_dir_all(entry.path()) {
            eprintln!("could not remove {}: {error}", entry.path().display());
        }
    }
}

fn lookup(name: &str) -> Result<PathBuf, String> {
    let path = variable(name)
        .map(PathBuf::from)
        .or_else(|| noted(name))
        .ok_or_else(|| {
            format!("no test world: run `cargo xtask setup` (or `test`), or set {name}")
        })?;
    if path.exists() {
        Ok(path)
    } else {
        Err(format!(
            "{name} is {}, which is not there: run `cargo xtask setup`",
            path.display()
        ))
    }
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn noted(name: &str) -> Option<PathBuf> {
    // Cargo gives target/tmp; the note lies in the target folder of the checkout.
    let note = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/test-world.env");
    let text = std::fs::read_to_string(note).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        .map(PathBuf::from)
}

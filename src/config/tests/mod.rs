//! Stories of the configuration: what good files mean, what broken ones are told.

mod broken;
mod good;
mod reload;
mod shipped;

use super::*;

/// The report on a single file.
fn report(text: &str) -> String {
    match load_text("t.yaml", text) {
        Ok(config) => report::human(&[], &config.lints),
        Err(report) => report.to_string(),
    }
}

/// A configuration that must be valid.
fn valid(text: &str) -> Config {
    load_text("t.yaml", text).unwrap_or_else(|report| panic!("{report}"))
}

/// The report on a directory with these files.
fn directory(files: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    match load(folder.path()) {
        Ok(config) => report::human(&[], &config.lints),
        Err(report) => report.to_string(),
    }
}

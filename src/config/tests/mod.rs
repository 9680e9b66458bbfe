//! Stories of the configuration: what good files mean, what broken ones are told.

mod shipped;

use super::*;

/// The report of a single broken file.
fn report(text: &str) -> String {
    match load_text("t.yaml", text) {
        Ok(config) => format!("VALID\n{}", report::human(&[], &config.lints)),
        Err(report) => report.to_string(),
    }
}

/// A configuration that must be valid.
fn valid(text: &str) -> Config {
    load_text("t.yaml", text).unwrap_or_else(|report| panic!("{report}"))
}

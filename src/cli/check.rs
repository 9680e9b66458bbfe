//! `holdfast check`: all faults and lints of a configuration.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use crate::config::{self, finding::Finding, report};

/// Lints were found, and `--lint-fatal` was given.
const LINTS: u8 = 3;

/// Check a configuration: every fault and lint, with its place
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A directory, a file, or `-` for standard input
    #[arg(default_value = "/etc/holdfast")]
    pub path: PathBuf,
    /// How to print what is found
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
    /// Exit with 3 if there are lints
    #[arg(long)]
    pub lint_fatal: bool,
}

/// How to print what is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Like a compiler.
    Human,
    /// One object.
    Json,
    /// Annotations of a GitHub workflow.
    Github,
}

/// Runs the command.
///
/// # Errors
/// If standard input cannot be read or standard output cannot be written.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args {
        path,
        format,
        lint_fatal,
    } = args;
    let result = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("failed to read standard input")?;
        config::load_text("<stdin>", &text)
    } else {
        config::load(&path)
    };
    let (hash, faults, lints) = match result {
        Ok(config) => (config.hash, Vec::new(), config.lints),
        Err(report) => (report.hash, report.faults, report.lints),
    };
    let text = rendered(format, &path, &hash, &faults, &lints);
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("failed to write the report")?;
    Ok(if !faults.is_empty() {
        ExitCode::FAILURE
    } else if lint_fatal && !lints.is_empty() {
        ExitCode::from(LINTS)
    } else {
        ExitCode::SUCCESS
    })
}

fn rendered(
    format: Format,
    path: &Path,
    hash: &str,
    faults: &[Finding],
    lints: &[Finding],
) -> String {
    match format {
        Format::Human => report::human(faults, lints),
        Format::Json => format!("{:#}\n", report::json(hash, faults, lints)),
        Format::Github => report::github(path, faults, lints),
    }
}

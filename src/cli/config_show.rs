//! `holdfast config show`: the configuration with defaults and inheritance spelled out.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::config::{self, show};

/// Show the configuration with defaults and inheritance spelled out, secrets by reference
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A directory or a file
    #[arg(long, default_value = "/etc/holdfast")]
    pub config: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// If the configuration is not valid (the report is on standard error then) or standard output cannot be
/// written.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { config } = args;
    match config::load(&config) {
        Ok(config) => {
            std::io::stdout()
                .write_all(show::yaml(&config.spec, &config.settings).as_bytes())
                .context("failed to write the configuration")?;
            Ok(ExitCode::SUCCESS)
        }
        Err(report) => {
            std::io::stderr()
                .write_all(report.to_string().as_bytes())
                .context("failed to write the report")?;
            Ok(ExitCode::FAILURE)
        }
    }
}

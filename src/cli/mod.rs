//! One file a command. Commands only build, ask and run: whatever they know, a room behind them knows.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::telemetry::log::{self, Form};

pub mod alerts;
pub mod ask;
pub mod check;
pub mod config_show;
pub mod decisions;
#[cfg(feature = "demo")]
pub mod demo;
pub mod explain;
pub mod probe;
pub mod rollback;
pub mod rollouts;
pub mod run;
pub mod status;
pub mod table;

#[cfg(test)]
mod tests;

/// Continuous health monitoring and automatic rollback for multi-tenant Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "holdfast", version, about, long_about = None)]
struct Cli {
    /// Form of the log on standard error.
    #[arg(long, global = true, value_enum, default_value = "text")]
    log: Form,
    /// How much is logged: error, warn, info, debug, trace, or directives like `warn,holdfast=debug`
    /// [default: info for the daemon, error for the others].
    #[arg(long, global = true)]
    log_level: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The daemon.
    Run(run::Args),
    /// All faults and lints of a configuration.
    Check(check::Args),
    /// Questions about the configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Runs one probe now, and explains it phase by phase.
    Probe(probe::Args),
    /// How the daemon and its tenants stand.
    Status(status::Args),
    /// Alerts.
    Alerts(alerts::Args),
    /// Rollouts.
    Rollouts(rollouts::Args),
    /// Decisions: rolled back, or held and why.
    Decisions(decisions::Args),
    /// The whole story of a decision.
    Explain(explain::Args),
    /// Rolls a workload back, or says what would be done.
    Rollback(rollback::Args),
    /// The whole story, against a simulated cluster, with the real daemon.
    #[cfg(feature = "demo")]
    Demo(demo::Args),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// The configuration with defaults and inheritance spelled out, secrets hidden.
    Show(config_show::Args),
}

/// Runs the command line.
#[must_use]
pub fn main() -> ExitCode {
    // One provider for everything: without this, a dependency that brings another would make rustls
    // refuse to choose.
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        eprintln!("holdfast: another TLS provider was installed first");
        return ExitCode::FAILURE;
    }
    let cli = Cli::parse();
    let level = cli
        .log_level
        .as_deref()
        .unwrap_or_else(|| cli.command.level());
    if let Err(error) = log::start(cli.log, level) {
        eprintln!("holdfast: {error:#}");
        return ExitCode::FAILURE;
    }
    let answer = match cli.command {
        Command::Check(args) => check::run(args),
        Command::Config {
            command: ConfigCommand::Show(args),
        } => config_show::run(args),
        Command::Probe(args) => probe::run(args),
        Command::Run(args) => block_on(run::run(args)),
        Command::Status(args) => block_on(status::run(args)),
        Command::Alerts(args) => block_on(alerts::run(args)),
        Command::Rollouts(args) => block_on(rollouts::run(args)),
        Command::Decisions(args) => block_on(decisions::run(args)),
        Command::Explain(args) => block_on(explain::run(args)),
        Command::Rollback(args) => block_on(rollback::run(args)),
        #[cfg(feature = "demo")]
        Command::Demo(args) => block_on(demo::run(args)),
    };
    answer.unwrap_or_else(|error| {
        eprintln!("holdfast: {error:#}");
        ExitCode::FAILURE
    })
}

/// The client of the cluster logs each failed call by itself; the loops that called say it better.
const QUIET: &str = "error,kube_client=off";

impl Command {
    /// Commands that answer one question keep their log to what went wrong.
    fn level(&self) -> &'static str {
        match self {
            Self::Run(_) => "info,kube_client=off,tokio_cron_scheduler=warn",
            #[cfg(feature = "demo")]
            Self::Demo(_) => QUIET,
            Self::Check(_)
            | Self::Config { .. }
            | Self::Probe(_)
            | Self::Status(_)
            | Self::Alerts(_)
            | Self::Rollouts(_)
            | Self::Decisions(_)
            | Self::Explain(_)
            | Self::Rollback(_) => QUIET,
        }
    }
}

fn block_on(answer: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(answer)
}

//! One file a command. Commands only build, ask and run: whatever they know, a room behind them knows.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub mod run;

/// Continuous health monitoring and automatic rollback for multi-tenant Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "holdfast", version, about, long_about = None)]
struct Cli {
    /// Form of the log on standard error.
    #[arg(long, global = true, value_enum, default_value = "text")]
    log: crate::telemetry::log::Form,
    /// How much is logged: error, warn, info, debug, trace, or filters like `holdfast=debug`.
    #[arg(long, global = true, default_value = "info")]
    log_level: String,
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
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        eprintln!("holdfast: another TLS provider was installed first");
        return ExitCode::FAILURE;
    }
    let cli = Cli::parse();
    if let Err(error) = crate::telemetry::log::start(cli.log, &cli.log_level) {
        eprintln!("holdfast: {error:#}");
        return ExitCode::FAILURE;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let answer = match runtime {
        Ok(runtime) => runtime.block_on(command(cli.command)),
        Err(error) => Err(error.into()),
    };
    answer.unwrap_or_else(|error| {
        eprintln!("holdfast: {error:#}");
        ExitCode::FAILURE
    })
}

async fn command(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(args) => run::run(args).await,
        Command::Check(args) => check::run(args),
        Command::Config { command: ConfigCommand::Show(args) } => config_show::run(args),
        Command::Probe(args) => probe::run(args).await,
        Command::Status(args) => status::run(args).await,
        Command::Alerts(args) => alerts::run(args).await,
        Command::Rollouts(args) => rollouts::run(args).await,
        Command::Decisions(args) => decisions::run(args).await,
        Command::Explain(args) => explain::run(args).await,
        Command::Rollback(args) => rollback::run(args).await,
        #[cfg(feature = "demo")]
        Command::Demo(args) => demo::run(args).await,
    }
}

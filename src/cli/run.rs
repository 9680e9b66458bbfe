//! `holdfast run`: the daemon.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info};

use crate::cluster::lease::LeaseTimes;
use crate::daemon::lifecycle::{self, Options, StartError};
use crate::daemon::tasks::End;

/// The daemon.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory of threshold files, or a single file.
    #[arg(long, env = "HOLDFAST_CONFIG", default_value = "/etc/holdfast")]
    config: PathBuf,
    /// How long the lease lasts: a leader that died is followed by another after it.
    #[arg(
        long,
        env = "HOLDFAST_LEASE_SECONDS",
        default_value_t = 15,
        hide = true
    )]
    lease_seconds: u64,
    /// The nameserver that is asked whether Holdfast's own network works, if it is not the first of
    /// `/etc/resolv.conf`.
    #[arg(long, env = "HOLDFAST_NAMESERVER", hide = true)]
    nameserver: Option<std::net::SocketAddr>,
}

/// Runs until SIGTERM or SIGINT: 0 after a clean stop, 1 on a start fault, 2 if a task died.
///
/// # Errors
/// If it cannot start for another reason than its configuration.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let lease = LeaseTimes::lasting(Duration::from_secs(args.lease_seconds.max(1)));
    let options = Options {
        config: args.config,
        lease,
        nameserver: args.nameserver,
        hook: None,
    };
    let running = match lifecycle::start(options).await {
        Ok(running) => running,
        Err(StartError::Config(report)) => {
            eprintln!("{report}");
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => return Err(error.into()),
    };
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be listened to")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be listened to")?;
    let stop = running.stop().clone();
    tokio::select! {
        () = stop.cancelled() => {}
        _ = terminate.recv() => info!("SIGTERM"),
        _ = interrupt.recv() => info!("SIGINT"),
    }
    stop.cancel();
    Ok(match running.ended().await {
        End::Clean => ExitCode::SUCCESS,
        End::Died(task) => {
            error!(task, "ended because {task} died");
            ExitCode::from(2)
        }
        End::Late => {
            error!("some tasks did not end in time");
            ExitCode::from(2)
        }
    })
}

//! `holdfast demo`: the whole story, on this machine alone.
//!
//! A simulated cluster with working controllers, a shop whose second version fails a fifth of its
//! requests, and the *real* daemon with SQLite in a temporary directory. Nothing of Holdfast is replaced:
//! it talks to the cluster as it would to any other.

mod hear;
mod stage;
mod story;

use std::process::ExitCode;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use self::stage::Stage;

/// The whole story.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// End with the story; fail if it did not come true.
    #[arg(long)]
    once: bool,
    /// Where the page is served.
    #[arg(long, default_value = "127.0.0.1:9811")]
    listen: std::net::SocketAddr,
}

/// Tells the story, and goes on until Ctrl-C unless `--once`.
///
/// # Errors
/// If the cluster or the daemon cannot be started.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let stage = Stage::set(args.listen)
        .await
        .context("failed to set the stage")?;
    let told = tokio::select! {
        told = story::tell(&stage) => told,
        () = interrupted() => {
            stage.strike().await;
            return Ok(ExitCode::FAILURE);
        }
    };
    match &told {
        Ok(()) => story::say("the story came true"),
        Err(error) => story::say(&format!("the story did not come true: {error:#}")),
    }
    if !args.once {
        story::say(&format!("the page stays at {} until Ctrl-C", stage.page()));
        interrupted().await;
    }
    stage.strike().await;
    Ok(if told.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn interrupted() {
    let terminate = signal(SignalKind::terminate());
    match terminate {
        Ok(mut terminate) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}

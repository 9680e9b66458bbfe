//! Taking a changed configuration into force: by a changed file, SIGHUP, or `POST /-/reload`.
//!
//! An invalid one changes nothing that runs: it is reported in the log, in a metric, on the page and to
//! whoever asked.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::driver::Port;
use crate::clock::Clock;
use crate::config::settings::Settings;
use crate::config::{self, Config};
use crate::domain::event::JudgeEvent;
use crate::domain::judge::Judge;
use crate::domain::spec::Spec;
use crate::http::desk::ConfigStanding;
use crate::telemetry::metrics::Metrics;

/// Somebody asks for a reload and waits for the faults.
pub type Ask = oneshot::Sender<Result<(), Vec<String>>>;
/// Reloads that wait: people and scripts, a handful.
pub const QUEUE: usize = 8;

/// The loop.
pub struct Reloader {
    /// Where the files are.
    pub path: PathBuf,
    /// Digest of the files that were read at the start.
    pub hash: String,
    /// What the process was started with; these settings need a restart to change.
    pub settings: Settings,
    /// The configuration in force.
    pub spec: watch::Sender<Arc<Spec>>,
    /// How it stands, for those who ask.
    pub standing: Arc<Mutex<ConfigStanding>>,
    /// The judge is told first.
    pub judge: Port<Judge>,
    /// The time of reloads.
    pub clock: Clock,
    /// Where reloads are counted.
    pub metrics: Arc<Metrics>,
}

/// The standing of a configuration that was just taken.
#[must_use]
pub fn standing(config: &Config, clock: &Clock) -> ConfigStanding {
    let now = clock.now();
    ConfigStanding {
        hash: config.hash.clone(),
        since: now,
        tried: now,
        successful: true,
        faults: Vec::new(),
        lints: config.lints.iter().map(ToString::to_string).collect(),
    }
}

// === impl Reloader ===

impl Reloader {
    /// Runs until it is stopped.
    pub async fn run(self, mut asks: mpsc::Receiver<Ask>, stop: CancellationToken) {
        let mut files = config::watch::Watch::new(&self.path, &self.hash);
        let mut hangup = hangup();
        loop {
            // Biased: a stop wins over work.
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                ask = asks.recv() => match ask {
                    Some(ask) => {
                        let answer = self.reload().await;
                        // Who asked may have gone; the reload stands.
                        drop(ask.send(answer));
                    }
                    None => return stop.cancelled().await,
                },
                () = hung_up(&mut hangup) => {
                    info!("SIGHUP: reading the configuration again");
                    drop(self.reload().await);
                }
                () = files.changed() => {
                    info!("the configuration files have changed");
                    drop(self.reload().await);
                }
            }
        }
    }

    async fn reload(&self) -> Result<(), Vec<String>> {
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || config::load(&path)).await;
        let now = self.clock.now();
        match read {
            Ok(Ok(config)) => {
                self.take(config).await;
                Ok(())
            }
            Ok(Err(report)) => {
                let faults: Vec<String> = report.faults.iter().map(ToString::to_string).collect();
                error!(
                    faults = faults.len(),
                    "the changed configuration has {} faults; the one in force stays in force:\n{}",
                    faults.len(),
                    faults.join("\n"),
                );
                self.failed(now, faults.clone());
                Err(faults)
            }
            Err(error) => {
                error!(%error, "the configuration could not be read");
                let faults = vec![error.to_string()];
                self.failed(now, faults.clone());
                Err(faults)
            }
        }
    }

    fn failed(&self, now: crate::domain::time::Timestamp, faults: Vec<String>) {
        self.metrics.config_last_reload_successful.set(0);
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.tried = now;
        standing.successful = false;
        standing.faults = faults;
    }

    async fn take(&self, config: Config) {
        for lint in &config.lints {
            warn!("{lint}");
        }
        if config.settings != self.settings {
            warn!("changed settings under `daemon` take effect at the next start");
        }
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner) =
            standing(&config, &self.clock);
        self.metrics.config_last_reload_successful.set(1);
        self.metrics
            .config_last_reload_success_timestamp
            .set(self.clock.now().as_seconds());
        if *self.spec.borrow() == config.spec {
            info!("the configuration says the same as before");
            return;
        }
        self.judge.send(JudgeEvent::Spec(config.spec.clone())).await;
        self.spec.send_replace(config.spec);
        info!(hash = %config.hash, "the changed configuration is in force");
    }
}

fn hangup() -> Option<tokio::signal::unix::Signal> {
    let signal = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup());
    signal
        .inspect_err(|error| warn!(%error, "SIGHUP cannot be listened to"))
        .ok()
}

async fn hung_up(signal: &mut Option<tokio::signal::unix::Signal>) {
    let came = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if came.is_none() {
        std::future::pending::<()>().await;
    }
}

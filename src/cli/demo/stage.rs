//! The stage: a simulated cluster, a shop with customers, somebody who listens, and the daemon.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;

use super::hear::Hearer;
use crate::cluster::lease::LeaseTimes;
use crate::daemon::lifecycle::{self, Options, Running};
use crate::domain::change::Change;
use crate::http::desk::Desk;
use crate::sim::service::ServiceProxy;
use crate::sim::traffic::Traffic;
use crate::sim::{SimCluster, SimOptions};

/// Namespace, and the tenant's name.
pub const TENANT: &str = "acme";
/// The workload.
pub const WORKLOAD: &str = "shop";
/// Requests a second that customers make.
const CUSTOMERS: u32 = 40;

/// Everything that the story plays on.
pub struct Stage {
    /// The cluster.
    pub cluster: SimCluster,
    /// Who is told.
    pub hearer: Hearer,
    /// What was committed so far, but for samples.
    pub changes: Arc<Mutex<Vec<Change>>>,
    running: Running,
    folder: PathBuf,
    _proxy: ServiceProxy,
    _traffic: Traffic,
}

// === impl Stage ===

impl Stage {
    /// Sets it up: cluster, shop at version 1, customers, receiver, daemon.
    ///
    /// # Errors
    /// If one of them cannot be started.
    pub async fn set(listen: SocketAddr) -> anyhow::Result<Self> {
        let clock = crate::clock::Clock::system();
        let now = clock.clone();
        let now = Arc::new(move || {
            jiff::Timestamp::from_microsecond(now.now().as_micros()).unwrap_or_default()
        });
        let cluster = SimCluster::start(now, SimOptions::default()).await?;
        cluster
            .apply_deployment(TENANT, WORKLOAD, "shop:v1", 3)
            .await?;
        cluster
            .rolled_out(TENANT, WORKLOAD, Duration::from_secs(20))
            .await?;
        let proxy = cluster.proxy(TENANT, WORKLOAD).await?;
        let traffic = Traffic::start(proxy.url(), CUSTOMERS)?;
        let hearer = Hearer::start().await?;
        let folder = folder(clock.now().as_micros())?;
        let lease = LeaseTimes::lasting(Duration::from_secs(15));
        let listen = free_or(listen);
        write(
            &folder,
            listen,
            &cluster.kubeconfig(),
            &proxy.url(),
            hearer.url(),
        )?;
        let changes: Arc<Mutex<Vec<Change>>> = Arc::default();
        let heard = changes.clone();
        let hook = Arc::new(move |committed: &[Change]| {
            let mut list = heard.lock().unwrap_or_else(PoisonError::into_inner);
            list.extend(
                committed
                    .iter()
                    .filter(|c| !matches!(c, Change::Keep(_)))
                    .cloned(),
            );
        });
        let options = Options {
            config: folder.join("config"),
            lease,
            nameserver: None,
            hook: Some(hook),
        };
        let running = lifecycle::start(options).await?;
        Ok(Self {
            cluster,
            hearer,
            changes,
            running,
            folder,
            _proxy: proxy,
            _traffic: traffic,
        })
    }

    /// The page's address.
    #[must_use]
    pub fn page(&self) -> String {
        format!("http://{}/", self.running.address)
    }

    /// The daemon, to ask.
    #[must_use]
    pub fn desk(&self) -> &Arc<dyn Desk> {
        &self.running.desk
    }

    /// What was committed so far.
    #[must_use]
    pub fn committed(&self) -> Vec<Change> {
        self.changes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Stops the daemon and takes everything away.
    pub async fn strike(self) {
        self.running.stop().cancel();
        let end = self.running.ended().await;
        tracing::debug!(?end, "the demo's daemon has stopped");
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            tracing::warn!(%error, "the demo's folder could not be removed");
        }
    }
}

/// The address that was asked for, or a free one if it is taken.
fn free_or(listen: SocketAddr) -> SocketAddr {
    match std::net::TcpListener::bind(listen) {
        Ok(_) => listen,
        Err(_) => SocketAddr::new(listen.ip(), 0),
    }
}

fn folder(unique: i64) -> anyhow::Result<PathBuf> {
    let folder =
        std::env::temp_dir().join(format!("holdfast-demo-{}-{unique}", std::process::id()));
    std::fs::create_dir_all(folder.join("config")).context("failed to make a temporary folder")?;
    Ok(folder)
}

fn write(
    folder: &Path,
    listen: SocketAddr,
    kubeconfig: &str,
    shop: &str,
    hearer: &str,
) -> anyhow::Result<()> {
    let kube = folder.join("kubeconfig");
    std::fs::write(&kube, kubeconfig)?;
    let daemon = format!(
        "daemon:
  listen: {listen}
  store: {{ sqlite: {{ path: \"{store}\" }} }}
  kubernetes: {{ access: required, kubeconfig: \"{kube}\" }}
rollback: {{ mode: act }}
receivers:
  ops: {{ webhook: {{ url: \"{hearer}\" }} }}
route: {{ receivers: [ops] }}
",
        store = folder.join("holdfast.db").display(),
        kube = kube.display(),
    );
    std::fs::write(folder.join("config/holdfast.yaml"), daemon)?;
    let tenants = format!(
        "tenants:
  {TENANT}:
    labels: {{ team: payments }}
    probes:
      storefront: {{ http: {{ url: \"{shop}/\" }}, every: 200ms, timeout: 200ms }}
    objectives:
      error-rate:
        probe: storefront
        measure: error_ratio
        over: 15s
        warning: above 5%
        critical: above 10%
        min_samples: 30
        rollback: true
      response-time: {{ probe: storefront, measure: p95, over: 30s, warning: above 150ms }}
    workloads:
      {WORKLOAD}:
        deployment: {WORKLOAD}
        mode: act
        bake: 15s
        attribution: 10m
        cooldown: 1m
"
    );
    std::fs::write(folder.join("config/tenants.yaml"), tenants)?;
    Ok(())
}

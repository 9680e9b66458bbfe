//! Starting everything, and stopping it again.
//!
//! ```text
//! configuration ─► store ─► judge ─► prober        (probing begins at once)
//!                             ▲  ╲
//!               cluster ─► watcher  historian
//!                  ╲
//!                   election ─► leading: teller, steward, dispatcher, remediator
//! server ─► desk      reloader      janitor
//! ```
//!
//! A stop ends the probing first, then the leader's work, then hands over the lease; what was judged is
//! committed before the store is closed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::desk::House;
use super::driver::{Committed, Driver, Port, QUEUE};
use super::hints::Hints;
use super::historian;
use super::janitor::{Calendar, Janitor};
use super::leadership::{self, Election, Leadership};
use super::leading::Leading;
use super::narrator::Narrator;
use super::prober::Prober;
use super::reloader::{self, Reloader};
use super::tasks::{End, Tasks};
use super::watcher::{self, Watcher};

use crate::clock::Clock;
use crate::cluster::Platform;
use crate::cluster::connect::{self, Clients};
use crate::cluster::kubernetes::Kubernetes;
use crate::cluster::lease::LeaseTimes;
use crate::cluster::lease_object::{self, LeaseObject};
use crate::config::{self, Config};
use crate::domain::alert::AlertState;
use crate::domain::change::{Change, Fence, Role};
use crate::domain::event::{Access, JudgeEvent};
use crate::domain::id::TenantId;
use crate::domain::judge::{Judge, Restored};
use crate::domain::rollback::{Stage, Term};
use crate::domain::sample::Blind;
use crate::domain::spec::Spec;
use crate::domain::steward;
use crate::http::desk::Desk;
use crate::http::server::Server;
use crate::probe::means::Means;
use crate::probe::selfcheck::{self, SelfCheck};
use crate::store::{self, Retention, Store, Window};
use crate::telemetry::metrics::Metrics;

/// Kubernetes gives 30 s by default; what is not over by then is cut off (interface: 20 s).
const DRAIN: Duration = Duration::from_secs(20);
/// How often the permissions in the cluster are asked for again.
const PERMISSIONS: Duration = Duration::from_secs(60);
/// Sightings that wait for the judge and the steward.
const SIGHTINGS: usize = 256;

/// What the daemon is started with.
pub struct Options {
    /// The directory (or file) of threshold files.
    pub config: PathBuf,
    /// How long the lease lasts.
    pub lease: LeaseTimes,
    /// Who is asked whether Holdfast's own network works; none: the first nameserver of the system.
    pub nameserver: Option<SocketAddr>,
    /// Somebody who wants to hear of every commit.
    pub hook: Option<Committed>,
}

/// Why it did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration has faults; they are all here.
    #[error("the configuration cannot be used:\n{0}")]
    Config(String),
    /// The store cannot be opened.
    #[error("failed to open the store")]
    Open(#[source] store::sqlite::OpenError),
    /// The store cannot be read.
    #[error("failed to read the store")]
    Read(#[from] store::StoreError),
    /// The cluster cannot be reached.
    #[error("failed to connect to the cluster")]
    Cluster(#[from] connect::ConnectError),
    /// The address cannot be listened on.
    #[error("failed to listen on {address}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A daemon that runs.
pub struct Running {
    /// Where its server listens.
    pub address: SocketAddr,
    /// What its server asks, for those in the same process.
    pub desk: Arc<dyn Desk>,
    tasks: Tasks,
    store: Arc<dyn Store>,
}

// === impl Running ===

impl Running {
    /// Cancelled when the daemon is to stop, or stops because a task died.
    #[must_use]
    pub const fn stop(&self) -> &CancellationToken {
        self.tasks.stop()
    }

    /// Waits until it is asked to stop, then until it has stopped.
    pub async fn ended(self) -> End {
        self.tasks.stop().cancelled().await;
        info!("stopping: committing what is judged, handing over the lease");
        let end = self.tasks.join(DRAIN).await;
        self.store.close().await;
        end
    }
}

/// What all loops share.
#[derive(Clone)]
struct Shared {
    store: Arc<dyn Store>,
    clock: Clock,
    metrics: Arc<Metrics>,
    tasks: Tasks,
    spec: watch::Receiver<Arc<Spec>>,
    hints: Arc<Hints>,
    committed: Committed,
}

/// Starts the daemon.
///
/// # Errors
/// If the configuration has faults, or store, cluster or address cannot be had.
pub async fn start(options: Options) -> Result<Running, StartError> {
    let clock = Clock::system();
    let started = clock.now();
    let config = load(&options.config)?;
    let store = store::open(&config.settings.sqlite)
        .await
        .map_err(StartError::Open)?;
    let clients = connect::connect(&watcher::wanted(&config.settings.kubernetes)).await?;
    let address = config.settings.listen;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen { address, source })?;
    let address = listener.local_addr().unwrap_or(address);

    let mut registry = Registry::default();
    let metrics = Arc::new(Metrics::register(&mut registry));
    metrics.config_last_reload_successful.set(1);
    metrics
        .config_last_reload_success_timestamp
        .set(started.as_seconds());
    let tasks = Tasks::new(CancellationToken::new());
    let (spec_sender, spec) = watch::channel(config.spec.clone());
    let (judge_port, judge_inputs) = Port::new();
    let hints = Arc::new(Hints::new(judge_port.clone()));
    let (fit_sender, fit) = watch::channel(true);
    let committed = committed(&metrics, &hints, fit_sender, options.hook);
    let shared = Shared {
        store,
        clock,
        metrics,
        tasks,
        spec,
        hints,
        committed,
    };

    let (feed_sender, feed) = mpsc::channel(QUEUE);
    judge_port.send(JudgeEvent::Spec(config.spec.clone())).await;
    start_judge(&shared, judge_inputs, feed).await?;
    let looker = start_prober(&shared, clients.as_ref(), options.nameserver, feed_sender);
    let cluster = clients.is_some();
    let leadership = start_cluster(&shared, clients, options.lease, fit);
    let standing = Arc::new(Mutex::new(reloader::standing(&config, &shared.clock)));
    let (reload_sender, reloads) = mpsc::channel(reloader::QUEUE);
    let reloader = Reloader {
        path: options.config,
        hash: config.hash.clone(),
        settings: config.settings.clone(),
        spec: spec_sender,
        standing: standing.clone(),
        judge: judge_port,
        clock: shared.clock.clone(),
        metrics: shared.metrics.clone(),
    };
    let stop = shared.tasks.stop().clone();
    shared.tasks.spawn("reloader", reloader.run(reloads, stop));
    start_janitor(&shared, &config);
    let house = House {
        spec: shared.spec.clone(),
        standing,
        store: shared.store.clone(),
        clock: shared.clock.clone(),
        hints: shared.hints.clone(),
        looker,
        reload: reload_sender,
        tasks: shared.tasks.clone(),
        leadership,
        cluster,
        started,
    };
    let desk: Arc<dyn Desk> = Arc::new(house);
    serve(&shared, listener, desk.clone(), registry);
    info!(%address, "holdfast {} answers on http://{address}", env!("CARGO_PKG_VERSION"));
    let Shared { tasks, store, .. } = shared;
    Ok(Running {
        address,
        desk,
        tasks,
        store,
    })
}

fn load(path: &Path) -> Result<Config, StartError> {
    let config = config::load(path).map_err(|report| {
        StartError::Config(config::report::human(&report.faults, &report.lints))
    })?;
    for lint in &config.lints {
        warn!("{lint}");
    }
    Ok(config)
}

/// What follows from a commit: others are woken, the metrics count, the log narrates.
fn committed(
    metrics: &Arc<Metrics>,
    hints: &Arc<Hints>,
    fit: watch::Sender<bool>,
    hook: Option<Committed>,
) -> Committed {
    let narrator = Narrator::new(metrics.clone());
    let hints = hints.clone();
    Arc::new(move |changes: &[Change]| {
        hints.committed(changes);
        narrator.committed(changes);
        notice_blindness(changes, &fit);
        if let Some(hook) = &hook {
            hook(changes);
        }
    })
}

/// A replica whose own network is gone gives up its lease: it could neither tell nor act.
fn notice_blindness(changes: &[Change], fit: &watch::Sender<bool>) {
    for change in changes {
        let Change::Transition(transition) = change else {
            continue;
        };
        let own = transition.key.tenant == TenantId::own();
        if own && Some(&transition.key.probe) == Blind::Network.name().as_ref() {
            fit.send_replace(transition.to != AlertState::Firing);
        }
    }
}

async fn start_judge(
    shared: &Shared,
    inputs: mpsc::Receiver<super::driver::Input<Judge>>,
    feed: mpsc::Receiver<JudgeEvent>,
) -> Result<(), StartError> {
    let Shared {
        store,
        clock,
        metrics,
        tasks,
        hints,
        committed,
        ..
    } = shared.clone();
    let term = store.claim(Role::Judge, Term(0)).await?;
    let window = Window {
        before: None,
        limit: 500,
    };
    let open = store.rollbacks(true, window).await?;
    let verifying = open
        .iter()
        .filter(|row| matches!(row.stage, Stage::Verifying { .. }));
    let restored = Restored {
        phases: store.phases().await?,
        facts: store.facts().await?,
        petitions: store.petitions().await?,
        trials: verifying.map(steward::request).collect(),
    };
    let (needs_sender, needs) = mpsc::channel(historian::QUEUE);
    let driver = Driver {
        machine: Judge::new(restored),
        store: store.clone(),
        fence: Fence {
            role: Role::Judge,
            term,
        },
        clock,
        metrics,
        post: |post| JudgeEvent::Post(Box::new(post)),
        committed,
        needs: Some(needs_sender),
        feed: Some(feed),
    };
    let (port, stop) = (hints.judge().clone(), tasks.stop().clone());
    let answers = historian::run(store, port.clone(), needs, stop.clone());
    tasks.spawn("historian", answers);
    tasks.spawn("judge", async move {
        driver.run(port, inputs, stop).await;
    });
    Ok(())
}

fn start_prober(
    shared: &Shared,
    clients: Option<&Clients>,
    nameserver: Option<SocketAddr>,
    output: mpsc::Sender<JudgeEvent>,
) -> super::prober::ProberHandle {
    let nameserver = nameserver.or_else(|| selfcheck::nameserver(Path::new("/etc/resolv.conf")));
    let api_server = clients.map(|clients| clients.address.clone());
    Prober {
        tasks: shared.tasks.clone(),
        clock: shared.clock.clone(),
        metrics: shared.metrics.clone(),
        means: Means::system(),
        self_check: SelfCheck::new(api_server, nameserver),
        spec: shared.spec.clone(),
        output,
    }
    .start()
}

/// The watcher, the election, and what the leader alone does.
fn start_cluster(
    shared: &Shared,
    clients: Option<Clients>,
    times: LeaseTimes,
    fit: watch::Receiver<bool>,
) -> watch::Receiver<Leadership> {
    let drained = CancellationToken::new();
    let stop = shared.tasks.stop().clone();
    let (access_sender, access) = watch::channel(if clients.is_some() {
        Access::Open
    } else {
        Access::None
    });
    let (leadership, platform): (_, Option<Arc<dyn Platform>>) = match clients {
        None => {
            info!("no cluster: rollbacks hold");
            (leadership::alone(), None)
        }
        Some(clients) => {
            let host = hostname();
            let identity = leadership::identity(&host, &shared.clock);
            let platform = Arc::new(Kubernetes::new(
                clients.calls.clone(),
                shared.clock.clone(),
                &identity,
            ));
            start_watcher(shared, &clients);
            let (out, leadership) = watch::channel(Leadership::Follows);
            let election = Election {
                lease: LeaseObject::new(clients.calls, &clients.namespace, lease_object::NAME),
                identity,
                times,
                clock: shared.clock.clone(),
                fit,
                drained: drained.clone(),
                metrics: shared.metrics.clone(),
                out,
            };
            shared.tasks.spawn("election", election.run(stop.clone()));
            let asked = ask_permissions(platform.clone(), shared.spec.clone(), access_sender);
            let ends = stop.clone();
            shared.tasks.spawn("permissions", async move {
                tokio::select! {
                    () = ends.cancelled() => {}
                    () = asked => {}
                }
            });
            (leadership, Some(platform))
        }
    };
    let leading = Leading {
        store: shared.store.clone(),
        clock: shared.clock.clone(),
        metrics: shared.metrics.clone(),
        hints: shared.hints.clone(),
        spec: shared.spec.clone(),
        platform,
        access,
        leadership: leadership.clone(),
        margin: times.margin,
        committed: shared.committed.clone(),
        tasks: shared.tasks.clone(),
        drained,
    };
    shared.tasks.spawn("leading", leading.run(stop));
    leadership
}

fn start_watcher(shared: &Shared, clients: &Clients) {
    let (sender, mut sightings) = mpsc::channel(SIGHTINGS);
    Watcher {
        client: clients.watches.clone(),
        spec: shared.spec.clone(),
        listeners: vec![sender],
        clock: shared.clock.clone(),
    }
    .start(&shared.tasks);
    let (hints, stop) = (shared.hints.clone(), shared.tasks.stop().clone());
    shared.tasks.spawn("sightings", async move {
        loop {
            // Biased: a stop wins over news.
            let sighting = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                sighting = sightings.recv() => match sighting {
                    Some(sighting) => sighting,
                    None => return stop.cancelled().await,
                },
            };
            hints.sighting(sighting).await;
        }
    });
}

async fn ask_permissions(
    platform: Arc<Kubernetes>,
    mut spec: watch::Receiver<Arc<Spec>>,
    access: watch::Sender<Access>,
) {
    loop {
        let now = spec.borrow_and_update().clone();
        let namespaces: std::collections::BTreeSet<&str> = now
            .workloads()
            .map(|workload| workload.target.namespace())
            .collect();
        match platform.access(namespaces).await {
            Ok(answer) => {
                access.send_if_modified(|known| {
                    let differs = *known != answer;
                    if differs && answer == Access::Forbidden {
                        warn!(
                            "this process may not change workloads: rollbacks hold (no-permission)"
                        );
                    }
                    *known = answer;
                    differs
                });
            }
            Err(error) => warn!(%error, "the permissions in the cluster cannot be asked for"),
        }
        // A new configuration may name other namespaces; a gone sender means the end is near.
        if let Ok(Err(_)) = tokio::time::timeout(PERMISSIONS, spec.changed()).await {
            return std::future::pending().await;
        }
    }
}

fn start_janitor(shared: &Shared, config: &Config) {
    let retention = Retention {
        samples: config.settings.retain_samples,
        alerts: config.settings.retain_alerts,
    };
    let (_, retention) = watch::channel(retention);
    Janitor {
        store: shared.store.clone(),
        clock: shared.clock.clone(),
        retention,
        calendar: Calendar::default(),
    }
    .start(&shared.tasks);
}

fn serve(shared: &Shared, listener: TcpListener, desk: Arc<dyn Desk>, registry: Registry) {
    let server = Server {
        desk,
        registry: Arc::new(registry),
    };
    let (tasks, stop) = (shared.tasks.clone(), shared.tasks.stop().clone());
    shared.tasks.spawn("server", async move {
        if let Err(error) = server.serve(listener, stop).await {
            tracing::error!(%error, "the server failed");
            tasks.fail("server");
        }
    });
}

/// The pod's name, which Kubernetes gives as the host's.
fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .unwrap_or_else(|_| "holdfast".to_owned())
}

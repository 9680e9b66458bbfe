//! A daemon that is not there: a desk with a whole afternoon on it, for tests of what is answered.
//!
//! Two tenants. `acme` released revision 8 of its API at 14:05, a fifth of its requests failed, and it was
//! rolled back to revision 7, which helped. `globex` broke a promise without a rollout and was held.

mod afternoon;
mod standings;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use prometheus_client::registry::Registry;

pub(crate) use self::afternoon::{delivery, held, look, rollback, rollback_id, rolled_back};
pub(crate) use self::standings::{blamed, broken};
use super::desk::{ConfigStanding, Desk, Health, Run};
use super::server::Server;
use crate::domain::alert::AlertState;
use crate::domain::change::{Batch, Change, Fence, Reply, Role};
use crate::domain::command::{Command, Order};
use crate::domain::fact::Fact;
use crate::domain::id::{BatchId, Digest, ProbeId};
use crate::domain::observation::{Finding, Observation, Stage as Reached};
use crate::domain::rollback::Term;
use crate::domain::spec::Spec;
use crate::domain::standing::{ObjectiveStanding, ProbeStanding, WorkloadStanding};
use crate::domain::target::Target;
use crate::domain::time::{Span, Timestamp};
use crate::store::Store;
use crate::store::memory::Memory;
use crate::telemetry::metrics::Metrics;

/// Seconds after 14:00 on the afternoon.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(1_767_621_600 + seconds)
}

/// The desk; what it says can be changed before it is asked.
pub(crate) struct FakeDesk {
    pub(super) spec: Arc<Spec>,
    pub(super) config: ConfigStanding,
    pub(super) health: Health,
    pub(super) store: Arc<Memory>,
    pub(super) objectives: Vec<ObjectiveStanding>,
    pub(super) probes: Vec<ProbeStanding>,
    pub(super) workloads: Vec<WorkloadStanding>,
    pub(super) facts: Vec<Fact>,
    pub(super) reload: Result<(), Vec<String>>,
    /// What was commanded.
    pub(super) commands: Mutex<Vec<Command>>,
}

#[async_trait]
impl Desk for FakeDesk {
    fn spec(&self) -> Arc<Spec> {
        Arc::clone(&self.spec)
    }
    fn config(&self) -> ConfigStanding {
        self.config.clone()
    }
    fn health(&self) -> Health {
        self.health.clone()
    }
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }
    fn now(&self) -> Timestamp {
        at(900)
    }
    async fn objectives(&self) -> Vec<ObjectiveStanding> {
        self.objectives.clone()
    }
    async fn probes(&self) -> Vec<ProbeStanding> {
        self.probes.clone()
    }
    async fn workloads(&self) -> Vec<WorkloadStanding> {
        self.workloads.clone()
    }
    async fn facts(&self) -> Vec<Fact> {
        self.facts.clone()
    }
    /// Answers like the machines: known alerts are done, `acme/api` is rolled back (or planned),
    /// `globex/web` is held.
    async fn command(&self, command: Command) -> Reply {
        let what = command.what.clone();
        self.commands.lock().unwrap().push(command);
        match what {
            Order::Acknowledge(alert) | Order::Resolve(alert) => {
                match self.store.alert(alert).await {
                    Ok(Some((alert, _))) if alert.state == AlertState::Firing => Reply::Done,
                    Ok(Some(_)) => Reply::Refused("the alert is over".to_owned()),
                    Ok(None) | Err(_) => Reply::NotFound,
                }
            }
            Order::RollBack { to: Some(_), .. } => Reply::NotFound,
            Order::RollBack { dry_run: true, .. } => Reply::Planned(Box::new(rolled_back())),
            Order::RollBack { workload, .. } if workload.tenant.0.as_str() == "acme" => {
                Reply::Decided(rolled_back().id)
            }
            Order::RollBack { .. } => Reply::Decided(held().id),
            Order::Prove { .. } => Reply::Done,
        }
    }
    async fn run_probe(&self, probe: &ProbeId) -> Option<Run> {
        self.spec.probe(probe)?;
        let span = Span::at(at(900));
        let latency = Duration::from_millis(12);
        Some(Run {
            observation: Observation {
                probe: probe.clone(),
                span,
                ended: at(900) + latency,
                reached: Reached::Connect,
                stages: vec![
                    (Reached::Resolve, Duration::from_millis(2)),
                    (Reached::Connect, Duration::from_millis(10)),
                ],
                result: Ok(Finding::Look {
                    latency,
                    value: None,
                }),
                took: latency,
            },
            sample: look(&probe.to_string(), 900, true),
        })
    }
    async fn heartbeat(&self, probe: &ProbeId) -> bool {
        self.spec
            .probe(probe)
            .is_some_and(|probe| matches!(probe.target, Target::Heartbeat(_)))
    }
    async fn reload(&self) -> Result<(), Vec<String>> {
        self.reload.clone()
    }
}

impl FakeDesk {
    /// A server before this desk, with some metrics counted.
    pub(crate) fn server(self) -> (Server, Arc<Self>) {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        metrics.probe_missed_ticks.inc();
        metrics.evaluation_lag.observe(0.001);
        let desk = Arc::new(self);
        let server = Server {
            desk: Arc::clone(&desk) as Arc<dyn Desk>,
            registry: Arc::new(registry),
        };
        (server, desk)
    }
}

/// Nothing configured, nothing remembered.
pub(super) fn empty() -> FakeDesk {
    FakeDesk {
        spec: Arc::new(Spec::default()),
        config: ConfigStanding {
            hash: "3fa94c1e77d0".to_owned(),
            since: at(-86_400),
            tried: at(-86_400),
            successful: true,
            faults: Vec::new(),
            lints: Vec::new(),
        },
        health: Health {
            tasks: BTreeMap::from([("judge", 1), ("prober", 1), ("teller", 1)]),
            died: None,
            leads: Some(Term(7)),
            cluster: true,
            started: at(-86_400),
        },
        store: Arc::new(Memory::new()),
        objectives: Vec::new(),
        probes: Vec::new(),
        workloads: Vec::new(),
        facts: Vec::new(),
        reload: Ok(()),
        commands: Mutex::default(),
    }
}

/// The whole afternoon.
pub(crate) async fn afternoon() -> FakeDesk {
    let mut desk = empty();
    desk.spec = Arc::new(standings::spec());
    desk.objectives = standings::objectives();
    desk.probes = standings::probes();
    desk.workloads = standings::workloads();
    desk.facts = standings::facts();
    commit(&desk.store, afternoon::changes()).await;
    desk
}

/// Puts changes into the store as the machines would.
pub(super) async fn commit(store: &Memory, changes: Vec<Change>) {
    let batch = Batch {
        id: BatchId(Digest::of(&[format!("{changes:?}")])),
        at: at(0),
        changes,
    };
    let fence = Fence {
        role: Role::Judge,
        term: Term(7),
    };
    store.commit(&batch, fence).await.unwrap();
}

//! The daemon as the server sees it: questions to the machines, commands to whom they are for.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot, watch};

use super::hints::Hints;
use super::leadership::Leadership;
use super::prober::ProberHandle;
use super::reloader::Ask;
use super::tasks::Tasks;
use crate::clock::Clock;
use crate::domain::change::Reply;
use crate::domain::command::{Command, Order};
use crate::domain::event::{JudgeEvent, StewardEvent};
use crate::domain::fact::Fact;
use crate::domain::id::ProbeId;
use crate::domain::judge::Judge;
use crate::domain::spec::Spec;
use crate::domain::standing::{ObjectiveStanding, ProbeStanding, WorkloadStanding};
use crate::domain::time::Timestamp;
use crate::http::desk::{ConfigStanding, Desk, Health, Run};
use crate::store::Store;

/// What answers are made of.
pub struct House {
    /// The configuration in force.
    pub spec: watch::Receiver<Arc<Spec>>,
    /// How it stands.
    pub standing: Arc<Mutex<ConfigStanding>>,
    /// The memory.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Clock,
    /// The judge, and the leader's loops.
    pub hints: Arc<Hints>,
    /// The prober.
    pub looker: ProberHandle,
    /// Reloads.
    pub reload: mpsc::Sender<Ask>,
    /// The tasks.
    pub tasks: Tasks,
    /// Whether this process leads.
    pub leadership: watch::Receiver<Leadership>,
    /// Whether there is a cluster.
    pub cluster: bool,
    /// When the process started.
    pub started: Timestamp,
}

#[async_trait]
impl Desk for House {
    fn spec(&self) -> Arc<Spec> {
        self.spec.borrow().clone()
    }

    fn config(&self) -> ConfigStanding {
        self.standing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn health(&self) -> Health {
        let leads = match *self.leadership.borrow() {
            Leadership::Leads { term, .. } => Some(term),
            Leadership::Follows => None,
        };
        Health {
            tasks: self.tasks.alive(),
            died: self.tasks.died(),
            leads: leads.filter(|_| self.hints.leader().is_some()),
            cluster: self.cluster,
            started: self.started,
        }
    }

    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn objectives(&self) -> Vec<ObjectiveStanding> {
        self.hints
            .judge()
            .ask(Judge::objectives)
            .await
            .unwrap_or_default()
    }

    async fn probes(&self) -> Vec<ProbeStanding> {
        self.hints
            .judge()
            .ask(Judge::probes)
            .await
            .unwrap_or_default()
    }

    async fn workloads(&self) -> Vec<WorkloadStanding> {
        self.hints
            .judge()
            .ask(Judge::workloads)
            .await
            .unwrap_or_default()
    }

    async fn facts(&self) -> Vec<Fact> {
        self.store.facts().await.unwrap_or_default()
    }

    async fn command(&self, command: Command) -> Reply {
        let answer = match &command.what {
            Order::Acknowledge(_) | Order::Resolve(_) => {
                self.hints
                    .judge()
                    .command(JudgeEvent::Command(command))
                    .await
            }
            Order::RollBack { .. } | Order::Prove { .. } => match self.hints.leader() {
                Some(leader) => leader.steward.command(StewardEvent::Command(command)).await,
                None => return Reply::Refused("held (not-leader): another replica leads".into()),
            },
        };
        answer.unwrap_or_else(|| Reply::Refused("the daemon is stopping".into()))
    }

    async fn run_probe(&self, probe: &ProbeId) -> Option<Run> {
        let (observation, sample) = self.looker.run_now(probe).await?;
        Some(Run {
            observation,
            sample,
        })
    }

    async fn heartbeat(&self, probe: &ProbeId) -> bool {
        self.looker.beat(probe)
    }

    async fn reload(&self) -> Result<(), Vec<String>> {
        let (sender, receiver) = oneshot::channel();
        let stopping = || vec!["the daemon is stopping".to_owned()];
        self.reload.send(sender).await.map_err(|_| stopping())?;
        receiver.await.map_err(|_| stopping())?
    }
}

//! What the leader alone does: tell and act.
//!
//! While this process leads, the teller's and the steward's drivers, the dispatcher and the remediator
//! run; when it no longer does, they are stopped, and what they had begun is found in the store by
//! whoever leads next. A role's term is claimed in the store, so a predecessor that does not know yet
//! that it is one can commit nothing.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::dispatcher::{self, Dispatcher};
use super::driver::{Committed, Driver, Ended, Input, Port};
use super::hints::{Hints, Leader};
use super::leadership::Leadership;
use super::remediator::{Remediator, StewardDesk};
use super::tasks::Tasks;
use crate::clock::Clock;
use crate::cluster::Platform;
use crate::domain::change::{Fence, Reply, Role};
use crate::domain::event::{Access, Machine, StewardEvent, TellerEvent};
use crate::domain::id::RollbackId;
use crate::domain::judge::Judge;
use crate::domain::outbox::RetrySchedule;
use crate::domain::rollback::{Happening, Rollback, Term};
use crate::domain::rollout::Sighting;
use crate::domain::spec::Spec;
use crate::domain::steward::{self, Steward};
use crate::domain::teller::Teller;
use crate::store::{Store, StoreError, Window};
use crate::telemetry::metrics::Metrics;

/// Rollbacks and decisions that are read back: more than any day's budgets allow.
const RECENT: Window = Window {
    before: None,
    limit: 500,
};
/// Pause before a store that did not answer is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// What the leader works with.
pub struct Leading {
    /// The memory.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Clock,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Who is to be woken.
    pub hints: Arc<Hints>,
    /// The configuration in force.
    pub spec: watch::Receiver<Arc<Spec>>,
    /// The cluster, if there is one.
    pub platform: Option<Arc<dyn Platform>>,
    /// What may be done with it.
    pub access: watch::Receiver<Access>,
    /// Whether this process leads.
    pub leadership: watch::Receiver<Leadership>,
    /// An act is begun only if this much of the leadership is left.
    pub margin: Duration,
    /// Told of every committed batch.
    pub committed: Committed,
    /// To say that a role was lost to another process on the same store.
    pub tasks: Tasks,
    /// Cancelled when what the leader had begun is over, so that the lease can be handed over.
    pub drained: CancellationToken,
}

// === impl Leading ===

impl Leading {
    /// Runs until it is stopped.
    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let now = *self.leadership.borrow_and_update();
            match now {
                Leadership::Leads { term, .. } => self.term(term, &stop).await,
                Leadership::Follows => {
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => break,
                        () = changed(&mut self.leadership) => {}
                    }
                }
            }
        }
        self.drained.cancel();
    }

    /// One term, from beginning to end.
    async fn term(&mut self, term: Term, stop: &CancellationToken) {
        let ends = stop.child_token();
        let mut loops = JoinSet::new();
        let begun = loop {
            match self.begin(term, &ends, &mut loops).await {
                Ok(leader) => break leader,
                Err(error) => {
                    warn!(%error, "the state of the leader cannot be read; trying again");
                    tokio::time::sleep(AGAIN).await;
                    if stop.is_cancelled() || !self.leads(term) {
                        return;
                    }
                }
            }
        };
        info!(
            term = term.0,
            "leading in term {}: telling and acting from here on", term.0
        );
        self.metrics.leader.set(1);
        self.hints.set_leader(Some(begun.clone()));
        // What was committed or seen between the first reading and now was nobody's to pass on.
        begun.teller.hint();
        begun.steward.hint();
        for sighting in self.sightings().await {
            begun.steward.send(StewardEvent::Sighting(sighting)).await;
        }
        while self.leads(term) && !stop.is_cancelled() {
            // Biased: a stop or a loop that was fenced wins over news.
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                ended = loops.join_next() => {
                    if let Some(Ok(name)) = ended && !ends.is_cancelled() {
                        self.tasks.fail(name);
                    } else if let Some(Err(_)) = ended {
                        self.tasks.fail("leading");
                    }
                    break;
                }
                () = changed(&mut self.leadership) => {}
                () = changed(&mut self.spec) => {
                    let spec = self.spec.borrow_and_update().clone();
                    begun.teller.send(TellerEvent::Spec(spec.clone())).await;
                    begun.steward.send(StewardEvent::Spec(spec)).await;
                }
                () = changed(&mut self.access) => {
                    let access = *self.access.borrow_and_update();
                    begun.steward.send(StewardEvent::Platform(access)).await;
                }
            }
        }
        self.hints.set_leader(None);
        self.metrics.leader.set(0);
        ends.cancel();
        while loops.join_next().await.is_some() {}
        if !stop.is_cancelled() {
            warn!(
                term = term.0,
                "no longer leading: neither telling nor acting"
            );
        }
    }

    fn leads(&self, term: Term) -> bool {
        matches!(*self.leadership.borrow(), Leadership::Leads { term: now, .. } if now == term)
    }

    async fn begin(
        &mut self,
        term: Term,
        ends: &CancellationToken,
        loops: &mut JoinSet<&'static str>,
    ) -> Result<Leader, StoreError> {
        let spec = self.spec.borrow_and_update().clone();
        let told = self.store.claim(Role::Teller, term).await?;
        let acted = self.store.claim(Role::Steward, term).await?;
        let teller = Teller::new(told, self.store.told().await?);
        let steward = Steward::new(self.restored().await?);
        let (teller_port, teller_inputs) = Port::new();
        let (steward_port, steward_inputs) = Port::new();
        let leader = Leader {
            teller: teller_port,
            steward: steward_port,
            outbox: Arc::new(Notify::new()),
            remedies: Arc::new(Notify::new()),
        };
        leader.teller.send(TellerEvent::Spec(spec.clone())).await;
        leader.steward.send(StewardEvent::Leads(term)).await;
        leader.steward.send(StewardEvent::Spec(spec)).await;
        let access = *self.access.borrow_and_update();
        leader.steward.send(StewardEvent::Platform(access)).await;
        for sighting in self.sightings().await {
            leader.steward.send(StewardEvent::Sighting(sighting)).await;
        }
        let fence = Fence {
            role: Role::Teller,
            term: told,
        };
        let driver = self.driver(teller, fence, |post| TellerEvent::Post(Box::new(post)));
        drive(
            loops,
            "teller",
            driver,
            leader.teller.clone(),
            teller_inputs,
            ends,
        );
        let fence_steward = Fence {
            role: Role::Steward,
            term: acted,
        };
        let driver = self.driver(steward, fence_steward, |post| {
            StewardEvent::Post(Box::new(post))
        });
        drive(
            loops,
            "steward",
            driver,
            leader.steward.clone(),
            steward_inputs,
            ends,
        );
        self.spawn_edges(&leader, fence, ends, loops);
        Ok(leader)
    }

    fn spawn_edges(
        &self,
        leader: &Leader,
        fence: Fence,
        ends: &CancellationToken,
        loops: &mut JoinSet<&'static str>,
    ) {
        let dispatcher = Dispatcher {
            store: self.store.clone(),
            term: fence.term,
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            specs: self.spec.clone(),
            hint: leader.outbox.clone(),
            build: Arc::new(crate::notify::build),
            schedule: RetrySchedule::default(),
        };
        let stop = ends.clone();
        loops.spawn(async move {
            if dispatcher.run(stop).await == dispatcher::Ended::Fenced {
                warn!("the dispatcher was fenced: another process tells from this store");
            }
            "dispatcher"
        });
        let Some(platform) = self.platform.clone() else {
            return;
        };
        let remediator = Remediator {
            store: self.store.clone(),
            platform,
            desk: Arc::new(Reports(leader.steward.clone())),
            leadership: self.leadership.clone(),
            margin: self.margin,
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            hint: leader.remedies.clone(),
        };
        let stop = ends.clone();
        loops.spawn(async move {
            remediator.run(stop).await;
            "remediator"
        });
    }

    fn driver<M: Machine>(
        &self,
        machine: M,
        fence: Fence,
        post: fn(crate::domain::change::Post) -> M::Event,
    ) -> Driver<M> {
        Driver {
            machine,
            store: self.store.clone(),
            fence,
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            post,
            committed: self.committed.clone(),
            needs: None,
            feed: None,
        }
    }

    async fn restored(&self) -> Result<steward::Restored, StoreError> {
        let mut rollbacks = self.store.rollbacks(false, RECENT).await?;
        for open in self.store.rollbacks(true, RECENT).await? {
            if !rollbacks.iter().any(|row| row.id == open.id) {
                rollbacks.push(open);
            }
        }
        Ok(steward::Restored {
            facts: self.store.facts().await?,
            petitions: self.store.petitions().await?,
            rollbacks,
            decisions: self.store.decisions(None, RECENT).await?,
        })
    }

    /// What the judge has last seen of the workloads.
    async fn sightings(&self) -> Vec<Sighting> {
        let standing = self
            .hints
            .judge()
            .ask(Judge::workloads)
            .await
            .unwrap_or_default();
        standing
            .into_iter()
            .filter_map(|standing| Some(Sighting::Seen(Box::new(standing.seen?))))
            .collect()
    }
}

/// Where the remediator reports: the steward's driver, which answers after its commit.
struct Reports(Port<Steward>);

#[async_trait]
impl StewardDesk for Reports {
    async fn happened(&self, id: RollbackId, happening: Happening) -> Option<Rollback> {
        match self
            .0
            .command(StewardEvent::Happening(id, happening))
            .await?
        {
            Reply::Rollback(row) => Some(*row),
            Reply::Done
            | Reply::Decided(_)
            | Reply::Planned(_)
            | Reply::NotFound
            | Reply::Refused(_) => None,
        }
    }
}

fn drive<M>(
    loops: &mut JoinSet<&'static str>,
    name: &'static str,
    driver: Driver<M>,
    port: Port<M>,
    inputs: mpsc::Receiver<Input<M>>,
    stop: &CancellationToken,
) where
    M: Machine + Send + Sync + 'static,
    M::Event: Send,
{
    let stop = stop.clone();
    loops.spawn(async move {
        if driver.run(port, inputs, stop).await == Ended::Fenced {
            warn!("the {name} was fenced: another process owns its role in this store");
        }
        name
    });
}

/// Waits for a change; a channel whose sender is gone never changes again.
async fn changed<T>(receiver: &mut watch::Receiver<T>) {
    if receiver.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

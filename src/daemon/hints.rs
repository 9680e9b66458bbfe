//! Who is to look now: after each commit the loops that may have something to do are told so. A hint
//! carries nothing; whoever is woken reads everything that is due.

use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Notify;

use super::driver::Port;
use crate::domain::change::{Change, Role};
use crate::domain::event::{JudgeEvent, StewardEvent};
use crate::domain::judge::Judge;
use crate::domain::rollout::Sighting;
use crate::domain::steward::Steward;
use crate::domain::teller::Teller;

/// The leader's loops, while this process leads.
#[derive(Clone)]
pub struct Leader {
    /// The teller's driver.
    pub teller: Port<Teller>,
    /// The steward's driver.
    pub steward: Port<Steward>,
    /// The dispatcher.
    pub outbox: Arc<Notify>,
    /// The remediator.
    pub remedies: Arc<Notify>,
}

/// All who can be woken.
pub struct Hints {
    judge: Port<Judge>,
    leader: RwLock<Option<Leader>>,
}

// === impl Hints ===

impl Hints {
    /// At first nobody leads.
    #[must_use]
    pub const fn new(judge: Port<Judge>) -> Self {
        Self {
            judge,
            leader: RwLock::new(None),
        }
    }

    /// The judge's driver.
    #[must_use]
    pub const fn judge(&self) -> &Port<Judge> {
        &self.judge
    }

    /// The leader's loops, if this process leads.
    #[must_use]
    pub fn leader(&self) -> Option<Leader> {
        self.leader
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// This process leads from now on, or no longer.
    pub fn set_leader(&self, leader: Option<Leader>) {
        *self.leader.write().unwrap_or_else(PoisonError::into_inner) = leader;
    }

    /// A workload was seen: the judge and, while this process leads, the steward hear of it.
    pub async fn sighting(&self, sighting: Sighting) {
        if let Some(leader) = self.leader() {
            leader
                .steward
                .send(StewardEvent::Sighting(sighting.clone()))
                .await;
        }
        self.judge.send(JudgeEvent::Sighting(sighting)).await;
    }

    /// Wakes those who may have something to do.
    pub fn committed(&self, changes: &[Change]) {
        let leader = self.leader();
        for change in changes {
            for role in change.audience() {
                match (role, &leader) {
                    (Role::Judge, _) => self.judge.hint(),
                    (Role::Teller, Some(leader)) => leader.teller.hint(),
                    (Role::Steward, Some(leader)) => leader.steward.hint(),
                    (Role::Teller | Role::Steward, None) => {}
                }
            }
            match (change, &leader) {
                (Change::Deliver(_), Some(leader)) => leader.outbox.notify_one(),
                (Change::Rollback(_), Some(leader)) => leader.remedies.notify_one(),
                _ => {}
            }
        }
    }
}

//! The steward: petitions to decisions and rollbacks. One for the whole cluster: the leader's.
//!
//! ```text
//! petition ─► guards ─► hold (told once a reason)
//!                └────► decision + rollback (requested) ─► remediator ─► happenings ─► trial ─► the end
//! ```
//!
//! It sees what no shard of judges sees: budgets, other tenants, who leads. As long as a petition stands
//! unanswered it is decided anew, because cooldowns end and freezes are lifted.

mod decide;
mod message;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::change::{Change, Changes, Reply, Role};
use super::command::{Command, Order};
use super::decision::{Decision, Hold, Petition, Verdict};
use super::event::{Access, Machine, StewardEvent};
use super::fact::{Fact, What};
use super::guard::{DAY, Spent};
use super::id::{DecisionId, PetitionId, RollbackId, WorkloadId};
use super::ledger::Ledger;
use super::rollback::{Happening, Rollback, Stage, Term};
use super::rollout::{Seen, Sighting};
use super::spec::{Spec, WorkloadRef};
use super::time::Timestamp;
use super::trial::{TrialRequest, TrialResult};

/// How often a petition that stands unanswered is decided anew.
const ANEW: Duration = Duration::from_secs(5);

/// What the steward goes on from after a restart or a change of leader.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// All facts in order.
    pub facts: Vec<Fact>,
    /// Petitions that stand.
    pub petitions: Vec<Petition>,
    /// Rollbacks of the last day, and all that have not ended.
    pub rollbacks: Vec<Rollback>,
    /// Decisions of the last day.
    pub decisions: Vec<Decision>,
}

/// The machine.
#[derive(Debug)]
pub struct Steward {
    term: Term,
    spec: Arc<Spec>,
    access: Access,
    ledgers: HashMap<WorkloadRef, Ledger>,
    seen: HashMap<WorkloadRef, Seen>,
    petitions: BTreeMap<PetitionId, Standing>,
    /// Answers to petitions that do not stand any more: their end may still wait in the inbox.
    answers: BTreeMap<PetitionId, Answered>,
    rollbacks: BTreeMap<RollbackId, Rollback>,
    again: Option<Timestamp>,
}

/// A petition that stands, and what was answered.
#[derive(Debug)]
struct Standing {
    petition: Petition,
    told: Vec<(Hold, DecisionId)>,
    answered: Option<RollbackId>,
}

/// What was answered to a petition before this process.
#[derive(Debug, Default)]
struct Answered {
    told: Vec<(Hold, DecisionId)>,
    rollback: Option<RollbackId>,
}

// === impl Standing ===

impl Standing {
    fn new(petition: Petition, answers: &mut BTreeMap<PetitionId, Answered>) -> Self {
        let Answered { told, rollback } = answers.remove(&petition.id).unwrap_or_default();
        Self {
            petition,
            told,
            answered: rollback,
        }
    }
}

// === impl Steward ===

impl Steward {
    /// A steward that goes on from there.
    #[must_use]
    pub fn new(restored: Restored) -> Self {
        let Restored {
            facts,
            petitions,
            rollbacks,
            decisions,
        } = restored;
        let mut ledgers: HashMap<WorkloadRef, Ledger> = HashMap::new();
        for fact in &facts {
            ledgers.entry(fact.target.clone()).or_default().apply(fact);
        }
        let mut answers: BTreeMap<PetitionId, Answered> = BTreeMap::new();
        for decision in &decisions {
            let Some(id) = decision.petition else {
                continue;
            };
            let answered = answers.entry(id).or_default();
            match &decision.verdict {
                Verdict::Hold(hold) => answered.told.push((*hold, decision.id)),
                Verdict::RollBack { rollback, .. } => answered.rollback = Some(*rollback),
            }
        }
        let petitions = petitions
            .into_iter()
            .map(|petition| (petition.id, Standing::new(petition, &mut answers)))
            .collect();
        Self {
            term: Term::default(),
            spec: Arc::default(),
            access: Access::None,
            ledgers,
            seen: HashMap::new(),
            petitions,
            answers,
            rollbacks: rollbacks
                .into_iter()
                .map(|rollback| (rollback.id, rollback))
                .collect(),
            again: None,
        }
    }

    fn post(&mut self, change: &Change, now: Timestamp, out: &mut Changes) {
        match change {
            Change::Petition(petition) => self.petition(petition, now, out),
            Change::Fact(fact) => {
                self.ledgers
                    .entry(fact.target.clone())
                    .or_default()
                    .apply(fact);
            }
            Change::Tried(result) => self.tried(result, now, out),
            _ => {}
        }
    }

    fn petition(&mut self, petition: &Petition, now: Timestamp, out: &mut Changes) {
        let id = petition.id;
        if !petition.standing {
            let known = self.petitions.remove(&id);
            let standing =
                known.unwrap_or_else(|| Standing::new(petition.clone(), &mut self.answers));
            self.all_clear(&standing, now, out);
            self.call_off(&standing, now, out);
            return;
        }
        match self.petitions.get_mut(&id) {
            Some(standing) => standing.petition = petition.clone(),
            None => {
                let standing = Standing::new(petition.clone(), &mut self.answers);
                self.petitions.insert(id, standing);
            }
        }
        // Not at once: what comes behind it in the inbox may take it back. After a restart that is likely.
        self.again = Some(now);
    }

    /// What was told about a breach is told to be over when the breach is.
    fn all_clear(&self, standing: &Standing, now: Timestamp, out: &mut Changes) {
        let workload = self.spec.workload(&standing.petition.workload);
        let Some(workload) = workload else { return };
        for (hold, decision) in &standing.told {
            let notice = self.held_no_longer(workload, standing, *hold, *decision, now);
            out.push(Change::Notice(notice));
        }
        let ended = standing.answered.and_then(|id| self.rollbacks.get(&id));
        if let Some(rollback) = ended
            && matches!(rollback.stage, Stage::NotCaused | Stage::Failed { .. })
        {
            out.push(Change::Notice(
                self.recovered_later(workload, rollback, now),
            ));
        }
    }

    /// A rollback that was asked for and not begun is not wanted any more when the breach is over: so a
    /// process that was away for long does not act on what it had decided then. Once the intent is on
    /// record the patch may have been sent, and the rollback goes on.
    fn call_off(&mut self, standing: &Standing, now: Timestamp, out: &mut Changes) {
        let row = standing.answered.and_then(|id| self.rollbacks.get(&id));
        let Some(mut row) = row.filter(|row| row.stage == Stage::Requested).cloned() else {
            return;
        };
        let blamed_still = self
            .petitions
            .values()
            .any(|other| other.petition.blames.as_ref() == Ok(&row.rollout));
        if !blamed_still && row.supersede("the breach was over before anything was done", now) {
            self.moved(&Stage::Requested, row, now, out);
        }
    }

    fn schedule(&mut self, now: Timestamp) {
        let open = self
            .petitions
            .values()
            .any(|standing| !self.is_answered(standing));
        let anew = now + ANEW;
        self.again = open.then(|| self.again.map_or(anew, |again| again.min(anew)));
    }

    fn is_answered(&self, standing: &Standing) -> bool {
        let row = standing.answered.and_then(|id| self.rollbacks.get(&id));
        row.is_some_and(|row| !row.stage.terminal() || row.applied.is_some())
    }

    fn spent(&self, now: Timestamp) -> Vec<Spent> {
        self.rollbacks
            .values()
            .filter(|rollback| rollback.applied.is_some() || !rollback.stage.terminal())
            .map(|rollback| Spent {
                workload: rollback.workload.clone(),
                at: rollback.applied.unwrap_or(rollback.requested),
                rollback: rollback.id,
            })
            .filter(|spent| spent.at > now - DAY)
            .collect()
    }

    fn fact(&mut self, target: &WorkloadRef, what: What, now: Timestamp, out: &mut Changes) {
        let fact = Fact {
            target: target.clone(),
            at: now,
            what,
        };
        self.ledgers.entry(target.clone()).or_default().apply(&fact);
        out.push(Change::Fact(fact));
    }

    fn happened(
        &mut self,
        id: RollbackId,
        happening: &Happening,
        now: Timestamp,
        out: &mut Changes,
    ) -> Option<Rollback> {
        let mut row = self.rollbacks.get(&id)?.clone();
        let before = row.stage.clone();
        if row.step(happening, now) {
            self.moved(&before, row.clone(), now, out);
        }
        Some(row)
    }

    fn tried(&mut self, result: &TrialResult, now: Timestamp, out: &mut Changes) {
        let id = result.rollback;
        if let Some(why) = &result.superseded {
            let Some(mut row) = self.rollbacks.get(&id).cloned() else {
                return;
            };
            let before = row.stage.clone();
            if row.supersede(why, now) {
                self.moved(&before, row, now, out);
            }
            return;
        }
        if result.rolled_out.is_some() {
            self.happened(id, &Happening::RolledOut, now, out);
        }
        if let Some(end) = result.end {
            self.happened(id, &Happening::Tried(end), now, out);
        }
    }

    /// A rollback's row has changed: what follows from it.
    fn moved(&mut self, before: &Stage, row: Rollback, now: Timestamp, out: &mut Changes) {
        let id = row.id;
        let changed = before.as_str() != row.stage.as_str();
        out.push(Change::Rollback(row.clone()));
        self.rollbacks.insert(id, row.clone());
        if !changed {
            return;
        }
        let template = row.rollout.template;
        match &row.stage {
            Stage::Verifying { .. } => {
                let what = What::Quarantined {
                    template,
                    rollback: id,
                };
                self.fact(&row.target, what, now, out);
                out.push(Change::Trial(request(&row)));
            }
            Stage::NotCaused => {
                let what = What::Released {
                    template,
                    rollback: id,
                };
                self.fact(&row.target, what, now, out);
            }
            Stage::Requested
            | Stage::Applying { .. }
            | Stage::Succeeded
            | Stage::Failed { .. }
            | Stage::Superseded { .. } => {}
        }
        if let Some(notice) = self.progress(&row, now) {
            out.push(Change::Notice(notice));
        }
    }

    fn command(&mut self, command: &Command, now: Timestamp, out: &mut Changes) {
        out.reply = Some(match &command.what {
            Order::RollBack {
                workload,
                to,
                dry_run,
            } => self.requested(workload, *to, *dry_run, &command.by, now, out),
            Order::Prove { workload, template } => match self.spec.workload(workload).cloned() {
                Some(workload) => {
                    let by = Some(command.by.as_str().into());
                    let what = What::Proven {
                        template: *template,
                        by,
                    };
                    self.fact(&workload.target, what, now, out);
                    Reply::Done
                }
                None => Reply::NotFound,
            },
            Order::Acknowledge(_) | Order::Resolve(_) => {
                Reply::Refused("alerts are the judge's".to_owned())
            }
        });
    }

    fn open_for(&self, workload: &WorkloadId) -> bool {
        self.rollbacks
            .values()
            .any(|rollback| rollback.workload == *workload && !rollback.stage.terminal())
    }

    /// Petitions that stand, for those who ask.
    pub fn petitions(&self) -> impl Iterator<Item = &Petition> {
        self.petitions.values().map(|standing| &standing.petition)
    }
}

/// The trial that a rollback asks for.
#[must_use]
pub fn request(row: &Rollback) -> TrialRequest {
    TrialRequest {
        rollback: row.id,
        workload: row.workload.clone(),
        target: row.target.clone(),
        to: row.to,
        trigger: row.trigger.clone(),
        applied: row.applied.unwrap_or(row.requested),
    }
}

impl Machine for Steward {
    type Event = StewardEvent;

    fn step(&mut self, event: &StewardEvent, now: Timestamp, out: &mut Changes) {
        match event {
            StewardEvent::Post(post) => {
                self.post(&post.change, now, out);
                out.push(Change::Read {
                    role: Role::Steward,
                    seq: post.seq,
                });
            }
            StewardEvent::Sighting(sighting) => match sighting {
                Sighting::Seen(seen) => {
                    // Who takes over is given a look of the judge's too, which may be an older one.
                    let known = self.seen.get(&seen.target);
                    if known.is_none_or(|known| {
                        known.uid != seen.uid || known.generation <= seen.generation
                    }) {
                        self.seen.insert(seen.target.clone(), (**seen).clone());
                    }
                }
                Sighting::Gone { target, .. } => {
                    self.seen.remove(target);
                }
                Sighting::Pods { .. } => {}
            },
            StewardEvent::Spec(spec) => {
                self.spec = spec.clone();
                self.schedule(now);
            }
            StewardEvent::Command(command) => self.command(command, now, out),
            StewardEvent::Happening(id, happening) => {
                let row = self.happened(*id, happening, now, out);
                out.reply = Some(row.map_or(Reply::NotFound, |row| Reply::Rollback(Box::new(row))));
                self.schedule(now);
            }
            StewardEvent::Leads(term) => self.term = *term,
            StewardEvent::Platform(access) => self.access = *access,
        }
    }

    fn wake(&mut self, now: Timestamp, out: &mut Changes) {
        if self.again.is_none_or(|again| again > now) {
            return;
        }
        let open: Vec<PetitionId> = self.petitions.keys().copied().collect();
        for id in open {
            self.decide(id, now, out);
        }
        self.rollbacks.retain(|_, rollback| {
            !rollback.stage.terminal() || rollback.requested > now - (DAY * 2)
        });
        self.again = None;
        self.schedule(now);
    }

    fn wake_at(&self) -> Option<Timestamp> {
        self.again
    }
}

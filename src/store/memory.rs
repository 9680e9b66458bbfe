//! A store that lives and dies with the process: for tests, and for `:memory:`.
//!
//! It keeps the same contract as the databases (one conformance story proves it) and can be told to
//! fail, so that everything above a store can be tested against one that is away, or whose answer is lost.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{
    AlertFilter, BATCHES_KEPT, CommitError, Retention, SampleQuery, Store, StoreError, Window,
};
use crate::domain::alert::{Alert, AlertState, Phase, Transition};
use crate::domain::change::{Batch, Change, Fence, Image, Post, Role, Seq};
use crate::domain::decision::{Decision, Petition};
use crate::domain::delivery::{Attempt, Delivery, DeliveryState, Status, Told};
use crate::domain::fact::{Fact, What};
use crate::domain::id::{
    AlertId, AlertKey, BatchId, DecisionId, DeliveryId, Digest, Name, PetitionId, ProbeId,
    RollbackId, WorkloadId,
};
use crate::domain::need::{History, Need};
use crate::domain::rollback::{Rollback, Term};
use crate::domain::sample::Sample;
use crate::domain::time::Timestamp;

/// How the next commit fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is committed, and the committer is told so.
    Unavailable,
    /// Nothing is committed, but the committer can't know.
    AmbiguousBefore,
    /// The batch is committed, but the answer is lost.
    AmbiguousAfter,
}

/// The store.
#[derive(Debug, Default)]
pub struct Memory(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    faults: VecDeque<Fault>,
    away: bool,
    terms: BTreeMap<Role, Term>,
    batches: VecDeque<(BatchId, Seq)>,
    seq: Seq,
    journal: VecDeque<(Role, Post)>,
    cursors: BTreeMap<Role, Seq>,
    samples: BTreeMap<ProbeId, Vec<Sample>>,
    images: BTreeMap<ProbeId, Image>,
    phases: BTreeMap<AlertKey, Phase>,
    alerts: BTreeMap<AlertId, (Alert, Vec<Transition>)>,
    petitions: BTreeMap<PetitionId, Petition>,
    facts: Vec<Fact>,
    decisions: BTreeMap<DecisionId, Decision>,
    rollbacks: BTreeMap<RollbackId, Rollback>,
    deliveries: BTreeMap<DeliveryId, (Delivery, Vec<Attempt>)>,
    told: BTreeMap<(Name, AlertId), Told>,
}

// === impl Memory ===

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the next commit fail like this; several calls queue up.
    pub fn fail_next(&self, fault: Fault) {
        self.state().faults.push_back(fault);
    }

    /// Makes the store unreachable for everyone, or reachable again.
    pub fn set_away(&self, away: bool) {
        self.state().away = away;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reach(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.state();
        if state.away {
            return Err(away());
        }
        Ok(state)
    }
}

fn away() -> StoreError {
    StoreError::Database {
        doing: "reach the store in memory",
        source: "it was told to be away".into(),
    }
}

/// Sorts newest first (ties by the order given) and cuts the page out.
fn page<T>(mut rows: Vec<T>, window: Window, at: impl Fn(&T) -> Timestamp) -> Vec<T> {
    rows.retain(|row| window.before.is_none_or(|before| at(row) < before));
    rows.sort_by_key(|row| std::cmp::Reverse(at(row)));
    rows.truncate(window.limit);
    rows
}

// === impl State ===

impl State {
    fn commit(&mut self, batch: &Batch, fence: Fence) -> Result<Seq, CommitError> {
        if let Some((_, seq)) = self.batches.iter().find(|(id, _)| *id == batch.id) {
            return Ok(*seq);
        }
        let newest = self.terms.entry(fence.role).or_default();
        if fence.term < *newest {
            return Err(CommitError::Fenced);
        }
        *newest = fence.term;
        for change in &batch.changes {
            self.apply(change);
            for role in change.audience() {
                self.seq.0 += 1;
                let post = Post {
                    seq: self.seq,
                    at: batch.at,
                    change: change.clone(),
                };
                self.journal.push_back((*role, post));
            }
        }
        self.batches.push_back((batch.id, self.seq));
        if self.batches.len() > BATCHES_KEPT {
            self.batches.pop_front();
        }
        Ok(self.seq)
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Keep(sample) => {
                let series = self.samples.entry(sample.series.clone()).or_default();
                series.push(sample.clone());
            }
            Change::Image(image) => {
                self.images.insert(image.series.clone(), image.clone());
            }
            Change::Phase(phase) => {
                self.phases.insert(phase.key.clone(), phase.clone());
            }
            Change::Forget(key) => {
                self.phases.remove(key);
            }
            Change::Transition(transition) => self.transition(transition),
            Change::Acknowledged { alert, by, at } => self.acknowledge(*alert, by, *at),
            Change::Petition(petition) => {
                self.petitions.insert(petition.id, petition.clone());
            }
            Change::Fact(fact) => self.fact(fact),
            Change::Decision(decision) => {
                self.decisions.insert(decision.id, decision.clone());
            }
            Change::Rollback(rollback) => {
                self.rollbacks.insert(rollback.id, rollback.clone());
            }
            Change::Deliver(delivery) => {
                let fresh = || (delivery.clone(), Vec::new());
                self.deliveries.entry(delivery.id).or_insert_with(fresh);
            }
            Change::Told(told) => {
                let key = (told.receiver.clone(), told.alert);
                self.told.insert(key, told.clone());
            }
            Change::Attempt(attempt) => self.attempt(attempt),
            Change::Read { role, seq } => {
                let cursor = self.cursors.entry(*role).or_default();
                *cursor = (*cursor).max(*seq);
                let read = *cursor;
                self.journal
                    .retain(|(whose, post)| whose != role || post.seq > read);
            }
            // Posted to inboxes, or answered at once: nothing else to remember.
            Change::Trial(_) | Change::Tried(_) | Change::Need(_) | Change::Notice(_) => {}
        }
    }

    fn transition(&mut self, transition: &Transition) {
        let (alert, transitions) = self
            .alerts
            .entry(transition.alert)
            .or_insert_with(|| (Alert::open(transition), Vec::new()));
        alert.apply(transition);
        transitions.push(transition.clone());
    }

    fn acknowledge(&mut self, id: AlertId, by: &str, at: Timestamp) {
        let acknowledged = Some((by.to_owned(), at));
        if let Some((alert, _)) = self.alerts.get_mut(&id) {
            alert.acknowledged.clone_from(&acknowledged);
            alert.at = alert.at.max(at);
        }
        for phase in self.phases.values_mut() {
            if phase.alert == Some(id) {
                phase.acknowledged.clone_from(&acknowledged);
            }
        }
    }

    fn fact(&mut self, fact: &Fact) {
        if let What::Baked { template, .. } = &fact.what {
            let of = template;
            self.facts.retain(|known| {
                !matches!(&known.what, What::Baked { template, .. } if template == of)
                    || known.target != fact.target
            });
        }
        self.facts.push(fact.clone());
    }

    fn attempt(&mut self, attempt: &Attempt) {
        let Some((delivery, attempts)) = self.deliveries.get_mut(&attempt.delivery) else {
            return;
        };
        delivery.state = attempt.state;
        delivery.due = attempt.due;
        delivery.attempts = delivery.attempts.max(attempt.number);
        attempts.retain(|known| known.number != attempt.number);
        attempts.push(attempt.clone());
    }

    fn between(&self, series: &ProbeId, from: Timestamp, to: Timestamp) -> Vec<Sample> {
        let mut samples: Vec<Sample> = self
            .samples
            .get(series)
            .into_iter()
            .flatten()
            .filter(|sample| sample.span.to > from && sample.span.to <= to)
            .cloned()
            .collect();
        samples.sort_by_key(|sample| sample.span.to);
        samples
    }

    fn history(&self, need: &Need) -> History {
        let start = need.until - need.span;
        let image = self
            .images
            .get(&need.series)
            .filter(|image| super::image_serves(image.shape, image.at, need))
            .cloned();
        let from = image.as_ref().map_or(start, |image| image.at);
        History {
            series: need.series.clone(),
            image,
            samples: self.between(&need.series, from, need.until).into(),
        }
    }

    fn retain(&mut self, retention: Retention, now: Timestamp) -> u64 {
        let samples_from = now - retention.samples;
        let ended_from = now - retention.alerts;
        let before = self.rows();
        for series in self.samples.values_mut() {
            series.retain(|sample| sample.span.to >= samples_from);
        }
        self.samples.retain(|_, series| !series.is_empty());
        self.images.retain(|_, image| image.at >= samples_from);
        self.alerts.retain(|_, (alert, _)| {
            matches!(alert.state, AlertState::Pending | AlertState::Firing)
                || alert.at >= ended_from
        });
        self.deliveries.retain(|_, (delivery, _)| {
            delivery.state == DeliveryState::Due || delivery.created >= ended_from
        });
        self.rollbacks.retain(|_, row| {
            !row.stage.terminal() || row.ended.unwrap_or(row.requested) >= ended_from
        });
        let (rollbacks, petitions) = (&self.rollbacks, &mut self.petitions);
        petitions.retain(|_, petition| petition.standing || petition.at >= ended_from);
        self.decisions.retain(|id, decision| {
            decision.at >= ended_from || rollbacks.values().any(|row| row.decision == *id)
        });
        self.told
            .retain(|_, told| told.status == Status::Firing || told.at >= ended_from);
        before.saturating_sub(self.rows())
    }

    fn rows(&self) -> u64 {
        let samples: usize = self.samples.values().map(Vec::len).sum();
        let rows = samples
            + self.images.len()
            + self.alerts.len()
            + self.deliveries.len()
            + self.rollbacks.len()
            + self.petitions.len()
            + self.decisions.len()
            + self.told.len();
        rows as u64
    }
}

#[async_trait]
impl Store for Memory {
    async fn claim(&self, role: Role, at_least: Term) -> Result<Term, StoreError> {
        let mut state = self.reach()?;
        let term = state.terms.entry(role).or_default();
        *term = Term(term.0.saturating_add(1)).max(at_least);
        Ok(*term)
    }

    async fn commit(&self, batch: &Batch, fence: Fence) -> Result<Seq, CommitError> {
        let mut state = self.reach().map_err(CommitError::Unavailable)?;
        match state.faults.pop_front() {
            None => state.commit(batch, fence),
            Some(Fault::Unavailable) => Err(CommitError::Unavailable(away())),
            Some(Fault::AmbiguousBefore) => Err(CommitError::Ambiguous(away())),
            Some(Fault::AmbiguousAfter) => {
                state.commit(batch, fence)?;
                Err(CommitError::Ambiguous(away()))
            }
        }
    }

    async fn inbox(&self, role: Role, after: Seq, limit: usize) -> Result<Vec<Post>, StoreError> {
        let state = self.reach()?;
        let posts = state
            .journal
            .iter()
            .filter(|(whose, post)| *whose == role && post.seq > after);
        Ok(posts.take(limit).map(|(_, post)| post.clone()).collect())
    }

    async fn cursor(&self, role: Role) -> Result<Seq, StoreError> {
        Ok(self
            .reach()?
            .cursors
            .get(&role)
            .copied()
            .unwrap_or_default())
    }

    async fn phases(&self) -> Result<Vec<Phase>, StoreError> {
        Ok(self.reach()?.phases.values().cloned().collect())
    }

    async fn facts(&self) -> Result<Vec<Fact>, StoreError> {
        Ok(self.reach()?.facts.clone())
    }

    async fn told(&self) -> Result<Vec<Told>, StoreError> {
        let state = self.reach()?;
        let open = |told: &&Told| told.status == Status::Firing;
        Ok(state.told.values().filter(open).cloned().collect())
    }

    async fn petitions(&self) -> Result<Vec<Petition>, StoreError> {
        let state = self.reach()?;
        let standing = |petition: &&Petition| petition.standing;
        Ok(state.petitions.values().filter(standing).cloned().collect())
    }

    async fn due(&self) -> Result<Vec<Delivery>, StoreError> {
        let state = self.reach()?;
        let mut due: Vec<Delivery> = state
            .deliveries
            .values()
            .map(|(delivery, _)| delivery)
            .filter(|delivery| delivery.state == DeliveryState::Due)
            .cloned()
            .collect();
        due.sort_by(|a, b| {
            (&a.receiver, a.message.thread, a.order).cmp(&(&b.receiver, b.message.thread, b.order))
        });
        Ok(due)
    }

    async fn histories(&self, needs: &[Need]) -> Result<Vec<History>, StoreError> {
        let state = self.reach()?;
        Ok(needs.iter().map(|need| state.history(need)).collect())
    }

    async fn samples(&self, query: &SampleQuery) -> Result<Vec<Sample>, StoreError> {
        let mut samples = self.reach()?.between(&query.series, query.from, query.to);
        let surplus = samples.len().saturating_sub(query.limit);
        samples.drain(..surplus);
        Ok(samples)
    }

    async fn alerts(&self, filter: &AlertFilter, window: Window) -> Result<Vec<Alert>, StoreError> {
        let state = self.reach()?;
        let alerts = state
            .alerts
            .values()
            .map(|(alert, _)| alert)
            .filter(|alert| filter.takes(alert));
        Ok(page(alerts.cloned().collect(), window, |alert| alert.at))
    }

    async fn alert(&self, id: AlertId) -> Result<Option<(Alert, Vec<Transition>)>, StoreError> {
        Ok(self.reach()?.alerts.get(&id).cloned())
    }

    async fn deliveries(
        &self,
        thread: Option<Digest>,
        window: Window,
    ) -> Result<Vec<(Delivery, Vec<Attempt>)>, StoreError> {
        let state = self.reach()?;
        let rows = state
            .deliveries
            .values()
            .filter(|(delivery, _)| thread.is_none_or(|thread| delivery.message.thread == thread));
        Ok(page(rows.cloned().collect(), window, |(delivery, _)| {
            delivery.created
        }))
    }

    async fn decisions(
        &self,
        workload: Option<&WorkloadId>,
        window: Window,
    ) -> Result<Vec<Decision>, StoreError> {
        let state = self.reach()?;
        let rows = state
            .decisions
            .values()
            .filter(|decision| workload.is_none_or(|workload| decision.workload == *workload));
        Ok(page(rows.cloned().collect(), window, |decision| {
            decision.at
        }))
    }

    async fn decision(&self, id: DecisionId) -> Result<Option<Decision>, StoreError> {
        Ok(self.reach()?.decisions.get(&id).cloned())
    }

    async fn rollbacks(
        &self,
        open_only: bool,
        window: Window,
    ) -> Result<Vec<Rollback>, StoreError> {
        let state = self.reach()?;
        let rows = state
            .rollbacks
            .values()
            .filter(|row| !open_only || !row.stage.terminal());
        Ok(page(rows.cloned().collect(), window, |row| row.requested))
    }

    async fn rollback(&self, id: RollbackId) -> Result<Option<Rollback>, StoreError> {
        Ok(self.reach()?.rollbacks.get(&id).cloned())
    }

    async fn retain(&self, retention: Retention, now: Timestamp) -> Result<u64, StoreError> {
        Ok(self.reach()?.retain(retention, now))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.reach().map(drop)
    }

    async fn close(&self) {}
}

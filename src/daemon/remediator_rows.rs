//! A store of rollbacks alone; of everything else it is empty.

use async_trait::async_trait;

use super::Rows;
use crate::domain::alert::{Alert, Phase, Transition};
use crate::domain::change::{Batch, Fence, Post, Role, Seq};
use crate::domain::decision::{Decision, Petition};
use crate::domain::delivery::{Attempt, Delivery, Told};
use crate::domain::fact::Fact;
use crate::domain::id::{AlertId, DecisionId, Digest, RollbackId, WorkloadId};
use crate::domain::need::{History, Need};
use crate::domain::rollback::{Rollback, Term};
use crate::domain::sample::Sample;
use crate::domain::time::Timestamp;
use crate::store::{AlertFilter, CommitError, Retention, SampleQuery, Store, StoreError, Window};

type Found<T> = Result<T, StoreError>;

#[async_trait]
impl Store for Rows {
    async fn rollbacks(&self, open_only: bool, window: Window) -> Found<Vec<Rollback>> {
        let rows = self.rows.lock().unwrap();
        let wanted = rows
            .values()
            .filter(|row| !open_only || !row.stage.terminal());
        Ok(wanted.take(window.limit).cloned().collect())
    }
    async fn rollback(&self, id: RollbackId) -> Found<Option<Rollback>> {
        Ok(self.rows.lock().unwrap().get(&id).cloned())
    }
    async fn claim(&self, _: Role, at_least: Term) -> Found<Term> {
        Ok(at_least)
    }
    async fn commit(&self, _: &Batch, _: Fence) -> Result<Seq, CommitError> {
        Ok(Seq(0))
    }
    async fn inbox(&self, _: Role, _: Seq, _: usize) -> Found<Vec<Post>> {
        Ok(Vec::new())
    }
    async fn cursor(&self, _: Role) -> Found<Seq> {
        Ok(Seq(0))
    }
    async fn phases(&self) -> Found<Vec<Phase>> {
        Ok(Vec::new())
    }
    async fn facts(&self) -> Found<Vec<Fact>> {
        Ok(Vec::new())
    }
    async fn told(&self) -> Found<Vec<Told>> {
        Ok(Vec::new())
    }
    async fn petitions(&self) -> Found<Vec<Petition>> {
        Ok(Vec::new())
    }
    async fn due(&self) -> Found<Vec<Delivery>> {
        Ok(Vec::new())
    }
    async fn histories(&self, _: &[Need]) -> Found<Vec<History>> {
        Ok(Vec::new())
    }
    async fn samples(&self, _: &SampleQuery) -> Found<Vec<Sample>> {
        Ok(Vec::new())
    }
    async fn alerts(&self, _: &AlertFilter, _: Window) -> Found<Vec<Alert>> {
        Ok(Vec::new())
    }
    async fn alert(&self, _: AlertId) -> Found<Option<(Alert, Vec<Transition>)>> {
        Ok(None)
    }
    async fn deliveries(
        &self,
        _: Option<Digest>,
        _: Window,
    ) -> Found<Vec<(Delivery, Vec<Attempt>)>> {
        Ok(Vec::new())
    }
    async fn decisions(&self, _: Option<&WorkloadId>, _: Window) -> Found<Vec<Decision>> {
        Ok(Vec::new())
    }
    async fn decision(&self, _: DecisionId) -> Found<Option<Decision>> {
        Ok(None)
    }
    async fn retain(&self, _: Retention, _: Timestamp) -> Found<u64> {
        Ok(0)
    }
    async fn ping(&self) -> Found<()> {
        Ok(())
    }
    async fn close(&self) {}
}

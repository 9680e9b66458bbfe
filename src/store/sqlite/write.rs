//! What a batch writes, inside its transaction.

use std::collections::BTreeMap;

use sqlx::SqliteConnection;

use super::{failed, sql, whole};
use crate::domain::alert::{Alert, Phase, Transition};
use crate::domain::change::{Batch, Change, Fence, Seq};
use crate::domain::delivery::{Attempt, Delivery, Status};
use crate::domain::fact::{Fact, What};
use crate::domain::id::{AlertId, ProbeId};
use crate::domain::rollback::Rollback;
use crate::domain::sample::Sample;
use crate::domain::time::Timestamp;
use crate::store::segment::{SeriesNumber, pack};
use crate::store::{BATCHES_KEPT, CommitError, StoreError};
use crate::wire::post::Posted;
use crate::wire::{Wire, from_json, to_json};

/// Old batch ids are removed once in so many batches.
const BATCHES_BETWEEN_SWEEPS: i64 = 256;

pub(super) enum Written {
    /// By an earlier commit of the same batch.
    Before(Seq),
    /// By this one.
    Now(Seq),
}

/// Reads a series' name.
pub(super) fn probe(name: &str) -> Result<ProbeId, StoreError> {
    name.parse().map_err(|why| corrupt("name of a series", why))
}

pub(super) fn corrupt(what: &'static str, why: impl ToString) -> StoreError {
    StoreError::Corrupt {
        what,
        why: why.to_string(),
    }
}

fn body<T: Wire>(what: &'static str, noun: &T) -> Result<String, StoreError> {
    to_json(noun).map_err(|error| StoreError::Database {
        doing: what,
        source: error.into(),
    })
}

macro_rules! run {
    ($pen:expr, $doing:literal, $statement:expr $(, $value:expr)* $(,)?) => {
        sqlx::query($statement)
            $(.bind($value))*
            .execute(&mut *$pen.connection)
            .await
            .map_err(failed($doing))?
    };
}

/// Writes inside a transaction.
pub(super) struct Pen<'a> {
    /// Of the transaction.
    pub(super) connection: &'a mut SqliteConnection,
    /// The numbers of series, as committed.
    pub(super) known: &'a BTreeMap<ProbeId, SeriesNumber>,
    /// Those that this transaction gives.
    pub(super) fresh: &'a mut BTreeMap<ProbeId, SeriesNumber>,
}

impl Pen<'_> {
    pub(super) async fn write(
        &mut self,
        batch: &Batch,
        fence: Fence,
    ) -> Result<Written, CommitError> {
        let before: Result<(Option<i64>, Option<i64>, i64), _> = sqlx::query_as(sql::BEFORE_COMMIT)
            .bind(fence.role.as_str())
            .bind(batch.id.to_string())
            .fetch_one(&mut *self.connection)
            .await;
        let before = before.map_err(failed("read the fence"));
        let (term, committed, newest) = before.map_err(CommitError::Unavailable)?;
        if let Some(seq) = committed {
            return Ok(Written::Before(Seq(seq.cast_unsigned())));
        }
        let own = whole(fence.term.0);
        if term.is_some_and(|term| own < term) {
            return Err(CommitError::Fenced);
        }
        let raise = term != Some(own);
        let written = self.write_all(batch, fence, raise, newest).await;
        written.map(Written::Now).map_err(CommitError::Unavailable)
    }

    async fn write_all(
        &mut self,
        batch: &Batch,
        fence: Fence,
        raise: bool,
        newest: i64,
    ) -> Result<Seq, StoreError> {
        if raise {
            let (role, term) = (fence.role.as_str(), whole(fence.term.0));
            run!(self, "raise the fence", sql::RAISE_FENCE, role, term);
        }
        let mut seq = newest;
        let mut samples = Vec::new();
        for change in &batch.changes {
            if let Change::Keep(sample) = change {
                samples.push(sample);
            }
            self.apply(change).await?;
            if let Some(last) = self.post(change, batch.at).await? {
                seq = last;
            }
        }
        self.keep(&samples).await?;
        let place: i64 = sqlx::query_scalar(sql::REMEMBER_BATCH)
            .bind(batch.id.to_string())
            .bind(seq)
            .fetch_one(&mut *self.connection)
            .await
            .map_err(failed("remember a batch"))?;
        if place % BATCHES_BETWEEN_SWEEPS == 0 {
            let oldest = place - whole(BATCHES_KEPT as u64);
            run!(self, "forget old batches", sql::FORGET_BATCHES, oldest);
        }
        Ok(Seq(seq.cast_unsigned()))
    }

    async fn post(&mut self, change: &Change, at: Timestamp) -> Result<Option<i64>, StoreError> {
        let audience = change.audience();
        if audience.is_empty() {
            return Ok(None);
        }
        let Some(posted) = Posted::of(change) else {
            return Ok(None);
        };
        let doing = "post a change";
        let body = serde_json::to_string(&posted).map_err(|error| StoreError::Database {
            doing,
            source: error.into(),
        })?;
        let mut last = None;
        for role in audience {
            let seq: i64 = sqlx::query_scalar(sql::POST)
                .bind(role.as_str())
                .bind(at.as_micros())
                .bind(body.as_str())
                .fetch_one(&mut *self.connection)
                .await
                .map_err(failed(doing))?;
            last = Some(seq);
        }
        Ok(last)
    }

    /// All samples of the batch, as one segment.
    async fn keep(&mut self, samples: &[&Sample]) -> Result<(), StoreError> {
        let ends = samples.iter().map(|sample| sample.span.to.as_micros());
        let (Some(first), Some(last)) = (ends.clone().min(), ends.max()) else {
            return Ok(());
        };
        let mut numbered = Vec::with_capacity(samples.len());
        for sample in samples {
            numbered.push((self.number(&sample.series).await?, *sample));
        }
        let block = pack(numbered);
        run!(self, "keep samples", sql::ADD_SEGMENT, first, last, block);
        Ok(())
    }

    async fn number(&mut self, series: &ProbeId) -> Result<SeriesNumber, StoreError> {
        if let Some(number) = self.known.get(series).or_else(|| self.fresh.get(series)) {
            return Ok(*number);
        }
        let number: i64 = sqlx::query_scalar(sql::ADD_SERIES)
            .bind(series.to_string())
            .fetch_one(&mut *self.connection)
            .await
            .map_err(failed("name a series"))?;
        let number = number.cast_unsigned();
        self.fresh.insert(series.clone(), number);
        Ok(number)
    }

    async fn apply(&mut self, change: &Change) -> Result<(), StoreError> {
        match change {
            Change::Image(image) => {
                run!(
                    self,
                    "keep an image",
                    sql::PUT_IMAGE,
                    image.series.to_string(),
                    image.shape.to_string(),
                    image.at.as_micros(),
                    &*image.bytes,
                );
            }
            Change::Phase(phase) => self.phase(phase).await?,
            Change::Forget(key) => {
                run!(self, "forget a phase", sql::FORGET_PHASE, key.to_string());
            }
            Change::Transition(transition) => self.transition(transition).await?,
            Change::Acknowledged { alert, by, at } => self.acknowledge(*alert, by, *at).await?,
            Change::Petition(petition) => {
                run!(
                    self,
                    "store a petition",
                    sql::PUT_PETITION,
                    petition.id.to_string(),
                    petition.standing,
                    petition.at.as_micros(),
                    body("write a petition", petition)?,
                );
            }
            Change::Fact(fact) => self.fact(fact).await?,
            Change::Decision(decision) => {
                run!(
                    self,
                    "store a decision",
                    sql::PUT_DECISION,
                    decision.id.to_string(),
                    decision.workload.to_string(),
                    decision.at.as_micros(),
                    body("write a decision", decision)?,
                );
            }
            Change::Rollback(rollback) => self.rollback(rollback).await?,
            Change::Deliver(delivery) => self.deliver(delivery).await?,
            Change::Told(told) => {
                run!(
                    self,
                    "store a told-record",
                    sql::PUT_TOLD,
                    told.receiver.as_str(),
                    told.alert.to_string(),
                    told.status == Status::Firing,
                    told.at.as_micros(),
                    body("write a told-record", told)?,
                );
            }
            Change::Attempt(attempt) => self.attempt(attempt).await?,
            Change::Read { role, seq } => {
                let (role, seq) = (role.as_str(), whole(seq.0));
                run!(self, "move a cursor", sql::MOVE_CURSOR, role, seq);
                run!(self, "trim the journal", sql::TRIM_JOURNAL, role);
            }
            // Kept as one segment, posted to inboxes, or answered at once.
            Change::Keep(_)
            | Change::Trial(_)
            | Change::Tried(_)
            | Change::Need(_)
            | Change::Notice(_) => {}
        }
        Ok(())
    }

    async fn phase(&mut self, phase: &Phase) -> Result<(), StoreError> {
        run!(
            self,
            "store a phase",
            sql::PUT_PHASE,
            phase.key.to_string(),
            phase.alert.map(|alert| alert.to_string()),
            body("write a phase", phase)?,
        );
        Ok(())
    }

    async fn transition(&mut self, transition: &Transition) -> Result<(), StoreError> {
        let alert = match self.alert(transition.alert).await? {
            Some(mut alert) => {
                alert.apply(transition);
                alert
            }
            None => Alert::open(transition),
        };
        self.put_alert(&alert).await?;
        run!(
            self,
            "store a transition",
            sql::ADD_TRANSITION,
            transition.alert.to_string(),
            body("write a transition", transition)?,
        );
        Ok(())
    }

    /// The row of an alert. One that cannot be read is begun anew from its next transition: a damaged
    /// row must not keep everything else from being committed.
    async fn alert(&mut self, id: AlertId) -> Result<Option<Alert>, StoreError> {
        let text: Option<String> = sqlx::query_scalar(sql::ALERT)
            .bind(id.to_string())
            .fetch_optional(&mut *self.connection)
            .await
            .map_err(failed("read an alert"))?;
        let Some(text) = text else { return Ok(None) };
        match from_json(&text) {
            Ok(alert) => Ok(Some(alert)),
            Err(error) => {
                tracing::error!(alert = %id, %error, "the stored alert {id} cannot be read; it begins anew");
                Ok(None)
            }
        }
    }

    async fn put_alert(&mut self, alert: &Alert) -> Result<(), StoreError> {
        run!(
            self,
            "store an alert",
            sql::PUT_ALERT,
            alert.id.to_string(),
            alert.key.tenant.0.as_str(),
            alert.state.as_str(),
            alert.severity.as_str(),
            alert.at.as_micros(),
            body("write an alert", alert)?,
        );
        Ok(())
    }

    async fn acknowledge(
        &mut self,
        id: AlertId,
        by: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let acknowledged = Some((by.to_owned(), at));
        if let Some(mut alert) = self.alert(id).await? {
            alert.acknowledged.clone_from(&acknowledged);
            alert.at = alert.at.max(at);
            self.put_alert(&alert).await?;
        }
        let phases: Vec<String> = sqlx::query_scalar(sql::PHASES_OF_ALERT)
            .bind(id.to_string())
            .fetch_all(&mut *self.connection)
            .await
            .map_err(failed("read the phase of an alert"))?;
        for text in phases {
            let mut phase: Phase = from_json(&text).map_err(|why| corrupt("phase", why))?;
            phase.acknowledged.clone_from(&acknowledged);
            self.phase(&phase).await?;
        }
        Ok(())
    }

    async fn fact(&mut self, fact: &Fact) -> Result<(), StoreError> {
        let target = fact.target.to_string();
        let baked = match &fact.what {
            What::Baked { template, .. } => Some(template.to_string()),
            What::FirstSeen { .. }
            | What::Began(_)
            | What::Done(_)
            | What::Failed(_)
            | What::Proven { .. }
            | What::Blamed { .. }
            | What::Quarantined { .. }
            | What::Released { .. } => None,
        };
        if let Some(template) = &baked {
            let target = target.as_str();
            run!(self, "replace a fact", sql::FORGET_BAKED, target, template);
        }
        let body = body("write a fact", fact)?;
        run!(self, "store a fact", sql::ADD_FACT, target, baked, body);
        Ok(())
    }

    async fn rollback(&mut self, rollback: &Rollback) -> Result<(), StoreError> {
        run!(
            self,
            "store a rollback",
            sql::PUT_ROLLBACK,
            rollback.id.to_string(),
            rollback.decision.to_string(),
            !rollback.stage.terminal(),
            rollback.requested.as_micros(),
            rollback.ended.map(Timestamp::as_micros),
            body("write a rollback", rollback)?,
        );
        Ok(())
    }

    async fn deliver(&mut self, delivery: &Delivery) -> Result<(), StoreError> {
        run!(
            self,
            "store a delivery",
            sql::ADD_DELIVERY,
            delivery.id.to_string(),
            delivery.receiver.as_str(),
            delivery.message.thread.to_string(),
            whole(delivery.order),
            delivery.created.as_micros(),
            delivery.state.as_str(),
            delivery.due.as_micros(),
            delivery.attempts,
            body("write a delivery", delivery)?,
        );
        Ok(())
    }

    async fn attempt(&mut self, attempt: &Attempt) -> Result<(), StoreError> {
        let delivery = attempt.delivery.to_string();
        let updated = run!(
            self,
            "move a delivery on",
            sql::TRY_DELIVERY,
            delivery.as_str(),
            attempt.state.as_str(),
            attempt.due.as_micros(),
            attempt.number,
        );
        if updated.rows_affected() > 0 {
            run!(
                self,
                "store an attempt",
                sql::PUT_ATTEMPT,
                delivery,
                attempt.number,
                body("write an attempt", attempt)?,
            );
        }
        Ok(())
    }
}

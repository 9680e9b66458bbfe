//! One flight: send once, and see to it that this is recorded.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::domain::change::{Batch, Change, Fence};
use crate::domain::delivery::{Attempt, Delivery, DeliveryState};
use crate::domain::id::{BatchId, Digest, Name};
use crate::domain::outbox::RetrySchedule;
use crate::domain::time::{Spelled, Timestamp};
use crate::notify::{Sender, Sent};
use crate::store::{CommitError, Store};
use crate::telemetry::metrics::DeliveryLabels;

/// A sender has its own deadline; this one is for a sender that breaks its promise.
const SEND_DEADLINE: Duration = Duration::from_secs(15);
/// Pauses between tries to record an attempt double from here …
pub(super) const RECORD_FIRST: Duration = Duration::from_millis(100);
/// … to here: the store's absence is noticed soon, and its return too.
const RECORD_CAP: Duration = Duration::from_secs(5);

/// What a flight needs to end by itself.
pub(super) struct Recorder {
    pub(super) store: Arc<dyn Store>,
    pub(super) fence: Fence,
    pub(super) clock: Clock,
    pub(super) schedule: RetrySchedule,
}

/// The end of a flight.
pub(super) enum Landed {
    /// The attempts are committed.
    Recorded(Vec<Tried>),
    /// They cannot be: a newer term has committed.
    Fenced,
}

/// One delivery after a try.
pub(super) struct Tried {
    pub(super) delivery: Delivery,
    pub(super) attempt: Attempt,
    pub(super) outcome: Outcome,
    pub(super) quiet_until: Option<Timestamp>,
}

/// How a try ended; the label of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Delivered,
    Retried,
    Refused,
    Cancelled,
    GivenUp,
}

// === impl Outcome ===

impl Outcome {
    pub(super) const ALL: [Self; 5] = [
        Self::Delivered,
        Self::Retried,
        Self::Refused,
        Self::Cancelled,
        Self::GivenUp,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retried => "retried",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
            Self::GivenUp => "given-up",
        }
    }

    const fn state(self) -> DeliveryState {
        match self {
            Self::Delivered => DeliveryState::Delivered,
            Self::Retried => DeliveryState::Due,
            Self::Refused | Self::GivenUp => DeliveryState::GivenUp,
            Self::Cancelled => DeliveryState::Cancelled,
        }
    }

    pub(super) fn labels(self, receiver: &Name) -> DeliveryLabels {
        DeliveryLabels {
            receiver: receiver.to_string(),
            outcome: self.as_str().to_owned(),
        }
    }
}

// === impl Recorder ===

impl Recorder {
    /// Sends once and records how it went.
    pub(super) async fn carry(
        &self,
        sender: Option<Arc<dyn Sender>>,
        delivery: Delivery,
    ) -> Landed {
        let began = self.clock.now();
        let sent = match sender {
            Some(sender) => {
                let sending = sender.send(&delivery, began);
                match tokio::time::timeout(SEND_DEADLINE, sending).await {
                    Ok(sent) => sent,
                    Err(_) => again(format!("timed out after {}", Spelled(SEND_DEADLINE))),
                }
            }
            None => again(format!(
                "receiver {} is not in the configuration",
                delivery.receiver
            )),
        };
        let tried = self.judge(delivery, sent, began);
        let id = Digest::of(&[
            b"attempt".as_slice(),
            &tried.delivery.id.0.0,
            &tried.attempt.number.to_le_bytes(),
        ]);
        self.record(BatchId(id), vec![tried]).await
    }

    /// Records that an episode was over before it left.
    pub(super) async fn cancel(&self, episode: Vec<Delivery>) -> Landed {
        let now = self.clock.now();
        let mut id = vec![b"cancel".to_vec()];
        id.extend(episode.iter().map(|delivery| delivery.id.0.0.to_vec()));
        let cancelled = episode.into_iter().map(|delivery| Tried {
            attempt: Attempt {
                delivery: delivery.id,
                number: delivery.attempts,
                at: now,
                answer: "cancelled: it was over before it was sent".into(),
                state: DeliveryState::Cancelled,
                due: delivery.due,
            },
            delivery,
            outcome: Outcome::Cancelled,
            quiet_until: None,
        });
        let cancelled = cancelled.collect();
        self.record(BatchId(Digest::of(&id)), cancelled).await
    }

    fn judge(&self, delivery: Delivery, sent: Sent, began: Timestamp) -> Tried {
        let now = self.clock.now();
        let schedule = &self.schedule;
        let number = delivery.attempts + 1;
        let (outcome, answer, asked) = match sent {
            Sent::Taken(answer) => (Outcome::Delivered, answer, None),
            Sent::Refused(answer) => (Outcome::Refused, answer, None),
            Sent::Again { why, after } => {
                if schedule.exhausted(delivery.created, number, now) {
                    let age = Spelled(Duration::from_secs(now.since(delivery.created).as_secs()));
                    (
                        Outcome::GivenUp,
                        format!("given up after {age}: {why}").into(),
                        None,
                    )
                } else {
                    (Outcome::Retried, why, after)
                }
            }
        };
        let due = match outcome {
            Outcome::Retried => now + schedule.pause(delivery.id, number, asked),
            Outcome::Delivered | Outcome::Refused | Outcome::Cancelled | Outcome::GivenUp => {
                delivery.due
            }
        };
        Tried {
            attempt: Attempt {
                delivery: delivery.id,
                number,
                at: began,
                answer,
                state: outcome.state(),
                due,
            },
            delivery,
            outcome,
            quiet_until: asked.map(|asked| now + asked.min(schedule.asked_cap)),
        }
    }

    /// Commits attempts, however long it takes: the same batch again until the store has answered.
    async fn record(&self, id: BatchId, tried: Vec<Tried>) -> Landed {
        let attempts = tried.iter();
        let batch = Batch {
            id,
            at: self.clock.now(),
            changes: attempts
                .map(|tried| Change::Attempt(tried.attempt.clone()))
                .collect(),
        };
        let mut pause = RECORD_FIRST;
        loop {
            match self.store.commit(&batch, self.fence).await {
                Ok(_) => return Landed::Recorded(tried),
                Err(CommitError::Fenced) => return Landed::Fenced,
                Err(error @ (CommitError::Ambiguous(_) | CommitError::Unavailable(_))) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, "failed to record an attempt; trying again");
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RECORD_CAP);
        }
    }
}

fn again(why: String) -> Sent {
    Sent::Again {
        why: why.into(),
        after: None,
    }
}

// === impl Tried ===

impl Tried {
    pub(super) fn narrate(&self) {
        let receiver = &self.delivery.receiver;
        let delivery = self.delivery.id;
        let status = self.delivery.message.status.as_str();
        let Attempt { number, answer, .. } = &self.attempt;
        match self.outcome {
            Outcome::Delivered => {
                tracing::info!(%receiver, %delivery, number, "told {receiver}: {status}");
            }
            Outcome::Cancelled => {
                tracing::info!(%receiver, %delivery, "{status} for {receiver} {answer}");
            }
            Outcome::Retried => {
                tracing::warn!(%receiver, %delivery, number, "{receiver} was not told ({answer}); trying again");
            }
            Outcome::Refused => {
                tracing::error!(%receiver, %delivery, number, "{receiver} refused to be told: {answer}");
            }
            Outcome::GivenUp => {
                tracing::error!(%receiver, %delivery, number, "{receiver} could not be told: {answer}");
            }
        }
    }
}

//! The dispatcher: carries deliveries from the outbox to their receivers, while this process leads.
//!
//! ```text
//! hint, timer ─► scan ─► outbox (order, cancelling) ─► send ─► record the attempt ─► outbox
//! ```
//!
//! A try is recorded under the teller's fence before its thread goes on, and a message is not sent again
//! while its record is still being written. If the process dies between the two, the next one sends it again under
//! the same id: at least once, with a name. A sender that is slow, or a store that does not answer, holds
//! up its own thread of its own receiver only. Deliberately absent: telling others of what was given up.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::domain::change::{Batch, Change, Fence, Role};
use crate::domain::delivery::{Attempt, Delivery, DeliveryState};
use crate::domain::id::{BatchId, Digest, Name};
use crate::domain::outbox::{Outbox, RetrySchedule};
use crate::domain::rollback::Term;
use crate::domain::spec::{Receiver, Spec};
use crate::domain::time::{Spelled, Timestamp};
use crate::notify::{Sender, Sent};
use crate::store::{CommitError, Store};
use crate::telemetry::metrics::{DeliveryLabels, Metrics};

/// The outbox is read at least this often, should a hint ever be lost.
const SCAN_EVERY: Duration = Duration::from_secs(30);
/// And again after this long if it could not be read.
const SCAN_AGAIN: Duration = Duration::from_secs(1);
/// A sender has its own deadline; this one is for a sender that breaks its promise.
const SEND_DEADLINE: Duration = Duration::from_secs(15);
/// Pauses between tries to record an attempt double from here …
const RECORD_FIRST: Duration = Duration::from_millis(100);
/// … to here: the store's absence is noticed soon, and its return too.
const RECORD_CAP: Duration = Duration::from_secs(5);
/// What is in flight when the daemon is asked to stop may land within this; the daemon has 20 s in all.
const GRACE: Duration = Duration::from_secs(5);

/// Makes the sender of a receiver; [`crate::notify::build`] outside of tests.
pub type Build = Arc<dyn Fn(&Receiver) -> Arc<dyn Sender> + Send + Sync>;

/// The loop, in its parts.
pub struct Dispatcher {
    /// Where the outbox is.
    pub store: Arc<dyn Store>,
    /// The term in which this process leads: the teller's.
    pub term: Term,
    /// What time it is.
    pub clock: Clock,
    /// Where to count.
    pub metrics: Arc<Metrics>,
    /// The configuration in force.
    pub specs: watch::Receiver<Arc<Spec>>,
    /// Notified after each commit that holds deliveries.
    pub hint: Arc<Notify>,
    /// Makes senders.
    pub build: Build,
    /// When failed deliveries are tried again.
    pub schedule: RetrySchedule,
}

/// Why the dispatcher ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to.
    Stopped,
    /// Somebody else leads in a newer term.
    Fenced,
}

struct Running {
    recorder: Arc<Recorder>,
    parts: Dispatcher,
    outbox: Outbox,
    senders: BTreeMap<Name, (Arc<Receiver>, Arc<dyn Sender>)>,
    flights: FuturesUnordered<BoxFuture<'static, Landed>>,
    scan_at: Instant,
}

/// What a flight needs to end by itself.
struct Recorder {
    store: Arc<dyn Store>,
    fence: Fence,
    clock: Clock,
    schedule: RetrySchedule,
}

/// The end of a flight.
enum Landed {
    /// The attempts are committed.
    Recorded(Vec<Tried>),
    /// They cannot be: a newer term has committed.
    Fenced,
}

/// One delivery after a try.
struct Tried {
    delivery: Delivery,
    attempt: Attempt,
    outcome: Outcome,
    quiet_until: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Delivered,
    Retried,
    Refused,
    Cancelled,
    GivenUp,
}

// === impl Outcome ===

impl Outcome {
    const ALL: [Self; 5] = [
        Self::Delivered,
        Self::Retried,
        Self::Refused,
        Self::Cancelled,
        Self::GivenUp,
    ];

    const fn as_str(self) -> &'static str {
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

    fn labels(self, receiver: &Name) -> DeliveryLabels {
        DeliveryLabels {
            receiver: receiver.to_string(),
            outcome: self.as_str().to_owned(),
        }
    }
}

// === impl Dispatcher ===

impl fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher")
            .field("term", &self.term)
            .finish_non_exhaustive()
    }
}

impl Dispatcher {
    /// Runs until it is asked to stop, or until somebody else leads.
    pub async fn run(self, stop: CancellationToken) -> Ended {
        let fence = Fence {
            role: Role::Teller,
            term: self.term,
        };
        let recorder = Arc::new(Recorder {
            store: Arc::clone(&self.store),
            fence,
            clock: self.clock.clone(),
            schedule: self.schedule,
        });
        let mut running = Running {
            recorder,
            outbox: Outbox::new(self.term),
            parts: self,
            senders: BTreeMap::new(),
            flights: FuturesUnordered::new(),
            scan_at: Instant::now(),
        };
        running.equip();
        let ended = running.turn(&stop).await;
        running.parts.metrics.outbox_depth.set(0);
        running.parts.metrics.outbox_oldest_age.set(0.0);
        ended
    }
}

// === impl Running ===

impl Running {
    async fn turn(&mut self, stop: &CancellationToken) -> Ended {
        loop {
            if Instant::now() >= self.scan_at {
                self.scan().await;
            }
            let now = self.parts.clock.now();
            self.start(now);
            self.measure(now);
            let wake = self.wake(now);
            // Not biased: a flood of hints must not keep flights from landing, nor the reverse.
            tokio::select! {
                () = stop.cancelled() => return self.land_all().await,
                () = self.parts.hint.notified() => self.scan_at = Instant::now(),
                () = tokio::time::sleep_until(wake) => {}
                () = changed(&mut self.parts.specs) => self.equip(),
                Some(landed) = self.flights.next() => {
                    if self.land(landed) == Some(Ended::Fenced) {
                        return Ended::Fenced;
                    }
                }
            }
        }
    }

    /// Reads the outbox whole.
    async fn scan(&mut self) {
        let pause = match self.parts.store.due().await {
            Ok(due) => {
                self.outbox.load(due);
                SCAN_EVERY
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "failed to read the outbox; trying again");
                SCAN_AGAIN
            }
        };
        self.scan_at = Instant::now() + pause;
    }

    /// Makes senders of the receivers in force; those that did not change keep theirs.
    fn equip(&mut self) {
        let spec = Arc::clone(&self.parts.specs.borrow_and_update());
        let mut before = std::mem::take(&mut self.senders);
        for (name, receiver) in &spec.receivers {
            let sender = match before.remove(name) {
                Some((known, sender)) if known == *receiver => sender,
                Some(_) | None => (self.parts.build)(receiver),
            };
            for outcome in Outcome::ALL {
                let labels = outcome.labels(name);
                let metrics = &self.parts.metrics;
                metrics.deliveries.get_or_create(&labels).inc_by(0);
            }
            self.senders
                .insert(name.clone(), (Arc::clone(receiver), sender));
        }
    }

    fn start(&mut self, now: Timestamp) {
        for episode in self.outbox.cancel() {
            let recorder = Arc::clone(&self.recorder);
            self.flights
                .push(Box::pin(async move { recorder.cancel(episode).await }));
        }
        for delivery in self.outbox.next(now) {
            let recorder = Arc::clone(&self.recorder);
            let sender = self.senders.get(&delivery.receiver);
            let sender = sender.map(|(_, sender)| Arc::clone(sender));
            self.flights.push(Box::pin(
                async move { recorder.carry(sender, delivery).await },
            ));
        }
    }

    fn measure(&self, now: Timestamp) {
        let depth = i64::try_from(self.outbox.depth()).unwrap_or(i64::MAX);
        let age = self.outbox.oldest().map(|oldest| now.since(oldest));
        let metrics = &self.parts.metrics;
        metrics.outbox_depth.set(depth);
        metrics
            .outbox_oldest_age
            .set(age.unwrap_or_default().as_secs_f64());
    }

    fn wake(&self, now: Timestamp) -> Instant {
        let due = self.outbox.next_due();
        let due = due.map(|due| Instant::now() + due.since(now).min(SCAN_EVERY));
        due.map_or(self.scan_at, |due| due.min(self.scan_at))
    }

    fn land(&mut self, landed: Landed) -> Option<Ended> {
        let tried = match landed {
            Landed::Fenced => {
                tracing::warn!("somebody else leads in a newer term; the dispatcher stops");
                return Some(Ended::Fenced);
            }
            Landed::Recorded(tried) => tried,
        };
        for tried in &tried {
            self.outbox.settle(&tried.delivery, &tried.attempt);
            if let Some(until) = tried.quiet_until {
                self.outbox.quiet(&tried.delivery.receiver, until);
            }
            self.count(tried);
            tried.narrate();
        }
        None
    }

    fn count(&self, tried: &Tried) {
        let metrics = &self.parts.metrics;
        let labels = tried.outcome.labels(&tried.delivery.receiver);
        metrics.deliveries.get_or_create(&labels).inc();
        if tried.outcome == Outcome::Delivered {
            let latency = self.parts.clock.now().since(tried.delivery.created);
            metrics.notification_latency.observe(latency.as_secs_f64());
        }
    }

    /// Starts nothing more, and waits a while for what is in flight.
    async fn land_all(&mut self) -> Ended {
        let deadline = Instant::now() + GRACE;
        loop {
            match tokio::time::timeout_at(deadline, self.flights.next()).await {
                Ok(Some(landed)) => {
                    if self.land(landed) == Some(Ended::Fenced) {
                        return Ended::Fenced;
                    }
                }
                Ok(None) => return Ended::Stopped,
                Err(_) => {
                    let left = self.flights.len();
                    tracing::warn!(
                        left,
                        "stopped with {left} deliveries in flight; they are sent again after the start"
                    );
                    return Ended::Stopped;
                }
            }
        }
    }
}

/// Waits for another configuration; for ever, if there will be none.
async fn changed(specs: &mut watch::Receiver<Arc<Spec>>) {
    if specs.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

// === impl Recorder ===

impl Recorder {
    /// Sends once and records how it went.
    async fn carry(&self, sender: Option<Arc<dyn Sender>>, delivery: Delivery) -> Landed {
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
    async fn cancel(&self, episode: Vec<Delivery>) -> Landed {
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
    fn narrate(&self) {
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

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

mod flight;
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
use crate::domain::change::{Fence, Role};
use crate::domain::id::Name;
use crate::domain::outbox::{Outbox, RetrySchedule};
use crate::domain::rollback::Term;
use crate::domain::spec::{Receiver, Spec};
use crate::domain::time::Timestamp;
use crate::notify::Sender;
use crate::store::Store;
use crate::telemetry::metrics::Metrics;

use flight::{Landed, Outcome, Recorder, Tried};

/// The outbox is read at least this often, should a hint ever be lost.
const SCAN_EVERY: Duration = Duration::from_secs(30);
/// And again after this long if it could not be read.
const SCAN_AGAIN: Duration = Duration::from_secs(1);
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
                for episode in self.outbox.load(due) {
                    let recorder = Arc::clone(&self.recorder);
                    let cancelling = async move { recorder.cancel(episode).await };
                    self.flights.push(Box::pin(cancelling));
                }
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

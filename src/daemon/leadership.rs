//! Whether this process leads. Telling and acting are the leader's alone; all others ask here, and ask
//! again right before they act: a leadership has an end that needs no message.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::cluster::call;
use crate::cluster::lease::{Action, Candidate, Event, LeaseTimes, Moment};
use crate::cluster::lease_object::LeaseObject;
use crate::domain::rollback::Term;
use crate::telemetry::metrics::Metrics;

/// Whether this process leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// Another one does, or nobody, or nobody knows.
    Follows,
    /// This one does.
    Leads {
        /// In which term.
        term: Term,
        /// Until then, unless it is prolonged.
        until: Instant,
    },
}

// === impl Leadership ===

impl Leadership {
    /// The term, if this process leads now and for at least `margin` more.
    #[must_use]
    pub fn term(&self, margin: std::time::Duration) -> Option<Term> {
        match self {
            Self::Leads { term, until } if Instant::now() + margin < *until => Some(*term),
            Self::Leads { .. } | Self::Follows => None,
        }
    }
}

/// Without a cluster there is nobody else: a lone daemon leads. The store's claim of its roles gives the
/// term that counts.
#[must_use]
pub fn alone() -> watch::Receiver<Leadership> {
    let until = Instant::now() + std::time::Duration::from_secs(100 * 365 * 86_400);
    let (_, leadership) = watch::channel(Leadership::Leads {
        term: Term(1),
        until,
    });
    leadership
}

/// A name that belongs to this process alone: a restart on the same host is another candidate.
#[must_use]
pub fn identity(host: &str, clock: &Clock) -> String {
    format!(
        "{host}_{}_{:x}",
        std::process::id(),
        clock.now().as_micros()
    )
}

/// The loop that holds the lease, or tries to.
pub struct Election {
    /// The lease.
    pub lease: LeaseObject,
    /// This process's own name ([`identity`]).
    pub identity: String,
    /// How long things take.
    pub times: LeaseTimes,
    /// For the times written on the object, which nobody compares.
    pub clock: Clock,
    /// Whether this process sees well enough to lead; while it does not, it gives the lease up.
    pub fit: watch::Receiver<bool>,
    /// Cancelled when all that the leader had begun is over: only then the lease is handed over.
    pub drained: CancellationToken,
    /// The gauge of the leader.
    pub metrics: Arc<Metrics>,
    /// Who is told.
    pub out: watch::Sender<Leadership>,
}

/// What an election does between two steps.
enum Next {
    Go(Event),
    Unfit,
    Stop,
}

// === impl Election ===

impl Election {
    /// Runs until `stop`; then says that it follows, waits for what is under way, and releases the lease.
    pub async fn run(mut self, stop: CancellationToken) {
        let epoch = Instant::now();
        let mut candidate = Candidate::new(self.identity.clone(), self.times);
        let mut event = Event::Wake;
        loop {
            if !*self.fit.borrow_and_update() {
                self.resign(&mut candidate, epoch).await;
                let fit = async { self.fit.wait_for(|fit| *fit).await.map(|_| ()) };
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    // Nobody can say any more whether it is fit: it stays a follower.
                    known = fit => if known.is_err() { return stop.cancelled().await },
                }
                event = Event::Wake;
            }
            let action = candidate.step(event, epoch.elapsed());
            self.publish(&candidate, epoch);
            event = match self.carry_out(action, &candidate, epoch, &stop).await {
                Next::Go(event) => event,
                // The next turn gives the lease up and waits.
                Next::Unfit => Event::Wake,
                Next::Stop => break,
            };
        }
        self.say(Leadership::Follows);
        if let Some(held) = candidate.held(epoch.elapsed()) {
            tokio::select! {
                () = self.drained.cancelled() => {}
                () = tokio::time::sleep_until(epoch + held.until) => {}
            }
        }
        self.resign(&mut candidate, epoch).await;
    }

    async fn carry_out(
        &mut self,
        action: Action,
        candidate: &Candidate,
        epoch: Instant,
        stop: &CancellationToken,
    ) -> Next {
        let end = candidate
            .held(epoch.elapsed())
            .map(|held| epoch + held.until);
        let out = self.out.clone();
        let gauge = self.metrics.leader.clone();
        let expire = move || {
            out.send_replace(Leadership::Follows);
            gauge.set(0);
            tracing::warn!("this process no longer leads: the lease could not be renewed in time");
        };
        match action {
            Action::Wait(time) => {
                let waited = until_end(tokio::time::sleep(time), end, expire);
                tokio::select! {
                    biased;
                    () = stop.cancelled() => Next::Stop,
                    Ok(_) = self.fit.wait_for(|fit| !fit) => Next::Unfit,
                    () = waited => Next::Go(Event::Wake),
                }
            }
            Action::Read => {
                let read = self.lease.read(self.times.call);
                Next::Go(match until_end(read, end, expire).await {
                    Ok(record) => Event::Read(record),
                    Err(error) => {
                        tracing::debug!(error = call::chain(&error), "the lease cannot be read");
                        Event::ReadFailed
                    }
                })
            }
            Action::Write(proposal) => {
                let asked: Moment = epoch.elapsed();
                let write = self
                    .lease
                    .write(&proposal, self.clock.now(), self.times.call);
                let written = until_end(write, end, expire).await;
                Next::Go(Event::Wrote { asked, written })
            }
        }
    }

    fn publish(&self, candidate: &Candidate, epoch: Instant) {
        self.say(match candidate.held(epoch.elapsed()) {
            Some(held) => Leadership::Leads {
                term: held.term,
                until: epoch + held.until,
            },
            None => Leadership::Follows,
        });
    }

    fn say(&self, now: Leadership) {
        let before = self.out.send_replace(now);
        match (before, now) {
            (Leadership::Follows, Leadership::Leads { term, .. }) => {
                self.metrics.leader.set(1);
                tracing::info!(term = term.0, "this process leads, in term {}", term.0);
            }
            (Leadership::Leads { term, .. }, Leadership::Follows) => {
                self.metrics.leader.set(0);
                tracing::info!(term = term.0, "this process no longer leads");
            }
            (Leadership::Follows, Leadership::Follows)
            | (Leadership::Leads { .. }, Leadership::Leads { .. }) => {}
        }
    }

    async fn resign(&mut self, candidate: &mut Candidate, epoch: Instant) {
        self.say(Leadership::Follows);
        if let Some(proposal) = candidate.resign(epoch.elapsed()) {
            let written = self
                .lease
                .write(&proposal, self.clock.now(), self.times.call)
                .await;
            tracing::info!(?written, "the lease is given up");
        }
    }
}

/// Awaits a call or a pause, and says so at the moment when the leadership ends in the midst of it.
async fn until_end<T>(
    future: impl Future<Output = T>,
    end: Option<Instant>,
    expire: impl FnOnce(),
) -> T {
    let Some(end) = end else {
        return future.await;
    };
    tokio::pin!(future);
    tokio::select! {
        // Biased: an answer that is there counts before the end is told.
        biased;
        value = &mut future => return value,
        () = tokio::time::sleep_until(end) => expire(),
    }
    future.await
}

#[cfg(test)]
#[cfg(feature = "demo")]
#[path = "leadership_tests.rs"]
mod tests;

//! Keeps the store tidy: forgets what is old once a day, brings samples to rest every few minutes.
//!
//! The calendar only rings; the work is done in this task, one job at a time. A bell that rings while the
//! same work is still to be done adds nothing, so jobs neither overlap nor pile up. Both jobs may be run
//! again at any time, or be cut off by the end of the process: they work in transactions of their own.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

use super::tasks::Tasks;
use crate::clock::Clock;
use crate::store::{Retention, Store};

/// Every day at three o'clock UTC: seconds, minutes, hours, day, month, weekday.
pub const RETAIN_AT: &str = "0 0 3 * * *";
/// Every ten minutes: what is read piecemeal by a page stays under a few thousand pieces.
pub const COMPACT_AT: &str = "0 */10 * * * *";

/// Rings at most once for each job while the janitor is busy.
const BELLS: usize = 1;

/// When the jobs are done, as cron expressions in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// Forgetting.
    pub retain: &'static str,
    /// Bringing samples to rest.
    pub compact: &'static str,
}

impl Default for Calendar {
    fn default() -> Self {
        Self {
            retain: RETAIN_AT,
            compact: COMPACT_AT,
        }
    }
}

/// What it needs.
#[derive(Clone)]
pub struct Janitor {
    /// What is kept tidy.
    pub store: Arc<dyn Store>,
    /// The time by which age is told.
    pub clock: Clock,
    /// How long things are kept, as configured now.
    pub retention: watch::Receiver<Retention>,
    /// When.
    pub calendar: Calendar,
}

// === impl Janitor ===

impl Janitor {
    /// Starts the task.
    pub fn start(self, tasks: &Tasks) {
        let stop = tasks.stop().clone();
        tasks.spawn("janitor", async move {
            tokio::select! {
                biased; // A stop is not kept waiting by work that can be done another time.
                () = stop.cancelled() => {}
                ended = self.run() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "the calendar of the janitor does not work");
                    }
                }
            }
        });
    }

    async fn run(&self) -> Result<(), JobSchedulerError> {
        let (retain, mut retain_rings) = mpsc::channel(BELLS);
        let (compact, mut compact_rings) = mpsc::channel(BELLS);
        let scheduler = JobScheduler::new().await?;
        scheduler.add(bell(self.calendar.retain, retain)?).await?;
        scheduler.add(bell(self.calendar.compact, compact)?).await?;
        let _bells = Bells::ring(scheduler).await?;
        loop {
            tokio::select! {
                Some(()) = retain_rings.recv() => self.retain().await,
                Some(()) = compact_rings.recv() => self.compact().await,
                else => return Ok(()),
            }
        }
    }

    /// Forgets what is older than it has to be kept.
    pub async fn retain(&self) {
        let retention = *self.retention.borrow();
        match self.store.retain(retention, self.clock.now()).await {
            Ok(gone) => tracing::info!(gone, "forgot {gone} old rows of the store"),
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "could not forget old rows of the store"
            ),
        }
    }

    /// Brings samples to rest.
    pub async fn compact(&self) {
        match self.store.compact().await {
            Ok(moved) => tracing::debug!(moved, "brought {moved} segments of samples to rest"),
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "could not bring samples to rest"
            ),
        }
    }
}

/// A job that rings; if a ring is not yet heard, there is nothing to add.
fn bell(at: &'static str, rings: mpsc::Sender<()>) -> Result<Job, JobSchedulerError> {
    Job::new(at, move |_, _| {
        if rings.try_send(()).is_err() {
            tracing::debug!("the janitor is still at the last job");
        }
    })
}

/// The scheduler's own task, which would go on after its owner; stopped when this is dropped.
struct Bells(JobScheduler);

impl Bells {
    async fn ring(scheduler: JobScheduler) -> Result<Self, JobSchedulerError> {
        scheduler.start().await?;
        Ok(Self(scheduler))
    }
}

impl Drop for Bells {
    fn drop(&mut self) {
        if let Ok(scheduler) = self.0.scheduler.try_read() {
            scheduler
                .shutdown
                .store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::daemon::tasks::End;
    use crate::domain::change::{Batch, Change, Fence, Role};
    use crate::domain::id::{BatchId, Digest};
    use crate::domain::rollback::Term;
    use crate::domain::sample::Sample;
    use crate::store::SampleQuery;
    use crate::store::memory::Memory;
    use crate::wire::fixture::{self, at};

    const RETENTION: Retention = Retention {
        samples: Duration::from_secs(60),
        alerts: Duration::from_secs(60),
    };

    async fn store_with_samples() -> Arc<Memory> {
        let store = Arc::new(Memory::new());
        let samples = [0, 100].map(|n| Change::Keep(fixture::sample("api", n)));
        let batch = Batch {
            id: BatchId(Digest::of(&["samples"])),
            at: at(0),
            changes: samples.into(),
        };
        let fence = Fence {
            role: Role::Judge,
            term: Term(1),
        };
        store.commit(&batch, fence).await.unwrap();
        store
    }

    async fn kept(store: &Memory) -> Vec<Sample> {
        let query = SampleQuery {
            series: "acme/api".parse().unwrap(),
            from: at(-1),
            to: at(1000),
            limit: 10,
        };
        store.samples(&query).await.unwrap()
    }

    #[tokio::test]
    async fn what_is_old_is_forgotten_when_the_calendar_rings() {
        let store = store_with_samples().await;
        let (_keep, retention) = watch::channel(RETENTION);
        let tasks = Tasks::new(CancellationToken::new());
        let janitor = Janitor {
            store: Arc::clone(&store) as Arc<dyn Store>,
            clock: Clock::set(at(110)),
            retention,
            calendar: Calendar {
                retain: "* * * * * *",
                ..Calendar::default()
            },
        };
        janitor.start(&tasks);
        let forgotten = async {
            while kept(&store).await.len() > 1 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let within = tokio::time::timeout(Duration::from_secs(20), forgotten);
        within.await.unwrap();
        assert_eq!(kept(&store).await, [fixture::sample("api", 100)]);
        tasks.stop().cancel();
        assert_eq!(tasks.join(Duration::from_secs(5)).await, End::Clean);
    }

    #[tokio::test]
    async fn a_store_that_is_away_is_tried_again_another_time() {
        let store = store_with_samples().await;
        let (change, retention) = watch::channel(Retention {
            samples: Duration::from_secs(3600),
            ..RETENTION
        });
        let janitor = Janitor {
            store: Arc::clone(&store) as Arc<dyn Store>,
            clock: Clock::set(at(110)),
            retention,
            calendar: Calendar::default(),
        };
        store.set_away(true);
        change.send(RETENTION).unwrap();
        janitor.retain().await;
        store.set_away(false);
        assert_eq!(kept(&store).await.len(), 2);
        janitor.retain().await;
        assert_eq!(kept(&store).await.len(), 1);
    }

    #[test]
    fn the_calendar_can_be_read() {
        let Calendar { retain, compact } = Calendar::default();
        for at in [retain, compact] {
            let (rings, _heard) = mpsc::channel(BELLS);
            assert!(bell(at, rings).is_ok(), "{at}");
        }
    }
}

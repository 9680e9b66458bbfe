//! What all looks have in common: one deadline over everything, retries inside it, a time for each stage.

use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::Look;
use crate::domain::id::ProbeId;
use crate::domain::observation::{Fault, Finding, Observation, Stage, Stages};
use crate::domain::sample::{Split, Tally};
use crate::domain::target::Probe;
use crate::domain::time::{Span, Timestamp};
use crate::domain::value::Value;

/// Pause before a retry: long enough for a restarted process to listen again, short enough that two
/// retries fit into a deadline of a second.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Looks once, without a deadline of its own.
pub(super) trait Attempt: Send + Sync + 'static {
    /// Goes as far as it can, and tells `progress` of each stage as it is entered.
    fn attempt(
        &self,
        now: Timestamp,
        progress: &mut Progress,
    ) -> impl Future<Output = Result<Found, Fault>> + Send;

    /// What it means that the deadline passed in this stage.
    fn late(&self, stage: Stage) -> Fault {
        match stage {
            Stage::Resolve => Fault::ResolverSilent("no answer in time".into()),
            _ => Fault::TimedOut,
        }
    }
}

/// What one attempt brought back.
#[derive(Debug)]
pub(super) enum Found {
    /// The target answered as expected.
    Look(Option<Value>),
    /// Events since `since`; without it since now, which is a baseline.
    Counts {
        split: Split<Tally>,
        since: Option<Timestamp>,
    },
}

/// How far an attempt got, and when.
#[derive(Debug)]
pub(super) struct Progress {
    stages: Stages,
    stage: Option<Stage>,
    entered: Instant,
    deadline: Instant,
}

/// An attempt with its probe's deadline and retries around it.
pub(super) struct Framed<A> {
    id: ProbeId,
    timeout: Duration,
    retries: u32,
    attempt: A,
}

// === impl Progress ===

impl Progress {
    fn new(deadline: Instant) -> Self {
        Self {
            // Resolve, connect, TLS, first byte, body, expect.
            stages: Vec::with_capacity(6),
            stage: None,
            entered: Instant::now(),
            deadline,
        }
    }

    /// When the look ends, wherever it stands then.
    pub(super) const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The stage before is over, this one begins.
    pub(super) fn enter(&mut self, stage: Stage) {
        let now = Instant::now();
        if let Some(before) = self.stage.replace(stage) {
            self.stages.push((before, now - self.entered));
        }
        self.entered = now;
    }

    fn close(mut self) -> (Stage, Stages) {
        let reached = self.stage.unwrap_or(Stage::Resolve);
        self.enter(reached);
        (reached, self.stages)
    }
}

// === impl Framed ===

impl<A: Attempt> Framed<A> {
    pub(super) fn new(probe: &Probe, attempt: A) -> Self {
        Self {
            id: probe.id.clone(),
            timeout: probe.timeout,
            retries: probe.retries,
            attempt,
        }
    }

    async fn once(&self, now: Timestamp, deadline: Instant) -> (Result<Found, Fault>, Progress) {
        let mut progress = Progress::new(deadline);
        let attempt = self.attempt.attempt(now, &mut progress);
        let result = match tokio::time::timeout_at(deadline, attempt).await {
            Ok(result) => result,
            Err(_) => Err(self.attempt.late(progress.stage.unwrap_or(Stage::Resolve))),
        };
        (result, progress)
    }
}

#[async_trait]
impl<A: Attempt> Look for Framed<A> {
    async fn look(&self, now: Timestamp) -> Observation {
        let begin = Instant::now();
        let deadline = begin + self.timeout;
        let mut left = self.retries;
        let (result, progress, tried) = loop {
            let tried = Instant::now();
            let (result, progress) = self.once(now, deadline).await;
            let again = left > 0 && result.is_err() && Instant::now() + RETRY_PAUSE < deadline;
            if !again {
                break (result, progress, tried);
            }
            left -= 1;
            tokio::time::sleep(RETRY_PAUSE).await;
        };
        let (reached, stages) = progress.close();
        let latency = tried.elapsed();
        // A timer fires a little late; a look that timed out took its timeout.
        let took = begin.elapsed().min(self.timeout);
        let (result, since) = match result {
            Ok(Found::Look(value)) => (Ok(Finding::Look { latency, value }), None),
            Ok(Found::Counts { split, since }) => (Ok(Finding::Counts(split)), since),
            Err(fault) => (Err(fault), None),
        };
        Observation {
            probe: self.id.clone(),
            span: Span {
                from: since.unwrap_or(now),
                to: now,
            },
            ended: now + took,
            reached,
            stages,
            result,
            took,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::target::{Target, TcpTarget};
    use std::sync::atomic::{AtomicU32, Ordering};

    /// Refuses as often as it is told, then hangs or succeeds.
    struct Scripted {
        refusals: u32,
        then_hangs_at: Option<Stage>,
        tries: AtomicU32,
    }

    impl Attempt for Scripted {
        async fn attempt(&self, _now: Timestamp, progress: &mut Progress) -> Result<Found, Fault> {
            progress.enter(Stage::Connect);
            if self.tries.fetch_add(1, Ordering::SeqCst) < self.refusals {
                return Err(Fault::Refused);
            }
            if let Some(stage) = self.then_hangs_at {
                progress.enter(stage);
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
            Ok(Found::Look(None))
        }
    }

    fn framed(retries: u32, refusals: u32, then_hangs_at: Option<Stage>) -> Framed<Scripted> {
        let probe = Probe {
            id: "acme/api".parse().unwrap(),
            target: Target::Tcp(TcpTarget {
                host: "127.0.0.1".into(),
                port: 1,
            }),
            every: Duration::from_secs(30),
            timeout: Duration::from_secs(1),
            retries,
            labels: Default::default(),
        };
        let attempt = Scripted {
            refusals,
            then_hangs_at,
            tries: AtomicU32::new(0),
        };
        Framed::new(&probe, attempt)
    }

    const NOW: Timestamp = Timestamp::from_secs(1_767_603_600);

    #[tokio::test(start_paused = true)]
    async fn retries_happen_within_one_look_and_the_latency_is_the_last_tries() {
        let observation = framed(2, 2, None).look(NOW).await;
        assert_eq!(
            observation.result,
            Ok(Finding::Look {
                latency: Duration::from_millis(30),
                value: None
            })
        );
        assert_eq!(
            observation.took,
            2 * RETRY_PAUSE + Duration::from_millis(30)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn retries_end_at_the_deadline() {
        let look = framed(100, 100, None);
        let observation = look.look(NOW).await;
        assert_eq!(observation.result, Err(Fault::Refused));
        assert!(observation.took < Duration::from_secs(1));
        assert_eq!(look.attempt.tries.load(Ordering::SeqCst), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_timed_out_took_its_timeout_and_says_where_it_stood() {
        let observation = framed(0, 0, Some(Stage::FirstByte)).look(NOW).await;
        assert_eq!(observation.result, Err(Fault::TimedOut));
        assert_eq!(observation.reached, Stage::FirstByte);
        assert_eq!(observation.took, Duration::from_secs(1));
        assert_eq!(observation.ended, NOW + Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_resolver_that_gives_no_answer_is_not_the_target_s_silence() {
        let observation = framed(0, 0, Some(Stage::Resolve)).look(NOW).await;
        assert!(matches!(observation.result, Err(Fault::ResolverSilent(_))));
    }
}

//! Mechanism: look at a target. One file a kind; each reports an observation, never a verdict.
//!
//! ```text
//!  Probe (domain) ──build──► Look ──look(now)──► Observation: how far, how long, what stopped it
//! ```
//!
//! To add a kind: a target in `domain::target`, a file here with an `attempt::Attempt`, an arm in
//! [`build`]. Deadline, retries and times of the stages come from `attempt`. Deliberately absent:
//! anything that knows whether an observation is good (that is `domain::sight`), and the loop that
//! decides when to look (that is `daemon::prober`; its arithmetic is [`schedule`]).

use std::sync::Arc;

use async_trait::async_trait;

use crate::domain::observation::{Fault, Observation};
use crate::domain::target::{Probe, PrometheusForm, Target};
use crate::domain::time::Timestamp;

mod attempt;
mod connect;
mod secret;
#[cfg(test)]
pub(crate) mod stand_in;

pub mod heartbeat;
pub mod http;
pub mod prometheus;
pub mod tcp;

pub mod means;
pub mod schedule;
pub mod selfcheck;

use attempt::{Attempt, Found, Framed, Progress};
use heartbeat::{Heart, HeartbeatLook};
use means::Means;
use prometheus::Memory;

/// One probe that can look, with whatever it keeps between looks (a client, last counters).
#[async_trait]
pub trait Look: Send + Sync + 'static {
    /// Looks once, within the probe's own deadline. `now` is the begin of the look.
    async fn look(&self, now: Timestamp) -> Observation;
}

/// What a probe must not forget when only its interval, deadline or labels change.
#[derive(Clone, Debug)]
pub enum Kept {
    /// Nothing between two looks.
    Nothing,
    /// The counters at the last look.
    Counters(Memory),
    /// The last beat.
    Heart(Arc<Heart>),
}

impl Kept {
    /// What a probe begins with. `now` is when Holdfast began to watch.
    #[must_use]
    pub fn anew(target: &Target, now: Timestamp) -> Self {
        match target {
            Target::Http(_) | Target::Tcp(_) => Self::Nothing,
            Target::Heartbeat(_) => Self::Heart(Arc::new(Heart::new(now))),
            Target::Prometheus(prometheus) => match &prometheus.form {
                PrometheusForm::Query { .. } => Self::Nothing,
                PrometheusForm::Counters { part, .. } => Self::Counters(Memory::new(part)),
            },
        }
    }
}

/// Makes a probe able to look. `kept` comes from [`Kept::anew`], or from the same target before a reload.
#[must_use]
pub fn build(probe: &Probe, means: &Means, kept: &Kept) -> Arc<dyn Look> {
    match (&probe.target, kept) {
        (Target::Http(target), _) => match http::HttpLook::try_new(target, means) {
            Ok(look) => Arc::new(Framed::new(probe, look)),
            Err(why) => Arc::new(Framed::new(probe, Unable(why))),
        },
        (Target::Tcp(target), _) => Arc::new(Framed::new(probe, tcp::TcpLook::new(target, means))),
        (Target::Prometheus(target), kept) => {
            match prometheus::PrometheusLook::try_new(target, means, kept, probe.timeout) {
                Ok(look) => Arc::new(Framed::new(probe, look)),
                Err(why) => Arc::new(Framed::new(probe, Unable(why))),
            }
        }
        (Target::Heartbeat(target), Kept::Heart(heart)) => {
            Arc::new(HeartbeatLook::new(&probe.id, target, heart.clone()))
        }
        (Target::Heartbeat(_), Kept::Nothing | Kept::Counters(_)) => Arc::new(Framed::new(
            probe,
            Unable("a heartbeat was built without its heart".into()),
        )),
    }
}

/// A probe that cannot look at all: Holdfast's own fault at every look, never the target's.
struct Unable(Arc<str>);

impl Attempt for Unable {
    async fn attempt(&self, _now: Timestamp, _progress: &mut Progress) -> Result<Found, Fault> {
        Err(Fault::Local(self.0.clone()))
    }
}

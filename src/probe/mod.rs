//! Mechanism: look at a target. One file a kind; each reports an observation, never a verdict.

use async_trait::async_trait;

use crate::domain::observation::Observation;
use crate::domain::time::Timestamp;

/// One probe that can look, with whatever it keeps between looks (a client, last counters).
#[async_trait]
pub trait Look: Send + Sync + 'static {
    /// Looks once, within the probe's own deadline. `now` is the begin of the look.
    async fn look(&self, now: Timestamp) -> Observation;
}

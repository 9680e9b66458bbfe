//! Probe kind `tcp`: a connection can be opened. Nothing is sent, nothing is read.

use super::attempt::{Attempt, Found, Progress};
use super::connect::{Endpoint, Resolver};
use super::means::Means;
use crate::domain::observation::Fault;
use crate::domain::target::TcpTarget;
use crate::domain::time::Timestamp;

/// Opens a connection and closes it again.
pub(super) struct TcpLook {
    endpoint: Endpoint,
    resolver: Resolver,
}

// === impl TcpLook ===

impl TcpLook {
    pub(super) fn new(target: &TcpTarget, means: &Means) -> Self {
        Self {
            endpoint: Endpoint::new(&target.host, target.port),
            resolver: means.resolver().clone(),
        }
    }
}

impl Attempt for TcpLook {
    async fn attempt(&self, _now: Timestamp, progress: &mut Progress) -> Result<Found, Fault> {
        let stream = self.endpoint.open(&self.resolver, progress).await?;
        drop(stream);
        Ok(Found::Look(None))
    }
}

//! The Lease object: reads and writes it for the [`Candidate`](super::lease::Candidate).

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};

use super::PlatformError;
use super::call;
use super::kubernetes::FIELD_MANAGER;
use super::lease::{Proposal, Record, Written};
use crate::domain::time::Timestamp;

/// The lease's name, in Holdfast's own namespace.
pub const NAME: &str = "holdfast";

/// The Lease.
pub struct LeaseObject {
    api: Api<Lease>,
    name: String,
    /// As last read or written: what others put on it (labels) is written back.
    last: Option<Lease>,
}

// === impl LeaseObject ===

impl LeaseObject {
    /// The lease of this name in this namespace.
    #[must_use]
    pub fn new(client: kube::Client, namespace: &str, name: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            last: None,
        }
    }

    /// Reads it; none: there is none.
    ///
    /// # Errors
    /// If it cannot be read in this time.
    pub async fn read(&mut self, within: Duration) -> Result<Option<Record>, PlatformError> {
        let read = self.api.get_opt(&self.name);
        self.last = call::within(within, "read the lease", read).await?;
        Ok(self.last.as_ref().map(record))
    }

    /// Writes it, conditional on the version it replaces.
    pub async fn write(
        &mut self,
        proposal: &Proposal,
        now: Timestamp,
        within: Duration,
    ) -> Written {
        let lease = self.made(proposal, now);
        let parameters = PostParams {
            field_manager: Some(FIELD_MANAGER.into()),
            dry_run: false,
        };
        let sent = async {
            match proposal.over {
                Some(_) => self.api.replace(&self.name, &parameters, &lease).await,
                None => self.api.create(&parameters, &lease).await,
            }
        };
        match tokio::time::timeout(within, sent).await {
            Ok(Ok(lease)) => {
                let written = record(&lease);
                self.last = Some(lease);
                Written::Done(written)
            }
            Ok(Err(kube::Error::Api(status))) if (400..500).contains(&status.code) => {
                if !matches!(status.code, 404 | 409) {
                    tracing::warn!(code = status.code, error = %status.message, "the lease cannot be written");
                }
                Written::Refused
            }
            Ok(Err(error)) => {
                tracing::debug!(error = call::chain(&error), "the lease may not be written");
                Written::Unknown
            }
            Err(_) => Written::Unknown,
        }
    }

    fn made(&self, proposal: &Proposal, now: Timestamp) -> Lease {
        let now = jiff::Timestamp::from_microsecond(now.as_micros())
            .ok()
            .map(MicroTime);
        let (metadata, spec) = match (&self.last, &proposal.over) {
            (Some(last), Some(_)) => (last.metadata.clone(), last.spec.clone().unwrap_or_default()),
            _ => (ObjectMeta::default(), LeaseSpec::default()),
        };
        let acquired = if proposal.taking {
            now.clone()
        } else {
            spec.acquire_time
        };
        Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                resource_version: proposal.over.clone(),
                managed_fields: None,
                ..metadata
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(proposal.holder.clone()),
                lease_duration_seconds: i32::try_from(proposal.duration.as_secs()).ok(),
                lease_transitions: i32::try_from(proposal.transitions).ok(),
                acquire_time: acquired,
                renew_time: now,
                ..spec
            }),
        }
    }
}

fn record(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec
        .lease_duration_seconds
        .and_then(|seconds| u64::try_from(seconds).ok());
    Record {
        holder: spec.holder_identity.unwrap_or_default(),
        duration: Duration::from_secs(seconds.unwrap_or(0)),
        transitions: spec
            .lease_transitions
            .and_then(|n| u64::try_from(n).ok())
            .unwrap_or(0),
        renewed_us: spec.renew_time.map_or(0, |time| time.0.as_microsecond()),
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
    }
}

//! What people are told, to whom, and how it went.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::shape::shape;
use crate::domain;
use crate::domain::delivery::{DeliveryState, Reason, Status};
use crate::domain::id::{AlertId, DeliveryId, Digest, Name};
use crate::domain::objective::Severity;
use crate::domain::rollback::Term;
use crate::domain::time::Timestamp;

type Texts = BTreeMap<String, String>;

shape! {
    /// What is told, before any receiver's form.
    Message of domain::delivery::Message {
        status: Status,
        reason: Reason,
        severity: Severity,
        thread: Digest,
        labels: Texts,
        annotations: Texts,
        starts_at: Timestamp,
        ends_at: Option<Timestamp>,
    }

    /// A wish to tell people something that is no alert.
    Notice of domain::delivery::Notice {
        key: Digest,
        at: Timestamp,
        message: domain::delivery::Message,
    }

    /// The duty to tell one receiver one thing.
    Delivery of domain::delivery::Delivery {
        id: DeliveryId,
        receiver: Name,
        message: domain::delivery::Message,
        order: u64,
        created: Timestamp,
        due: Timestamp,
        attempts: u32,
        term: Term,
        state: DeliveryState,
    }

    /// One try at a delivery.
    Attempt of domain::delivery::Attempt {
        delivery: DeliveryId,
        number: u32,
        at: Timestamp,
        answer: Arc<str>,
        state: DeliveryState,
        due: Timestamp,
    }

    /// What a receiver was told of an episode.
    Told of domain::delivery::Told {
        receiver: Name,
        alert: AlertId,
        status: Status,
        severity: Severity,
        delivery: DeliveryId,
        count: u64,
        at: Timestamp,
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::delivery::DeliveryState;
    use crate::wire::fixture;

    #[test]
    fn deliveries_are_written_and_read_back() {
        let delivery = fixture::delivery("pager", 1, 1, 5);
        fixture::round_trip(&delivery);
        fixture::round_trip(&fixture::notice(1, 5));
        fixture::round_trip(&fixture::told("pager", 1, 5));
        for state in DeliveryState::ALL {
            fixture::round_trip(&fixture::attempt(&delivery, 1, state, 6));
        }
    }
}

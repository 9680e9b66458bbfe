//! What people were told, and how the telling went.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{instant, some_instant};
use crate::domain::delivery as domain;

/// The duty to tell one receiver one thing, with the tries so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The same after every crash.
    pub id: String,
    /// Whom.
    pub receiver: String,
    /// due, delivered, cancelled or given-up.
    pub state: String,
    /// firing or resolved.
    pub status: String,
    /// Why it is sent.
    pub reason: String,
    /// How severe.
    pub severity: String,
    /// What it is about: an alert's, decision's or rollback's id.
    pub thread: String,
    /// Labels of the message.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the message.
    pub annotations: BTreeMap<String, String>,
    /// When what it tells began.
    pub starts_at: String,
    /// When that ended.
    pub ends_at: Option<String>,
    /// When it was decided.
    pub created: String,
    /// Not before.
    pub due: String,
    /// The tries.
    pub attempts: Vec<Attempt>,
}

/// One try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// 1 for the first.
    pub number: u32,
    /// When it began.
    pub at: String,
    /// How it went, for people.
    pub answer: String,
    /// Where the delivery stood after it.
    pub state: String,
}

impl Delivery {
    /// From the row and its attempts.
    #[must_use]
    pub fn new(delivery: &domain::Delivery, attempts: &[domain::Attempt]) -> Self {
        let message = &delivery.message;
        Self {
            id: delivery.id.to_string(),
            receiver: delivery.receiver.to_string(),
            state: delivery.state.as_str().to_owned(),
            status: message.status.as_str().to_owned(),
            reason: message.reason.as_str().to_owned(),
            severity: message.severity.to_string(),
            thread: message.thread.to_string(),
            labels: message.labels.clone(),
            annotations: message.annotations.clone(),
            starts_at: instant(message.starts_at),
            ends_at: some_instant(message.ends_at),
            created: instant(delivery.created),
            due: instant(delivery.due),
            attempts: attempts.iter().map(Attempt::from).collect(),
        }
    }
}

impl From<&domain::Attempt> for Attempt {
    fn from(attempt: &domain::Attempt) -> Self {
        Self {
            number: attempt.number,
            at: instant(attempt.at),
            answer: attempt.answer.to_string(),
            state: attempt.state.as_str().to_owned(),
        }
    }
}

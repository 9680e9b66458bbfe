//! What people are told, and the duty to tell them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::id::{AlertId, DeliveryId, Digest, Name};
use super::objective::Severity;
use super::rollback::Term;
use super::time::Timestamp;

/// Whether something is the matter or over; Alertmanager's two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Something is the matter.
    Firing,
    /// It is over.
    Resolved,
}

impl Status {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }

    /// Reads the word back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Firing, Self::Resolved]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

/// Why a notification is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// It is told for the first time.
    First,
    /// It is more severe now.
    Raised,
    /// It is over.
    Resolved,
    /// Something happened to a rollback, or a decision was taken.
    Rollback,
}

impl Reason {
    /// The reason's name in output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Raised => "severity raised",
            Self::Resolved => "resolved",
            Self::Rollback => "rollback",
        }
    }

    /// Reads the name back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::First, Self::Raised, Self::Resolved, Self::Rollback]
            .into_iter()
            .find(|reason| reason.as_str() == text)
    }
}

/// What is told, before any receiver's form: rendered by `notify`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Firing or resolved.
    pub status: Status,
    /// Why it is sent.
    pub reason: Reason,
    /// How severe.
    pub severity: Severity,
    /// What it is about: all messages of one episode (or one decision) share it.
    /// Alertmanager's fingerprint, and the thread.
    pub thread: Digest,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `summary`, `description`, `runbook_url`, `dashboard`, `decision`, `from`, `to`, `reason`.
    pub annotations: BTreeMap<String, String>,
    /// When it began.
    pub starts_at: Timestamp,
    /// When it ended.
    pub ends_at: Option<Timestamp>,
}

/// A committed wish to tell people something that is no alert: a decision, a stage of a rollback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Told once under this key.
    pub key: Digest,
    /// When.
    pub at: Timestamp,
    /// What; routed by its labels.
    pub message: Message,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeliveryState {
    /// To be sent at `due`.
    Due,
    /// The receiver took it.
    Delivered,
    /// It was over before it left: neither firing nor resolved was sent.
    Cancelled,
    /// The receiver will never take it (a permanent error), or not in time.
    GivenUp,
}

impl DeliveryState {
    /// All, for labels.
    pub const ALL: [Self; 4] = [Self::Due, Self::Delivered, Self::Cancelled, Self::GivenUp];

    /// The state's name in output and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
            Self::GivenUp => "given-up",
        }
    }

    /// Reads the name back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// The duty to tell one receiver one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Receiver, thread, status and what it is the telling of: the same after every crash.
    pub id: DeliveryId,
    /// Whom.
    pub receiver: Name,
    /// What.
    pub message: Message,
    /// Position among the deliveries of the same receiver and thread: sent in this order.
    pub order: u64,
    /// When it was decided.
    pub created: Timestamp,
    /// Not before.
    pub due: Timestamp,
    /// Tries so far.
    pub attempts: u32,
    /// The leader's term that inserted (and so claimed) it. One of an older term may have left already
    /// without a record of it: it is sent again under the same id, and never cancelled.
    pub term: Term,
    /// Where it stands.
    pub state: DeliveryState,
}

/// One try at a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Of which delivery.
    pub delivery: DeliveryId,
    /// 1 for the first.
    pub number: u32,
    /// When it began.
    pub at: Timestamp,
    /// How it went, for people: `200 OK`, `timed out after 10s`.
    pub answer: Arc<str>,
    /// Where the delivery stands after it.
    pub state: DeliveryState,
    /// When it will be tried again, if it is still due.
    pub due: Timestamp,
}

/// What a receiver was told of an episode: the state of the delivery contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Whom.
    pub receiver: Name,
    /// About which episode.
    pub alert: AlertId,
    /// What was last put into the outbox for it.
    pub status: Status,
    /// How severe it was then.
    pub severity: Severity,
    /// The delivery that tells it.
    pub delivery: DeliveryId,
    /// How many deliveries this receiver has for this episode.
    pub count: u64,
    /// When.
    pub at: Timestamp,
}

/// The id of a delivery: the `count`-th telling of `thread` to `receiver`.
#[must_use]
pub fn delivery_id(receiver: &Name, thread: Digest, status: Status, count: u64) -> DeliveryId {
    DeliveryId(Digest::of(&[
        b"delivery".as_slice(),
        receiver.as_str().as_bytes(),
        &thread.0,
        status.as_str().as_bytes(),
        &count.to_le_bytes(),
    ]))
}

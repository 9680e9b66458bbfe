//! Mechanism: tell. One sender a kind of receiver; each sends one message once and says how it went.
//! Retries, order and remembering are the dispatcher's.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::domain::delivery::Delivery;
use crate::domain::time::Timestamp;

/// How one try at a delivery went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The receiver took it; what it said.
    Taken(Arc<str>),
    /// Try again, not before this long if the receiver said so (`Retry-After`).
    Again {
        /// What happened, without secrets.
        why: Arc<str>,
        /// What the receiver asked for.
        after: Option<Duration>,
    },
    /// It will never be taken (a 4xx other than 408, 425, 429).
    Refused(Arc<str>),
}

/// Sends to one receiver.
#[async_trait]
pub trait Sender: Send + Sync + 'static {
    /// Sends once, within the sender's own deadline.
    async fn send(&self, delivery: &Delivery, now: Timestamp) -> Sent;
}

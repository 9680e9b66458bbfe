//! Mechanism: tell. One sender a kind of receiver; each sends one message once and says how it went.
//! Retries, order and remembering are the dispatcher's.
//!
//! A sender may be asked to send the same delivery more than once (its answer was lost, or the process
//! died before it was recorded): it hands on the delivery's id wherever the receiver can make use of it.
//! No text that leaves this room carries a secret, a URL or a body.

pub mod answer;
pub mod message;
pub mod secret;
pub mod slack;
pub mod webhook;

#[cfg(test)]
pub(crate) mod receiver;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::domain::delivery::Delivery;
use crate::domain::spec::{Channel, Receiver};
use crate::domain::time::Timestamp;

/// One try takes no longer than this, connection and answer included: long enough for a receiver that
/// is busy, short enough that the next message of the thread is not late for long.
pub const TIMEOUT: Duration = Duration::from_secs(10);

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

/// The sender of a receiver.
#[must_use]
pub fn build(receiver: &Receiver) -> Arc<dyn Sender> {
    match &receiver.channel {
        Channel::Webhook { url, secret } => Arc::new(webhook::Webhook::new(
            receiver.name.clone(),
            url.clone(),
            secret.clone(),
            TIMEOUT,
        )),
        Channel::Slack {
            webhook_url,
            channel,
        } => Arc::new(slack::Slack::new(
            webhook_url.clone(),
            channel.clone(),
            TIMEOUT,
        )),
    }
}

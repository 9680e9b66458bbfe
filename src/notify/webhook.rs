//! The `webhook` receiver: Alertmanager's body, version 4, so that whatever understands Alertmanager's
//! webhook understands this one.
//! <https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>
//!
//! On top of it: `Idempotency-Key`, the same for every try of one delivery, and, with a secret,
//! `X-Holdfast-Signature: t=UNIX,v1=HEX` where HEX is HMAC-SHA-256 of `t + "." + body`. A status is the
//! whole answer: what the body says, and whether it arrives whole, changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hmac::{Hmac, Mac as _};
use http::header::{CONTENT_TYPE, USER_AGENT};
use reqwest::{Client, Url, redirect};
use serde::Serialize;
use sha2::Sha256;

use super::secret::{Secret, SecretError};
use super::{Sender, Sent, answer};
use crate::domain::delivery::{Delivery, Message, Status};
use crate::domain::id::Name;
use crate::domain::spec::Address;
use crate::domain::target::SecretRef;
use crate::domain::time::Timestamp;

/// So much of an answer is read (to use the connection again), and no more.
const ANSWER_BYTES_MAX: usize = 4 * 1024;
/// And for no longer than this: the status is known already.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// Bursts share connections; what is idle for longer may have been closed by a proxy on the way.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// Alertmanager's word for "it has not ended".
const NOT_ENDED: &str = "0001-01-01T00:00:00Z";
/// Labels that say which alert it is, over all its episodes: `groupLabels` and the `groupKey`.
const IDENTITY: [&str; 6] = [
    "alertname",
    "namespace",
    "objective",
    "probe",
    "tenant",
    "workload",
];

/// Sends to one webhook.
#[derive(Debug)]
pub struct Webhook {
    receiver: Name,
    url: Address,
    secret: Option<SecretRef>,
    timeout: Duration,
    client: Option<Client>,
}

/// Alertmanager's body; fields in its order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    receiver: &'a str,
    status: &'static str,
    alerts: [Alert<'a>; 1],
    group_labels: BTreeMap<&'a str, &'a str>,
    common_labels: &'a BTreeMap<String, String>,
    common_annotations: &'a BTreeMap<String, String>,
    #[serde(rename = "externalURL")]
    external_url: String,
    version: &'static str,
    group_key: String,
    truncated_alerts: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert<'a> {
    status: &'static str,
    labels: &'a BTreeMap<String, String>,
    annotations: &'a BTreeMap<String, String>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
    fingerprint: String,
}

// === impl Webhook ===

impl Webhook {
    /// A sender whose tries end after `timeout`.
    #[must_use]
    pub fn new(receiver: Name, url: Address, secret: Option<SecretRef>, timeout: Duration) -> Self {
        let client = Client::builder()
            .connect_timeout(timeout)
            .timeout(timeout)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .build();
        if client.is_err() {
            tracing::error!(%receiver, "the HTTP client of receiver {receiver} cannot be made");
        }
        Self {
            receiver,
            url,
            secret,
            timeout,
            client: client.ok(),
        }
    }

    async fn address(&self) -> Result<Url, Sent> {
        let text = match &self.url {
            Address::Plain(text) => text.clone(),
            Address::Secret(reference) => Secret::read(reference)
                .await
                .map_err(|error| missing(&error))?
                .expose()
                .to_owned(),
        };
        Url::parse(&text).map_err(|_| answer::again("the receiver's address is not a URL"))
    }

    async fn signature(&self, body: &str, now: Timestamp) -> Result<Option<String>, Sent> {
        let Some(reference) = &self.secret else {
            return Ok(None);
        };
        let secret = Secret::read(reference)
            .await
            .map_err(|error| missing(&error))?;
        let t = now.as_micros().div_euclid(1_000_000);
        Ok(Some(format!("t={t},v1={}", sign(secret.expose(), t, body))))
    }

    async fn attempt(&self, delivery: &Delivery, now: Timestamp) -> Result<Sent, Sent> {
        let Some(client) = &self.client else {
            return Err(answer::again("the HTTP client cannot be made"));
        };
        let url = self.address().await?;
        let body = body(&self.receiver, &delivery.message)
            .map_err(|_| Sent::Refused("the message cannot be written as JSON".into()))?;
        let mut request = client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("holdfast/", env!("CARGO_PKG_VERSION")))
            .header("Idempotency-Key", delivery.id.to_string());
        if let Some(signature) = self.signature(&body, now).await? {
            request = request.header("X-Holdfast-Signature", signature);
        }
        let response = request.body(body).send().await.map_err(|error| {
            if error.is_timeout() {
                answer::timed_out(self.timeout)
            } else {
                answer::again(answer::fault(&error))
            }
        })?;
        let sent = answer::of_status(
            response.status(),
            answer::retry_after(response.headers(), now),
            None,
        );
        drain(response).await;
        Ok(sent)
    }
}

#[async_trait]
impl Sender for Webhook {
    async fn send(&self, delivery: &Delivery, now: Timestamp) -> Sent {
        self.attempt(delivery, now)
            .await
            .unwrap_or_else(|sent| sent)
    }
}

fn missing(error: &SecretError) -> Sent {
    answer::again(Arc::<str>::from(error.to_string()))
}

/// Reads a short answer to its end, so that the connection can be used again.
async fn drain(mut response: reqwest::Response) {
    let read = async {
        let mut bytes = 0;
        while let Ok(Some(chunk)) = response.chunk().await {
            bytes += chunk.len();
            if bytes > ANSWER_BYTES_MAX {
                return;
            }
        }
    };
    if tokio::time::timeout(DRAIN_TIMEOUT, read).await.is_err() {
        tracing::debug!("a receiver's answer was not read to its end");
    }
}

fn sign(secret: &str, t: i64, body: &str) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(format!("{t}.").as_bytes());
    mac.update(body.as_bytes());
    let bytes = mac.finalize().into_bytes();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn body(receiver: &Name, message: &Message) -> Result<String, serde_json::Error> {
    let status = message.status.as_str();
    let dashboard = message
        .annotations
        .get("dashboard")
        .map_or("", String::as_str);
    let group_labels: BTreeMap<&str, &str> = IDENTITY
        .iter()
        .filter_map(|name| Some((*name, message.labels.get(*name)?.as_str())))
        .collect();
    let ends_at = match (message.status, message.ends_at) {
        (Status::Firing, _) | (Status::Resolved, None) => NOT_ENDED.to_owned(),
        (Status::Resolved, Some(end)) => end.to_string(),
    };
    let mut fingerprint = message.thread.to_string();
    fingerprint.truncate(16);
    serde_json::to_string(&Body {
        receiver: receiver.as_str(),
        status,
        alerts: [Alert {
            status,
            labels: &message.labels,
            annotations: &message.annotations,
            starts_at: message.starts_at.to_string(),
            ends_at,
            generator_url: dashboard,
            fingerprint,
        }],
        group_key: group_key(&group_labels),
        group_labels,
        common_labels: &message.labels,
        common_annotations: &message.annotations,
        external_url: origin(dashboard),
        version: "4",
        truncated_alerts: 0,
    })
}

/// Alertmanager's form: the route's matchers, then the group's labels.
fn group_key(labels: &BTreeMap<&str, &str>) -> String {
    let pairs = labels
        .iter()
        .map(|(name, value)| format!("{name}={value:?}"));
    format!("{{}}:{{{}}}", pairs.collect::<Vec<_>>().join(", "))
}

/// Where Holdfast itself is found, as far as the link to its page says so.
fn origin(link: &str) -> String {
    let url = Url::parse(link).ok();
    let origin = url.map(|url| url.origin()).filter(url::Origin::is_tuple);
    origin.map_or_else(String::new, |origin| origin.ascii_serialization())
}

#[cfg(test)]
mod tests;

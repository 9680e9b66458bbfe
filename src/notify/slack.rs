//! The `slack` receiver: an incoming webhook, with Block Kit.
//! <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>
//!
//! The types and the client are slack-morphism's; the TLS beneath it is ours, so that the binary has one
//! provider. The webhook's URL is the secret: it is read at each try and no text carries it. Slack
//! has no idempotency key, so a message whose answer was lost may appear twice.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt as _;
use serde::Serialize;
use slack_morphism::errors::SlackClientError;
use slack_morphism::prelude::{
    SlackApiPostWebhookMessageResponse, SlackBlock, SlackBlockMarkDownText, SlackBlockPlainText,
    SlackClient, SlackClientApiCallContext, SlackClientHttpConnector as _,
    SlackClientHyperConnector, SlackContextBlock, SlackHeaderBlock, SlackMessageContent,
    SlackSectionBlock,
};
use url::Url;

use super::message::{Text, render};
use super::secret::Secret;
use super::{Sender, Sent, answer};
use crate::domain::delivery::{Delivery, Message};
use crate::domain::target::SecretRef;
use crate::domain::time::Timestamp;

/// Block Kit's limit of a header's text.
const HEADER_CHARS_MAX: usize = 150;
/// Block Kit's limit of a section's text.
const SECTION_CHARS_MAX: usize = 3_000;
/// Block Kit's limit of blocks in a message.
const BLOCKS_MAX: usize = 50;

/// Errors of Slack that go by themselves; every other one is about the message or the webhook.
const PASSING: [&str; 7] = [
    "fatal_error",
    "internal_error",
    "ratelimited",
    "rate_limited",
    "request_timeout",
    "rollup_error",
    "service_unavailable",
];

type Hyper = SlackClientHyperConnector<HttpsConnector<HttpConnector>>;

/// Sends to one incoming webhook.
#[derive(Debug)]
pub struct Slack {
    webhook_url: SecretRef,
    channel: Option<String>,
    timeout: Duration,
    client: Option<SlackClient<Hyper>>,
}

/// What is posted: the crate's own request has no channel.
#[derive(Debug, Serialize)]
struct Post<'a> {
    #[serde(flatten)]
    content: SlackMessageContent,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
}

// === impl Slack ===

impl Slack {
    /// A sender whose tries end after `timeout`.
    #[must_use]
    pub fn new(webhook_url: SecretRef, channel: Option<String>, timeout: Duration) -> Self {
        let client = connector(timeout)
            .inspect_err(|error| tracing::error!(%error, "the TLS client for Slack cannot be made"))
            .ok();
        Self {
            webhook_url,
            channel,
            timeout,
            client,
        }
    }

    async fn attempt(&self, delivery: &Delivery) -> Result<Sent, Sent> {
        let Some(client) = &self.client else {
            return Err(answer::again("the TLS client cannot be made"));
        };
        let secret = Secret::read(&self.webhook_url).await;
        let secret = secret.map_err(|error| answer::again(Arc::<str>::from(error.to_string())))?;
        let url = Url::parse(secret.expose())
            .map_err(|_| answer::again("the secret of the receiver is not a URL"))?;
        let post = Post {
            content: content(&delivery.message),
            channel: self.channel.as_deref(),
        };
        let span = tracing::Span::none();
        let context = SlackClientApiCallContext {
            rate_control_params: None,
            token: None,
            tracing_span: &span,
            is_sensitive_url: true,
        };
        let answered: Result<SlackApiPostWebhookMessageResponse, SlackClientError> = client
            .http_api
            .connector
            .http_post_uri(url, &post, context)
            .await;
        Ok(match answered {
            Ok(_) => Sent::Taken("200 OK".into()),
            Err(error) => judge(&error),
        })
    }
}

#[async_trait]
impl Sender for Slack {
    async fn send(&self, delivery: &Delivery, _now: Timestamp) -> Sent {
        match tokio::time::timeout(self.timeout, self.attempt(delivery)).await {
            Ok(Ok(sent) | Err(sent)) => sent,
            Err(_) => answer::timed_out(self.timeout),
        }
    }
}

fn connector(timeout: Duration) -> Result<SlackClient<Hyper>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth();
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_connect_timeout(Some(timeout));
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(http);
    Ok(SlackClient::new(Hyper::with_connector(https)))
}

/// What the crate's error means. Its own texts carry bodies, so they are not used.
fn judge(error: &SlackClientError) -> Sent {
    match error {
        SlackClientError::RateLimitError(limit) => Sent::Again {
            why: "429 Too Many Requests".into(),
            after: limit.retry_after,
        },
        SlackClientError::HttpError(http) => {
            let word = http.http_response_body.as_deref().and_then(word);
            answer::of_status(http.status_code, None, word)
        }
        SlackClientError::ApiError(api) => {
            let word = word(&api.code).unwrap_or("an unknown error");
            let why = format!("slack says {word}");
            if PASSING.contains(&word) {
                answer::again(why)
            } else {
                Sent::Refused(why.into())
            }
        }
        // A webhook answers `ok`; without a content type the crate takes it for JSON.
        SlackClientError::ProtocolError(protocol) => {
            match protocol.json_body.as_deref().map(str::trim) {
                Some("ok") => Sent::Taken("200 OK".into()),
                Some(_) | None => answer::again("the answer cannot be read"),
            }
        }
        SlackClientError::HttpProtocolError(_)
        | SlackClientError::SystemError(_)
        | SlackClientError::EndOfStream(_)
        | SlackClientError::SocketModeProtocolError(_) => answer::again(fault(error)),
    }
}

/// The crate's errors keep their cause in a field and not as a source.
fn fault(error: &SlackClientError) -> &'static str {
    let cause = match error {
        SlackClientError::HttpProtocolError(protocol) => protocol.cause.as_deref(),
        SlackClientError::SystemError(system) => system.cause.as_deref(),
        SlackClientError::ApiError(_)
        | SlackClientError::HttpError(_)
        | SlackClientError::EndOfStream(_)
        | SlackClientError::ProtocolError(_)
        | SlackClientError::SocketModeProtocolError(_)
        | SlackClientError::RateLimitError(_) => None,
    };
    cause.map_or("the connection failed", |cause| answer::fault(cause))
}

/// Slack names errors by words such as `invalid_blocks`; anything else of a body is not repeated.
fn word(body: &str) -> Option<&str> {
    let body = body.trim();
    let plain = body.len() <= 64 && body.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    (plain && !body.is_empty()).then_some(body)
}

fn content(message: &Message) -> SlackMessageContent {
    let text = render(message);
    SlackMessageContent::new()
        .with_text(escaped(&text.title, SECTION_CHARS_MAX))
        .with_blocks(blocks(&text))
}

fn blocks(text: &Text) -> Vec<SlackBlock> {
    let title = shortened(&text.title, HEADER_CHARS_MAX);
    let header = SlackHeaderBlock::new(SlackBlockPlainText::new(title).into());
    let mut blocks: Vec<SlackBlock> = vec![header.into()];
    // One block is kept for the links and one for the foot.
    let room = BLOCKS_MAX - blocks.len() - 2;
    for paragraph in text.paragraphs.iter().take(room) {
        blocks.push(section(escaped(paragraph, SECTION_CHARS_MAX)));
    }
    let links = links(text);
    if !links.is_empty() {
        blocks.push(section(links));
    }
    let foot = SlackBlockMarkDownText::new(escaped(&text.foot, SECTION_CHARS_MAX));
    blocks.push(SlackContextBlock::new(vec![foot.into()]).into());
    blocks
}

fn section(markdown: String) -> SlackBlock {
    let text = SlackBlockMarkDownText::new(markdown);
    SlackSectionBlock::new().with_text(text.into()).into()
}

/// Whole links only, as many as have room.
fn links(text: &Text) -> String {
    let mut line = String::new();
    for link in &text.links {
        let url = link.url.replace('|', "%7C").replace('>', "%3E");
        let url = url.replace('<', "%3C").replace('&', "&amp;");
        let one = format!("<{url}|{}>", link.name);
        if line.chars().count() + one.chars().count() + 3 > SECTION_CHARS_MAX {
            break;
        }
        if !line.is_empty() {
            line.push_str(" · ");
        }
        line.push_str(&one);
    }
    line
}

/// Cut to `max` characters, with an ellipsis if something was lost.
fn shortened(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(max - 1).collect();
    short.push('…');
    short
}

/// Slack's three control characters escaped, and cut to `max` characters without cutting an escape.
fn escaped(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut length = 0;
    for c in text.chars() {
        let mut buffer = [0; 4];
        let piece = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            _ => c.encode_utf8(&mut buffer),
        };
        length += piece.chars().count();
        if length >= max {
            out.push('…');
            return out;
        }
        out.push_str(piece);
    }
    out
}

#[cfg(test)]
mod tests;

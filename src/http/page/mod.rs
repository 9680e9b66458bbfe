//! The page: rendered here, readable without JavaScript, dark and light as the reader's system says.
//!
//! Everything that comes from outside (names, reasons, answers, annotations) goes through the template's
//! escaping. What is marked `safe` in a template is made in this module out of numbers, instants and words
//! of enums alone.

pub(super) mod alert;
mod chart;
pub(super) mod decision;
pub(super) mod home;
mod rows;

#[cfg(test)]
mod tests;

use std::fmt;

use askama::Template;
use axum::response::Html;
use serde::Deserialize;

use super::problem::Problem;
use super::server::App;
use super::shape::between;
use crate::domain::delivery::{Attempt, Delivery, DeliveryState};
use crate::domain::objective::Severity;
use crate::domain::rollback::Stage;
use crate::domain::standing::Trust;
use crate::domain::time::{Spelled, Timestamp};

/// `?refresh=off` for those who want to read in peace.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct View {
    refresh: Option<String>,
}

/// What surrounds every page.
pub(super) struct Frame {
    title: String,
    /// Seconds between refreshes; none: it stands still.
    refresh: Option<u32>,
    /// Whether what is shown may still change.
    lively: bool,
    version: &'static str,
    at: Moment,
    style: &'static str,
}

impl Frame {
    fn new(app: &App, view: &View, title: String, lively: bool) -> Self {
        const REFRESH_SECONDS: u32 = 5;
        let still = view.refresh.as_deref() == Some("off");
        let now = app.desk.now();
        Self {
            title,
            refresh: (lively && !still).then_some(REFRESH_SECONDS),
            lively,
            version: env!("CARGO_PKG_VERSION"),
            at: Moment { at: now, now },
            style: include_str!("style.css"),
        }
    }
}

fn render(page: &impl Template) -> Result<Html<String>, Problem> {
    page.render()
        .map(Html)
        .map_err(|error| Problem::internal(format!("the page could not be written: {error}")))
}

/// An instant, shown as how long ago it was; the exact time is in its title.
#[derive(Clone, Copy, Debug)]
struct Moment {
    at: Timestamp,
    now: Timestamp,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (iso, text) = (self.at, between(self.at, self.now));
        write!(f, r#"<time datetime="{iso}" title="{iso}">{text}</time>"#)
    }
}

/// `14:03:07`, in UTC.
fn clock(at: Timestamp) -> String {
    let text = at.to_string();
    text.get(11..19).unwrap_or(&text).to_owned()
}

/// A duration without the fractions nobody reads.
fn roughly(duration: std::time::Duration) -> String {
    let whole = if duration.as_secs() > 0 {
        std::time::Duration::from_secs(duration.as_secs())
    } else {
        std::time::Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(0))
    };
    Spelled(whole).to_string()
}

/// How a thing should look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tone {
    Good,
    Busy,
    Warn,
    Bad,
    Quiet,
}

impl fmt::Display for Tone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Good => "good",
            Self::Busy => "busy",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Quiet => "quiet",
        })
    }
}

/// One word from an enum with its colour (and, for those who see none, its mark).
#[derive(Clone, Copy, Debug)]
struct Chip {
    tone: Tone,
    word: &'static str,
}

impl fmt::Display for Chip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            r#"<span class="chip {}">{}</span>"#,
            self.tone, self.word
        )
    }
}

const fn severity_tone(severity: Severity) -> Tone {
    match severity {
        Severity::Info => Tone::Busy,
        Severity::Warning => Tone::Warn,
        Severity::Critical => Tone::Bad,
    }
}

const fn stage_chip(stage: &Stage) -> Chip {
    let tone = match stage {
        Stage::Requested | Stage::Applying { .. } | Stage::Verifying { .. } => Tone::Busy,
        Stage::Succeeded => Tone::Good,
        Stage::NotCaused | Stage::Superseded { .. } => Tone::Warn,
        Stage::Failed { .. } => Tone::Bad,
    };
    Chip {
        tone,
        word: stage.as_str(),
    }
}

const fn trust_chip(trust: Trust) -> Chip {
    let tone = match trust {
        Trust::Seen => Tone::Quiet,
        Trust::Baking => Tone::Busy,
        Trust::Proven => Tone::Good,
        Trust::Blamed => Tone::Warn,
        Trust::Quarantined => Tone::Bad,
    };
    Chip {
        tone,
        word: trust.as_str(),
    }
}

/// One message as lists show it.
struct MessageRow {
    at: Moment,
    receiver: String,
    status: &'static str,
    summary: String,
    chip: Chip,
    answer: String,
    tries: u32,
}

impl MessageRow {
    fn new((delivery, attempts): &(Delivery, Vec<Attempt>), now: Timestamp) -> Self {
        let message = &delivery.message;
        let tone = match delivery.state {
            DeliveryState::Due if attempts.is_empty() => Tone::Busy,
            DeliveryState::Due => Tone::Warn,
            DeliveryState::Delivered => Tone::Good,
            DeliveryState::Cancelled => Tone::Quiet,
            DeliveryState::GivenUp => Tone::Bad,
        };
        let text = |key: &str| {
            message
                .annotations
                .get(key)
                .or_else(|| message.labels.get(key))
        };
        Self {
            at: Moment {
                at: delivery.created,
                now,
            },
            receiver: delivery.receiver.to_string(),
            status: message.status.as_str(),
            summary: text("summary")
                .or_else(|| text("alertname"))
                .cloned()
                .unwrap_or_else(|| message.reason.as_str().to_owned()),
            chip: Chip {
                tone,
                word: delivery.state.as_str(),
            },
            answer: attempts.last().map_or_else(
                || "not sent yet".to_owned(),
                |attempt| attempt.answer.to_string(),
            ),
            tries: delivery.attempts,
        }
    }
}

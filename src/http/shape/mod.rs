//! The shapes of answers: what `/api/v1` promises to those who read it, and what the command line reads.
//!
//! Nouns that are stored (alerts, decisions, rollbacks, deliveries) have their shapes in `wire`; here are
//! those that are only ever asked for: standings, folds, sums, and whole stories. Instants are RFC 3339,
//! configured durations as people type them (`5m`), measured ones in seconds, values both as number and
//! as shown in the unit of their objective.

pub mod rollout;
pub mod sample;
pub mod standing;
pub mod status;
pub mod story;
pub mod workload;

use serde::{Deserialize, Serialize};

use crate::domain::time::{Spelled, Timestamp};

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing<T> {
    /// The rows.
    pub items: Vec<T>,
    /// The cursor of the next page; none: this was the last.
    pub next: Option<String>,
}

pub(super) fn instant(at: Timestamp) -> String {
    at.to_string()
}

pub(super) fn some_instant(at: Option<Timestamp>) -> Option<String> {
    at.map(instant)
}

pub(super) fn spelled(duration: std::time::Duration) -> String {
    Spelled(duration).to_string()
}

pub(super) fn texts(list: &[std::sync::Arc<str>]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

/// How long ago an instant of an answer was, for people; an instant that cannot be read is shown as it is.
#[must_use]
pub fn ago(at: &str, now: &str) -> String {
    match (at.parse(), now.parse()) {
        (Ok(at), Ok(now)) => between(at, now),
        (Ok(_) | Err(_), _) => at.chars().filter(|c| !c.is_control()).collect(),
    }
}

/// `12 s ago`, `5 min ago`: as exact as one wants to read it.
#[must_use]
pub fn between(at: Timestamp, now: Timestamp) -> String {
    let (seconds, before, after) = if at > now {
        (at.since(now).as_secs(), "in ", "")
    } else {
        (now.since(at).as_secs(), "", " ago")
    };
    let text = match seconds {
        0 => return "now".to_owned(),
        1..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    };
    format!("{before}{text}{after}")
}

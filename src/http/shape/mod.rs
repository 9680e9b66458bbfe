//! The shapes of answers: what `/api/v1` promises to those who read it, and what the command line reads.
//!
//! They are made from domain's nouns and say everything in words and plain numbers: instants in RFC 3339,
//! configured durations as people type them (`5m`), measured ones in seconds, values both as number and
//! as shown in the unit of their objective. What is stored has shapes of its own (`wire`): a row may
//! change with a migration, an answer may not.

pub mod alert;
pub mod decision;
pub mod delivery;
pub mod rollback;
pub mod rollout;
pub mod sample;
pub mod standing;
pub mod status;
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

//! What was asked of the API server, by whom, with which body: so that a story can count patches.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde_json::Value;

/// Requests remembered; a story makes hundreds, a demo of an hour some thousands.
const ENTRIES_MAX: usize = 10_000;

/// One request and how it was answered.
#[derive(Debug, Clone)]
pub struct AuditEntry {
    /// When it came.
    pub at: Timestamp,
    /// The Kubernetes verb: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`.
    pub verb: &'static str,
    /// The plural name of the resource.
    pub resource: &'static str,
    /// The subresource; empty for the object itself.
    pub subresource: String,
    /// The namespace; empty if there is none.
    pub namespace: String,
    /// The object's name; empty for a collection.
    pub name: String,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// The `fieldManager` of the query.
    pub field_manager: String,
    /// The `Content-Type` header.
    pub content_type: String,
    /// The body, or null.
    pub body: Value,
    /// The HTTP code of the answer, also of one that a fault then lost; 0 if there was none.
    pub code: u16,
}

/// The newest requests.
#[derive(Debug, Default)]
pub struct Audit {
    entries: Mutex<VecDeque<AuditEntry>>,
}

impl Audit {
    pub(super) fn record(&self, entry: AuditEntry) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() == ENTRIES_MAX {
            entries.pop_front();
        }
        entries.push_back(entry);
    }

    /// The requests remembered, oldest first.
    pub fn entries(&self) -> Vec<AuditEntry> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().cloned().collect()
    }

    /// The requests of a verb on objects of a resource itself, whatever the answer.
    pub fn of(&self, verb: &str, resource: &str) -> Vec<AuditEntry> {
        let mut entries = self.entries();
        entries.retain(|entry| {
            entry.verb == verb && entry.resource == resource && entry.subresource.is_empty()
        });
        entries
    }
}

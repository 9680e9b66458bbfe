//! What receivers were told of open episodes: the state of the delivery contract.
//!
//! A record opens with the first delivery of an episode to a receiver and is gone with its resolved
//! one. As long as it is open the receiver is owed a resolved delivery, whatever the routes or the
//! receivers of the configuration have become in the meantime.

use std::collections::BTreeMap;

use super::delivery::{Reason, Status, Told};
use super::id::{AlertId, Name};
use super::objective::Severity;

/// All open told-records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToldRecords(BTreeMap<AlertId, BTreeMap<Name, Told>>);

// === impl ToldRecords ===

impl ToldRecords {
    /// The records as they were read back; those that are over are left out.
    #[must_use]
    pub fn new(records: Vec<Told>) -> Self {
        let mut told = Self::default();
        for record in records {
            told.record(record);
        }
        told
    }

    /// Why a receiver is to be told that an episode fires, and the how-manieth telling that is; `None`
    /// if it was told already and nothing got worse. A lowered severity is in the alert's history, but
    /// nobody is told of it, and so raising it again to what was told is no news either.
    #[must_use]
    pub fn news(&self, receiver: &Name, alert: AlertId, now: Severity) -> Option<(Reason, u64)> {
        match self.0.get(&alert).and_then(|told| told.get(receiver)) {
            None => Some((Reason::First, 1)),
            Some(told) if now > told.severity => Some((Reason::Raised, told.count + 1)),
            Some(_) => None,
        }
    }

    /// Everybody who was told that the episode fires and not that it is over.
    pub fn open(&self, alert: AlertId) -> impl Iterator<Item = &Told> {
        self.0.get(&alert).into_iter().flat_map(BTreeMap::values)
    }

    /// Notes what was put into the outbox.
    pub fn record(&mut self, told: Told) {
        match told.status {
            Status::Firing => {
                let receivers = self.0.entry(told.alert).or_default();
                receivers.insert(told.receiver.clone(), told);
            }
            Status::Resolved => {
                if let Some(receivers) = self.0.get_mut(&told.alert) {
                    receivers.remove(&told.receiver);
                    if receivers.is_empty() {
                        self.0.remove(&told.alert);
                    }
                }
            }
        }
    }
}

//! Changes as the journal holds them: only those that stand in somebody's inbox.

use serde::{Deserialize, Serialize};

use super::alert::Transition;
use super::decision::Petition;
use super::delivery::Notice;
use super::fact::Fact;
use super::rollback::{TrialRequest, TrialResult};
use super::{Unreadable, Wire};
use crate::domain::change::Change;

/// A posted change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", content = "body", rename_all = "snake_case")]
pub enum Posted {
    /// An alert changed its state.
    Transition(Box<Transition>),
    /// People are to be told of something that is no alert.
    Notice(Notice),
    /// A release seems bad (or no longer).
    Petition(Petition),
    /// A trial is to be held.
    Trial(TrialRequest),
    /// A trial ended.
    Tried(TrialResult),
    /// Something is known of a revision.
    Fact(Fact),
}

// === impl Posted ===

impl Posted {
    /// The shape of a change, if it is one that is posted ([`Change::audience`]).
    #[must_use]
    pub fn of(change: &Change) -> Option<Self> {
        Some(match change {
            Change::Transition(transition) => Self::Transition(Box::new(transition.show())),
            Change::Notice(notice) => Self::Notice(notice.show()),
            Change::Petition(petition) => Self::Petition(petition.show()),
            Change::Trial(request) => Self::Trial(request.show()),
            Change::Tried(result) => Self::Tried(result.show()),
            Change::Fact(fact) => Self::Fact(fact.show()),
            Change::Keep(_)
            | Change::Image(_)
            | Change::Phase(_)
            | Change::Forget(_)
            | Change::Acknowledged { .. }
            | Change::Need(_)
            | Change::Decision(_)
            | Change::Rollback(_)
            | Change::Deliver(_)
            | Change::Told(_)
            | Change::Attempt(_)
            | Change::Read { .. } => return None,
        })
    }

    /// Reads the change back.
    ///
    /// # Errors
    /// If a field is not what it should be.
    pub fn read(self) -> Result<Change, Unreadable> {
        match self {
            Self::Transition(shape) => Wire::read(*shape).map(Change::Transition),
            Self::Notice(shape) => Wire::read(shape).map(Change::Notice),
            Self::Petition(shape) => Wire::read(shape).map(Change::Petition),
            Self::Trial(shape) => Wire::read(shape).map(Change::Trial),
            Self::Tried(shape) => Wire::read(shape).map(Change::Tried),
            Self::Fact(shape) => Wire::read(shape).map(Change::Fact),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::fixture;

    #[test]
    fn exactly_the_changes_that_have_an_audience_are_posted() {
        for change in fixture::one_of_each() {
            let posted = Posted::of(&change);
            assert_eq!(
                posted.is_some(),
                !change.audience().is_empty(),
                "{change:?}"
            );
            let Some(posted) = posted else { continue };
            let text = serde_json::to_string(&posted).unwrap();
            let back: Posted = serde_json::from_str(&text).unwrap();
            assert_eq!(back.read().unwrap(), change);
        }
    }
}

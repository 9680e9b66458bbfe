//! Whole stories: a noun of `wire` with everything that belongs to it, and what people send.

use serde::{Deserialize, Serialize};

use super::rollout::Rollout;
use crate::domain;
use crate::wire::Wire as _;
use crate::wire::alert::{Alert, Transition};
use crate::wire::decision::Decision;
use crate::wire::delivery::{Attempt, Delivery};
use crate::wire::rollback::Rollback;

/// One alert with its story.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertStory {
    /// The alert.
    pub alert: Alert,
    /// What happened to it, oldest first.
    pub transitions: Vec<Transition>,
    /// Who was told of it, newest first.
    pub deliveries: Vec<Telling>,
}

/// A delivery with its tries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Telling {
    /// The delivery.
    #[serde(flatten)]
    pub delivery: Delivery,
    /// The tries, oldest first.
    pub tries: Vec<Attempt>,
}

impl Telling {
    /// From the row and its attempts.
    #[must_use]
    pub fn new(row: &(domain::delivery::Delivery, Vec<domain::delivery::Attempt>)) -> Self {
        let (delivery, attempts) = row;
        Self {
            delivery: delivery.show(),
            tries: attempts.show(),
        }
    }
}

/// One decision with its story.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecisionStory {
    /// The decision.
    pub decision: Decision,
    /// What to do now, for people.
    pub advice: String,
    /// The rollout that is blamed.
    pub rollout: Option<Rollout>,
    /// The rollback it asked for, as it stands.
    pub rollback: Option<Rollback>,
    /// Who was told, newest first.
    pub deliveries: Vec<Telling>,
}

/// What came of a request to roll back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RollbackAnswer {
    /// Nothing was changed: this is a plan.
    pub dry_run: bool,
    /// The decision, or the plan.
    pub decision: Option<Decision>,
    /// The rollback, as it stands.
    pub rollback: Option<Rollback>,
    /// What would be sent to the platform, for people; only of a plan that would act.
    pub would_send: Option<String>,
}

/// A request to roll back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RollbackRequest {
    /// `tenant/name`.
    pub workload: String,
    /// To which revision number; none: the one Holdfast would choose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Who asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// A person's word on an alert.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Word {
    /// Who says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

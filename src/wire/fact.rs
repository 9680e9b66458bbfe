//! Facts about revisions, and rollouts.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::decision::RolloutId;
use super::shape::shape;
use super::{Unreadable, Wire};
use crate::domain;
use crate::domain::id::{RollbackId, TemplateDigest};
use crate::domain::spec::WorkloadRef;
use crate::domain::time::Timestamp;

shape! {
    /// Movement from one revision to another.
    Rollout of domain::rollout::Rollout {
        id: domain::rollout::RolloutId,
        target: WorkloadRef,
        from: Option<TemplateDigest>,
        began: Timestamp,
        done: Option<Timestamp>,
        failed: Option<Timestamp>,
        by: Option<RollbackId>,
        first_sight: bool,
        changed_by: Option<Arc<str>>,
        change_cause: Option<Arc<str>>,
    }

    /// One thing that is known of a workload's revisions.
    Fact of domain::fact::Fact {
        target: WorkloadRef,
        at: Timestamp,
        #[serde(flatten)]
        what: domain::fact::What,
    }
}

/// The kinds of fact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "kebab-case")]
pub enum What {
    /// A template was seen for the first time.
    FirstSeen {
        /// Which.
        template: String,
        /// Its number then.
        revision: Option<u64>,
        /// For people.
        images: Vec<String>,
    },
    /// A rollout began.
    Began {
        /// Which.
        rollout: Rollout,
    },
    /// A rollout is complete.
    Done {
        /// Which.
        rollout: RolloutId,
    },
    /// The platform gave up on a rollout.
    Failed {
        /// Which.
        rollout: RolloutId,
    },
    /// The bake so far.
    Baked {
        /// Of which template.
        template: String,
        /// Clean time so far.
        kept_seconds: f64,
    },
    /// The template is proven.
    Proven {
        /// Which.
        template: String,
        /// A person's name; none: by baking.
        by: Option<String>,
    },
    /// The template was blamed.
    Blamed {
        /// Which.
        template: String,
    },
    /// The template was rolled back.
    Quarantined {
        /// Which.
        template: String,
        /// By which rollback.
        rollback: String,
    },
    /// The rollback did not help.
    Released {
        /// Which.
        template: String,
        /// Which rollback.
        rollback: String,
    },
}

impl Wire for domain::fact::What {
    type Shape = What;

    fn show(&self) -> What {
        match self {
            Self::FirstSeen {
                template,
                revision,
                images,
            } => What::FirstSeen {
                template: template.show(),
                revision: *revision,
                images: images.show(),
            },
            Self::Began(rollout) => What::Began {
                rollout: rollout.show(),
            },
            Self::Done(rollout) => What::Done {
                rollout: rollout.show(),
            },
            Self::Failed(rollout) => What::Failed {
                rollout: rollout.show(),
            },
            Self::Baked { template, kept } => What::Baked {
                template: template.show(),
                kept_seconds: kept.show(),
            },
            Self::Proven { template, by } => What::Proven {
                template: template.show(),
                by: by.show(),
            },
            Self::Blamed { template } => What::Blamed {
                template: template.show(),
            },
            Self::Quarantined { template, rollback } => What::Quarantined {
                template: template.show(),
                rollback: rollback.show(),
            },
            Self::Released { template, rollback } => What::Released {
                template: template.show(),
                rollback: rollback.show(),
            },
        }
    }

    fn read(shape: What) -> Result<Self, Unreadable> {
        Ok(match shape {
            What::FirstSeen {
                template,
                revision,
                images,
            } => Self::FirstSeen {
                template: Wire::read(template)?,
                revision,
                images: Wire::read(images)?,
            },
            What::Began { rollout } => Self::Began(Wire::read(rollout)?),
            What::Done { rollout } => Self::Done(Wire::read(rollout)?),
            What::Failed { rollout } => Self::Failed(Wire::read(rollout)?),
            What::Baked {
                template,
                kept_seconds,
            } => Self::Baked {
                template: Wire::read(template)?,
                kept: Wire::read(kept_seconds)?,
            },
            What::Proven { template, by } => Self::Proven {
                template: Wire::read(template)?,
                by: Wire::read(by)?,
            },
            What::Blamed { template } => Self::Blamed {
                template: Wire::read(template)?,
            },
            What::Quarantined { template, rollback } => Self::Quarantined {
                template: Wire::read(template)?,
                rollback: Wire::read(rollback)?,
            },
            What::Released { template, rollback } => Self::Released {
                template: Wire::read(template)?,
                rollback: Wire::read(rollback)?,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::fixture;

    #[test]
    fn facts_of_every_kind_are_written_and_read_back() {
        let mut kinds = std::collections::BTreeSet::new();
        for fact in fixture::facts(1) {
            fixture::round_trip(&fact);
            let json = serde_json::to_value(fact.show()).unwrap();
            kinds.insert(json["fact"].as_str().unwrap().to_owned());
        }
        assert_eq!(kinds.len(), 9, "{kinds:?}");
    }
}

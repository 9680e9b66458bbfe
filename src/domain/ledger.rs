//! What is known of each revision of one workload, by template digest: a fold over facts.
//!
//! Kubernetes renumbers revisions at every undo, so numbers are not identities; templates are. The
//! ledger survives that, and restarts, and knows which revision was ever *proven*.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::fact::{Fact, What};
use super::id::{RollbackId, TemplateDigest};
use super::rollout::Rollout;
use super::standing::{LedgerEntry, Trust};
use super::time::Timestamp;

/// Rollouts and templates remembered for one workload at most: a target is never older than Kubernetes'
/// own history (10 by default), and memory for one workload is bounded.
const REMEMBERED_MAX: usize = 64;

/// One template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number when last seen.
    pub revision: Option<u64>,
    /// Its images.
    pub images: Vec<Arc<str>>,
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// When it was last proven; void once it is blamed.
    pub proven: Option<Timestamp>,
    /// When it was blamed, if that stands.
    pub blamed: Option<Timestamp>,
    /// The rollback that quarantined it, if that stands.
    pub quarantined: Option<(RollbackId, Timestamp)>,
    /// What the blame took from it; given back if the release was not the cause.
    proven_before_blame: Option<Timestamp>,
    /// Clean time in its present bake.
    pub kept: Duration,
}

/// One workload's revisions and rollouts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    entries: BTreeMap<TemplateDigest, Entry>,
    rollouts: Vec<Rollout>,
}

// === impl Ledger ===

impl Ledger {
    /// Takes a fact. The same fact twice changes nothing.
    pub fn apply(&mut self, fact: &Fact) {
        let at = fact.at;
        match &fact.what {
            What::FirstSeen {
                template,
                revision,
                images,
            } => {
                let entry = self.entry(*template, at);
                entry.revision = revision.or(entry.revision);
                if !images.is_empty() {
                    entry.images.clone_from(images);
                }
            }
            What::Began(rollout) => self.begin(rollout, at),
            What::Done(id) => {
                if let Some(rollout) = self.rollouts.iter_mut().rev().find(|r| r.id == *id) {
                    rollout.done.get_or_insert(at);
                }
            }
            What::Failed(id) => {
                if let Some(rollout) = self.rollouts.iter_mut().rev().find(|r| r.id == *id) {
                    rollout.failed.get_or_insert(at);
                }
            }
            What::Baked { template, kept } => self.entry(*template, at).kept = *kept,
            What::Proven { template, by: _ } => {
                let entry = self.entry(*template, at);
                entry.proven = Some(at);
                entry.blamed = None;
                entry.quarantined = None;
                entry.proven_before_blame = None;
            }
            What::Blamed { template } => {
                let entry = self.entry(*template, at);
                entry.blamed = Some(at);
                entry.proven_before_blame = entry.proven.take().or(entry.proven_before_blame);
                entry.kept = Duration::ZERO;
            }
            What::Quarantined { template, rollback } => {
                let entry = self.entry(*template, at);
                entry.quarantined = Some((*rollback, at));
            }
            What::Released {
                template,
                rollback: _,
            } => {
                let entry = self.entry(*template, at);
                entry.quarantined = None;
                entry.blamed = None;
                entry.proven = entry.proven.or(entry.proven_before_blame.take());
            }
        }
    }

    fn begin(&mut self, rollout: &Rollout, at: Timestamp) {
        // Also if others came after it: whoever takes over reads facts from the store and finds them again
        // in an inbox. A number is never given twice, so the same id is the same rollout.
        if self.rollouts.iter().any(|known| known.id == rollout.id) {
            return;
        }
        let entry = self.entry(rollout.id.template, at);
        entry.revision = Some(rollout.id.revision);
        if entry.proven.is_none() {
            entry.kept = Duration::ZERO;
        }
        self.rollouts.push(rollout.clone());
        if self.rollouts.len() > REMEMBERED_MAX {
            self.rollouts.remove(0);
        }
    }

    fn entry(&mut self, template: TemplateDigest, at: Timestamp) -> &mut Entry {
        if !self.entries.contains_key(&template) && self.entries.len() >= REMEMBERED_MAX {
            let current = self.rollouts.last().map(|rollout| rollout.id.template);
            let oldest = self
                .entries
                .iter()
                .filter(|(known, _)| Some(**known) != current)
                .min_by_key(|(_, entry)| (entry.proven, entry.first_seen))
                .map(|(known, _)| *known);
            if let Some(oldest) = oldest {
                self.entries.remove(&oldest);
            }
        }
        self.entries.entry(template).or_insert_with(|| Entry {
            revision: None,
            images: Vec::new(),
            first_seen: at,
            proven: None,
            blamed: None,
            quarantined: None,
            proven_before_blame: None,
            kept: Duration::ZERO,
        })
    }

    /// What is known of a template.
    #[must_use]
    pub fn get(&self, template: TemplateDigest) -> Option<&Entry> {
        self.entries.get(&template)
    }

    /// All templates.
    pub fn entries(&self) -> impl Iterator<Item = (TemplateDigest, &Entry)> {
        self.entries
            .iter()
            .map(|(template, entry)| (*template, entry))
    }

    /// The present rollout.
    #[must_use]
    pub fn current(&self) -> Option<&Rollout> {
        self.rollouts.last()
    }

    /// All remembered rollouts, oldest first.
    #[must_use]
    pub fn rollouts(&self) -> &[Rollout] {
        &self.rollouts
    }

    /// When the chain of rollouts since the last proven revision began: the begin of the first of them.
    /// A v2.1 shipped over a bad v2 does not hide it.
    #[must_use]
    pub fn chain_began(&self) -> Option<Timestamp> {
        let current = self.rollouts.last()?;
        let mut began = current.began;
        for rollout in self.rollouts.iter().rev() {
            let entry = self.entries.get(&rollout.id.template);
            let proven = entry.is_some_and(|entry| {
                entry
                    .proven
                    .or(entry.proven_before_blame)
                    .is_some_and(|at| at < current.began)
            });
            if rollout.first_sight || (proven && rollout.id != current.id) {
                break;
            }
            began = rollout.began;
        }
        Some(began)
    }

    /// Rollouts of a template by somebody else after it was first rolled back, within `within` before `now`.
    #[must_use]
    pub fn reapplied(&self, template: TemplateDigest, since: Timestamp) -> usize {
        let mut rolled_back = false;
        let mut count = 0;
        for rollout in &self.rollouts {
            if rollout.by.is_some() {
                rolled_back |= rollout.from == Some(template);
            } else if rolled_back && rollout.id.template == template && rollout.began > since {
                count += 1;
            }
        }
        count
    }

    /// How far a template is trusted.
    #[must_use]
    pub fn trust(&self, template: TemplateDigest) -> Trust {
        let Some(entry) = self.entries.get(&template) else {
            return Trust::Seen;
        };
        let current = self
            .rollouts
            .last()
            .is_some_and(|rollout| rollout.id.template == template);
        if entry.quarantined.is_some() {
            Trust::Quarantined
        } else if entry.blamed.is_some() {
            Trust::Blamed
        } else if entry.proven.is_some() {
            Trust::Proven
        } else if current {
            Trust::Baking
        } else {
            Trust::Seen
        }
    }

    /// The ledger as people see it, newest first.
    #[must_use]
    pub fn standing(&self) -> Vec<LedgerEntry> {
        let current = self.rollouts.last().map(|rollout| rollout.id.template);
        let mut standing: Vec<LedgerEntry> = self
            .entries
            .iter()
            .map(|(template, entry)| LedgerEntry {
                template: *template,
                revision: entry.revision,
                images: entry.images.clone(),
                first_seen: entry.first_seen,
                trust: self.trust(*template),
                proven: entry.proven,
                kept: entry.kept,
                current: Some(*template) == current,
            })
            .collect();
        standing.sort_by_key(|entry| std::cmp::Reverse((entry.current, entry.first_seen)));
        standing
    }
}

#[cfg(test)]
mod tests {
    use super::super::id::{Digest, Uid};
    use super::super::rollout::RolloutId;
    use super::super::spec::WorkloadRef;
    use super::*;

    fn template(name: &str) -> TemplateDigest {
        TemplateDigest(Digest::of(&[name]))
    }

    fn rollout(name: &str, revision: u64, began: i64, by: Option<RollbackId>) -> What {
        What::Began(Box::new(Rollout {
            id: RolloutId {
                uid: Uid("u".into()),
                template: template(name),
                revision,
            },
            target: WorkloadRef::deployment("shop", "api"),
            from: Some(template("v2")),
            began: Timestamp::from_secs(began),
            done: None,
            failed: None,
            by,
            first_sight: false,
            changed_by: None,
            change_cause: None,
        }))
    }

    fn ledger(facts: Vec<(i64, What)>) -> Ledger {
        let mut ledger = Ledger::default();
        for (second, what) in facts {
            let target = WorkloadRef::deployment("shop", "api");
            ledger.apply(&Fact {
                target,
                at: Timestamp::from_secs(second),
                what,
            });
        }
        ledger
    }

    #[test]
    fn a_blamed_revision_loses_its_proof_and_gets_it_back_when_it_was_not_the_cause() {
        let rollback = RollbackId(Digest::of(&["r"]));
        let mut facts = vec![
            (10, rollout("v1", 1, 10, None)),
            (
                20,
                What::Proven {
                    template: template("v1"),
                    by: None,
                },
            ),
            (
                30,
                What::Blamed {
                    template: template("v1"),
                },
            ),
            (
                31,
                What::Quarantined {
                    template: template("v1"),
                    rollback,
                },
            ),
        ];
        assert_eq!(
            ledger(facts.clone()).trust(template("v1")),
            Trust::Quarantined
        );
        facts.push((
            40,
            What::Released {
                template: template("v1"),
                rollback,
            },
        ));
        let ledger = ledger(facts);
        assert_eq!(ledger.trust(template("v1")), Trust::Proven);
        assert_eq!(
            ledger.get(template("v1")).unwrap().proven,
            Some(Timestamp::from_secs(20))
        );
    }

    #[test]
    fn a_fix_shipped_over_a_bad_release_does_not_hide_when_the_chain_began() {
        let facts = vec![
            (10, rollout("v1", 1, 10, None)),
            (
                20,
                What::Proven {
                    template: template("v1"),
                    by: None,
                },
            ),
            (30, rollout("v2", 2, 30, None)),
            (40, rollout("v2-1", 3, 40, None)),
        ];
        assert_eq!(ledger(facts).chain_began(), Some(Timestamp::from_secs(30)));
    }

    #[test]
    fn only_rollouts_of_a_template_after_its_rollback_are_reapplications() {
        let by = Some(RollbackId(Digest::of(&["r"])));
        let facts = vec![
            (30, rollout("v2", 2, 30, None)),
            (40, rollout("v1", 3, 40, by)),
            (50, rollout("v2", 4, 50, None)),
        ];
        let ledger = ledger(facts);
        assert_eq!(ledger.reapplied(template("v2"), Timestamp::from_secs(0)), 1);
        assert_eq!(
            ledger.reapplied(template("v2"), Timestamp::from_secs(60)),
            0
        );
        assert_eq!(ledger.reapplied(template("v1"), Timestamp::from_secs(0)), 0);
    }

    #[test]
    fn facts_that_come_twice_change_nothing() {
        let mut facts = vec![
            (1, rollout("v1", 1, 1, None)),
            (2, rollout("v2", 2, 2, None)),
            (3, rollout("v1", 3, 3, Some(RollbackId(Digest::of(&["r"]))))),
        ];
        let once = ledger(facts.clone());
        // Read from the store by whoever takes over, and found again in an inbox.
        facts.extend(facts.clone());
        assert_eq!(ledger(facts), once);
    }
}

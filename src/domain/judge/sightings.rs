//! Recognising rollouts in what is seen of workloads.
//!
//! A template changes first; the number that makes the rollout's identity comes when the controller has
//! seen the change. So a rollout *began* when its template was first seen, and is *known* a moment later.

use std::sync::Arc;

use super::super::change::{Change, Changes};
use super::super::fact::{Fact, What};
use super::super::id::TemplateDigest;
use super::super::rollout::{Rollout, Seen, Sighting};
use super::super::spec::WorkloadRef;
use super::super::time::Timestamp;
use super::{Judge, Timer, Watched};

/// A template that was seen, whose number is not known yet.
#[derive(Clone, Debug)]
pub(super) struct Arriving {
    template: TemplateDigest,
    began: Timestamp,
}

impl Judge {
    pub(super) fn sighting(&mut self, sighting: &Sighting, now: Timestamp, out: &mut Changes) {
        let target = sighting.target().clone();
        let Some(watched) = self.workloads.get_mut(&target) else {
            return;
        };
        match sighting {
            Sighting::Seen(seen) => {
                watched.recognise(seen, now, out);
                watched.seen = Some((**seen).clone());
                self.timers.insert((now, Timer::Bake(target.clone())));
                self.see_trials(seen, now, out);
                self.consider(&target, now, out);
            }
            Sighting::Gone { .. } => {
                watched.seen = None;
                watched.arriving = None;
                self.consider(&target, now, out);
            }
            // Which pod belongs to which revision matters once evidence is split by revision.
            Sighting::Pods { .. } => {}
        }
    }
}

impl Watched {
    fn note(&mut self, what: What, now: Timestamp, out: &mut Changes) {
        let fact = Fact {
            target: self.target().clone(),
            at: now,
            what,
        };
        self.ledger.apply(&fact);
        out.push(Change::Fact(fact));
    }

    fn target(&self) -> &WorkloadRef {
        &self.spec.target
    }

    fn recognise(&mut self, seen: &Seen, now: Timestamp, out: &mut Changes) {
        for revision in &seen.revisions {
            let known = self.ledger.get(revision.template);
            if known.is_none_or(|entry| entry.images.is_empty() && !revision.images.is_empty()) {
                let what = What::FirstSeen {
                    template: revision.template,
                    revision: Some(revision.number),
                    images: revision.images.clone(),
                };
                self.note(what, now, out);
            }
        }
        let fresh = seen.observed_generation >= seen.generation;
        let current = self
            .ledger
            .current()
            .filter(|rollout| rollout.id.uid == seen.uid)
            .cloned();
        match current {
            None if fresh => self.begin(seen, None, now, true, out),
            None => {}
            Some(current) if current.id.template == seen.template => {
                self.arriving = None;
                if fresh
                    && seen
                        .revision
                        .is_some_and(|number| number != current.id.revision)
                {
                    self.begin(seen, Some(current.id.template), now, false, out);
                }
            }
            Some(current) => {
                let began = match &self.arriving {
                    Some(arriving) if arriving.template == seen.template => arriving.began,
                    _ => {
                        self.arriving = Some(Arriving {
                            template: seen.template,
                            began: now,
                        });
                        now
                    }
                };
                if fresh
                    && seen
                        .revision
                        .is_some_and(|number| number != current.id.revision)
                {
                    self.arriving = None;
                    self.begin(seen, Some(current.id.template), began, false, out);
                }
            }
        }
        self.progress(seen, now, out);
    }

    fn begin(
        &mut self,
        seen: &Seen,
        from: Option<TemplateDigest>,
        began: Timestamp,
        first_sight: bool,
        out: &mut Changes,
    ) {
        let Some(id) = seen.rollout_id() else { return };
        // The annotation stays on the object when people release again; it speaks of this rollout only
        // if it names the template that was there before, and no earlier rollout carried it.
        let marks = &seen.marks;
        let by = marks.rollback.filter(|rollback| {
            from.is_some()
                && marks.rolled_back_from == from
                && !self
                    .ledger
                    .rollouts()
                    .iter()
                    .any(|rollout| rollout.by == Some(*rollback))
        });
        let rollout = Rollout {
            id,
            target: self.target().clone(),
            from,
            began,
            done: None,
            failed: None,
            by,
            first_sight,
            changed_by: seen.changed_by.as_ref().map(Arc::clone),
            change_cause: seen.change_cause.as_ref().map(Arc::clone),
        };
        self.bake.restart();
        self.note(What::Began(Box::new(rollout)), began, out);
    }

    fn progress(&mut self, seen: &Seen, now: Timestamp, out: &mut Changes) {
        let Some(current) = self.ledger.current() else {
            return;
        };
        if seen.rollout_id().as_ref() != Some(&current.id) {
            return;
        }
        let id = current.id.clone();
        let (done, failed) = (current.done, current.failed);
        if done.is_none() && seen.rolled_out() {
            self.note(What::Done(id), now, out);
        } else if failed.is_none() && done.is_none() && seen.deadline_exceeded {
            self.note(What::Failed(id), now, out);
        }
    }
}
